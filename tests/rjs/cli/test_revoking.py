"""Naming what is revoked: exactly one thing, before anything is asked of a server."""

from __future__ import annotations

import pytest

from rjs.cli.revoking import meant
from rjs.errors import UsageError


@pytest.mark.parametrize(
    ("named", "what"),
    [(("cs/1", None, None), "member"), ((None, "ab", None), "signer"), ((None, None, "1f"), "certificate")],
)
def test_one_thing_is_meant(named: tuple[str | None, str | None, str | None], what: str) -> None:
    """A member, a signer or a certificate."""
    assert meant(*named, "lost") == (what, next(filter(None, named)))


@pytest.mark.parametrize(
    "named",
    [(None, None, None), ("", "", ""), ("cs/1", "ab", None), (None, "ab", "1f"), ("x" * 129, None, None)],
)
def test_nothing_or_several_is_wrong_usage(named: tuple[str | None, str | None, str | None]) -> None:
    """The message names the three ways."""
    with pytest.raises(UsageError, match="--signer"):
        meant(*named, "")


def test_a_long_reason_is_wrong_usage() -> None:
    """It would not fit into an entry."""
    with pytest.raises(UsageError, match="100"):
        meant("cs/1", None, None, "x" * 101)
