from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from rjs.identity.ca import OperatorFolder, cluster_of
from rjs.identity.errors import IdentityError
from rjs.identity.keys import new_key, spki_digest
from rjs.identity.names import Role, signer_uri
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import WS_ADDRESS, Organisation


def test_a_new_organisation_is_whole(tmp_path: Path, now: dt.datetime) -> None:
    """The folder made by ``create`` opens as the same organisation, and names its cluster by the root's key."""
    created = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    opened = OperatorFolder.open(tmp_path / "ca")
    assert opened.root == created.root
    assert opened.organisation == "Institute"
    assert opened.cluster == cluster_of(created.root) == spki_digest(created.root)[:16]


def test_an_organisation_is_founded_once(tmp_path: Path, now: dt.datetime) -> None:
    """A second ``create`` in the folder is refused and changes nothing; a folder of anything else does not open."""
    root = OperatorFolder.create(tmp_path / "ca", "Institute", now).root
    with pytest.raises(IdentityError, match="already"):
        OperatorFolder.create(tmp_path / "ca", "Institute", now)
    assert OperatorFolder.open(tmp_path / "ca").root == root
    with pytest.raises(IdentityError, match="rjs ca init"):
        OperatorFolder.open(tmp_path)


def test_folders_mixed_up_do_not_open(tmp_path: Path, now: dt.datetime) -> None:
    """An enrolment CA beside another organisation's root is refused."""
    for name in ("one", "two"):
        OperatorFolder.create(tmp_path / name, "Institute", now)
    (tmp_path / "two" / "root.pem").replace(tmp_path / "one" / "root.pem")
    with pytest.raises(IdentityError):
        OperatorFolder.open(tmp_path / "one")


def test_the_folder_issues_what_the_table_says(tmp_path: Path, now: dt.datetime) -> None:
    """Intermediates, invitations and signing certificates from the folder count as such under its root."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    intermediate = operator.certify_intermediate(new_key().public_key(), now)
    assert check_chain((intermediate, operator.root), operator.root, now) is Kind.TOKEN_INTERMEDIATE
    request = make_request(new_key(), signer_uri("ada"), "Ada")
    assert check_chain(operator.issue(request_der(request), now), operator.root, now) is Kind.SIGNING
    invitation = operator.invite(Role.CS, None, ws=[WS_ADDRESS], now=now)
    assert check_chain(invitation.identity.chain, operator.root, now) is Kind.CS_INVITATION


def test_only_signing_requests_are_certified(tmp_path: Path, now: dt.datetime) -> None:
    """A request for a caller's name, without a name, or changed after signing gets no signing certificate."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    genuine = request_der(make_request(new_key(), signer_uri("ada"), "Ada"))
    changed = genuine.replace(b"rjs://signer/ada", b"rjs://signer/bob")
    for request in (
        request_der(make_request(new_key(), "rjs://admin/ada", "Ada")),
        changed,
        b"",
        b"x" * 9999,
    ):
        with pytest.raises(IdentityError):
            operator.issue(request, now)


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.WS, None),
        (Role.JOB, "x"),
        (Role.INVITATION, "x"),
        (Role.USER, None),
        (Role.USER, "Ada"),
        (Role.CS, "a\nb"),
    ],
)
def test_nobody_is_invited_under_a_wrong_name(
    organisation: Organisation, role: Role, name: str | None
) -> None:
    """Roles that are not joined by invitation, and names that are not of their form, are refused."""
    with pytest.raises(IdentityError):
        organisation.inviter.invite(role, name, ws=[WS_ADDRESS], now=organisation.now)


@pytest.mark.parametrize("lifetime", [0.0, -1.0, 0.5, 50 * 365 * 86400.0])
def test_an_invitation_lives_within_reason(organisation: Organisation, lifetime: float) -> None:
    """An invitation that is over at once, or outlives the enrolment CA, is not made."""
    with pytest.raises(IdentityError, match="lifetime"):
        organisation.inviter.invite(Role.CS, None, ws=[WS_ADDRESS], now=organisation.now, lifetime=lifetime)
