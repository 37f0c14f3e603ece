from __future__ import annotations

import contextlib
import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rjs.identity.errors import IdentityError
from rjs.identity.names import (
    InvitationName,
    RjsName,
    Role,
    answer_uri,
    check_common_name,
    signer_account,
    signer_uri,
)

UUID_HEX = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "uri",
    [
        f"rjs://ws/{UUID_HEX}",
        f"rjs://lus/{UUID_HEX}",
        f"rjs://cs/{UUID_HEX}",
        "rjs://user/ada",
        "rjs://admin/a-b_9",
        f"rjs://invitation/cs/{UUID_HEX}",
        "rjs://invitation/user/ada",
    ],
)
def test_a_name_reads_back_as_written(uri: str) -> None:
    """Every legal URI parses to the name that spells it."""
    assert RjsName.parse(uri).uri() == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "rjs://",
        "rjs://cs",
        "rjs://cs/",
        f"rjs://CS/{UUID_HEX}",
        f"RJS://cs/{UUID_HEX}",
        f" rjs://cs/{UUID_HEX}",
        f"rjs://cs/{UUID_HEX}\n",
        f"rjs://cs/{UUID_HEX}/",
        f"rjs://cs/{UUID_HEX}?x=1",
        f"rjs://cs/{UUID_HEX.upper()}",
        f"rjs://cs/{UUID_HEX[:-1]}",
        f"rjs://cs/{UUID_HEX[:-1]}١",
        f"rjs://cs//{UUID_HEX}",
        f"rjs://x@cs/{UUID_HEX}",
        f"https://cs/{UUID_HEX}",
        f"rjs://root/{UUID_HEX}",
        f"rjs://answer/{UUID_HEX}",
        "rjs://user/Ada",
        "rjs://user/1ada",
        "rjs://user/../x",
        "rjs://user/" + "a" * 33,
        "rjs://user/ada%00",
        f"rjs://job/{UUID_HEX}",
        f"rjs://invitation/ws/{UUID_HEX}",
        f"rjs://invitation/{UUID_HEX}",
        f"rjs://invitation/user/{'A' * 3}",
    ],
)
def test_near_misses_are_refused(uri: str) -> None:
    """Nothing but the exact form is a name: no case folding, trimming, decoding or extra parts."""
    with pytest.raises(IdentityError, match=r"^identity\.name: "):
        RjsName.parse(uri)


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=80))
def test_any_text_is_a_name_or_is_refused(text: str) -> None:
    """Arbitrary text after the scheme raises nothing but IdentityError, and what parses spells itself."""
    for uri in (text, f"rjs://{text}", f"rjs://user/{text}"):
        with contextlib.suppress(IdentityError):
            assert RjsName.parse(uri).uri() == uri


def test_an_invitation_name_reads_back_as_written() -> None:
    """Role, id and expiry survive the URI form."""
    name = InvitationName(RjsName(Role.CS, UUID_HEX), dt.datetime(2030, 1, 2, 3, 4, 5, tzinfo=dt.UTC))
    assert name.uri() == f"rjs://invitation/cs/{UUID_HEX}?expires=1893553445"
    assert InvitationName.parse(name.uri()) == name
    assert name.caller() == RjsName(Role.INVITATION, f"cs/{UUID_HEX}")


@pytest.mark.parametrize(
    "query",
    ["", "?", "?expires=", "?expires=01", "?expires=-1", "?expires=1.5", "?expires=1&a=b", "?a=b&expires=1",
     "?expires=1?expires=2", "?expires=" + "9" * 12, "?Expires=1", "?expires=1\n", "#expires=1", "?expires=٣"],
)  # fmt: skip
def test_an_invitation_has_exactly_one_expiry(query: str) -> None:
    """The query of an invitation has one canonical form."""
    with pytest.raises(IdentityError):
        InvitationName.parse(f"rjs://invitation/user/ada{query}")


def test_answer_and_signer_names_are_no_callers() -> None:
    """What signs answers or bundles has a URI that no role parses."""
    for uri in (answer_uri(UUID_HEX), signer_uri("ada")):
        with pytest.raises(IdentityError):
            RjsName.parse(uri)
    assert signer_account(signer_uri("ada")) == "ada"
    for wrong in ("rjs://user/ada", "rjs://signer/Ada", "xrjs://signer/ada", "rjs://signer/ada\n"):
        with pytest.raises(IdentityError):
            signer_account(wrong)


@pytest.mark.parametrize("text", ["", " a", "a ", "a\nb", "a\x00", "a\u202eb", "a" * 65])
def test_a_common_name_can_be_shown_to_people(text: str) -> None:
    """Control and direction characters, blank ends and long texts never become names."""
    with pytest.raises(IdentityError):
        check_common_name(text)


def test_a_refused_account_says_its_form() -> None:
    """Who types a name with a capital letter hears what an account is made of."""
    with pytest.raises(IdentityError, match="begins with a-z"):
        RjsName(Role.USER, "Ada")
