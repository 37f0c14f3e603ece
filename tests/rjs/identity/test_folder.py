from __future__ import annotations

import datetime as dt
import json
import stat
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from rjs.errors import RefusedError
from rjs.identity.authority import TokenAuthority
from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import Identity
from rjs.identity.enrolment import EnrolmentRequest, check_enrolment
from rjs.identity.errors import IdentityError
from rjs.identity.folder import IdentityFolder, Member
from rjs.identity.invitation import Invitation
from rjs.identity.keys import Chain, save_chain, spki_digest
from rjs.identity.names import RjsName, Role
from rjs.identity.peers import check_answer_chain
from rjs.identity.requests import read_request
from rjs.identity.testing import WS_ADDRESS, Organisation

Killer = Callable[[int, Callable[[], object]], bool]


def issue(organisation: Organisation, invitation: Invitation, request: EnrolmentRequest) -> Chain:
    """What the web server does with a request."""
    chain, now = invitation.identity.chain, organisation.now
    checked = check_enrolment(request, chain, organisation.root, now)
    return organisation.tokens.issue(checked.token_public_key, checked.name, checked.common_name, now)


def join(organisation: Organisation, invitation: Invitation, path: Path) -> Member:
    folder = IdentityFolder(path)
    request = folder.create_pending(invitation, organisation.now)
    return folder.complete(invitation, issue(organisation, invitation, request), organisation.now)


@pytest.mark.parametrize("role", [Role.LUS, Role.CS, Role.USER, Role.ADMIN])
def test_joining_makes_the_member_that_was_invited(
    organisation: Organisation, tmp_path: Path, role: Role
) -> None:
    """After joining, the folder knows its name, root and web server, and calls with its own token."""
    invitation = organisation.invitation(role)
    member = join(organisation, invitation, tmp_path / "id")
    folder = IdentityFolder(tmp_path / "id")
    assert folder.is_joined and folder.member() == member
    assert (member.name, member.ws) == (invitation.subject, (WS_ADDRESS,))
    assert folder.root() == organisation.root
    assert folder.token().root == organisation.root
    if role is Role.CS:
        assert folder.answer().chain[1:] == invitation.identity.chain


def test_every_private_key_is_the_owners_only(organisation: Organisation, tmp_path: Path) -> None:
    """Folders are 0700, keys 0600, and the invitation's one-time key is nowhere on disk."""
    for role in (Role.CS, Role.USER):
        invitation = organisation.invitation(role)
        join(organisation, invitation, tmp_path / role)
        scalar = invitation.identity.key.private_numbers().private_value.to_bytes(32, "big")
        assert stat.S_IMODE((tmp_path / role).stat().st_mode) == 0o700
        for path in (tmp_path / role).iterdir():
            assert path.suffix != ".key" or stat.S_IMODE(path.stat().st_mode) == 0o600
            assert scalar not in path.read_bytes() and invitation.encode().encode() not in path.read_bytes()


def test_a_user_signs_once_certified(tmp_path: Path, now: dt.datetime) -> None:
    """A user's signing key is refused with the command to run until the operator's certificate lies beside it."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    invitation = operator.invite(Role.USER, "ada", ws=[WS_ADDRESS], now=now)
    folder = IdentityFolder(tmp_path / "ada")
    request = folder.create_pending(invitation, now)
    assert request.signing_request is not None
    with pytest.raises(IdentityError, match="rjs ca issue"):
        folder.signing()
    pem = (folder.path / "signing-request.pem").read_bytes()
    save_chain(folder.path / "signing.pem", operator.issue(pem, now))
    enrolled, _ = read_request(request.signing_request)
    assert spki_digest(folder.signing().key) == spki_digest(enrolled)


def test_a_repeated_join_asks_for_the_same_keys(organisation: Organisation, tmp_path: Path) -> None:
    """Before the reply came, the same invitation asks for the same keys again, so that it counts as one use."""
    folder = IdentityFolder(tmp_path / "id")
    for role in (Role.CS, Role.USER):
        invitation = organisation.invitation(role)
        requests = [folder.create_pending(invitation, organisation.now) for _ in range(2)]
        checked = [
            check_enrolment(request, invitation.identity.chain, organisation.root, organisation.now)
            for request in requests
        ]
        assert len({(c.serial, c.token_spki, c.answer_spki, c.signing_spki) for c in checked}) == 1


def test_a_new_invitation_starts_over(organisation: Organisation, tmp_path: Path) -> None:
    """A second invitation in an unfinished folder makes new keys, but keeps the signing key that owners trust."""
    folder = IdentityFolder(tmp_path / "id")
    one, two = organisation.invitation(Role.USER), organisation.invitation(Role.USER)
    checked = [
        check_enrolment(
            folder.create_pending(each, organisation.now),
            each.identity.chain,
            organisation.root,
            organisation.now,
        )
        for each in (one, two)
    ]
    assert checked[0].token_spki != checked[1].token_spki
    assert checked[0].signing_spki == checked[1].signing_spki


def test_a_joined_folder_is_not_joined_again(organisation: Organisation, tmp_path: Path) -> None:
    """A member's folder refuses another invitation and another founding, naming who it belongs to."""
    member = join(organisation, organisation.invitation(Role.LUS), tmp_path / "id")
    with pytest.raises(IdentityError, match=member.name.uri()):
        IdentityFolder(tmp_path / "id").create_pending(organisation.invitation(Role.LUS), organisation.now)


def test_an_expired_invitation_makes_no_keys(organisation: Organisation, tmp_path: Path) -> None:
    """Joining with an expired invitation fails before anything is written."""
    late = organisation.now + dt.timedelta(days=8)
    with pytest.raises(IdentityError, match="expired"):
        IdentityFolder(tmp_path / "id").create_pending(organisation.invitation(Role.LUS), late)
    assert not (tmp_path / "id").exists()


def test_a_web_server_cannot_make_us_somebody_else(organisation: Organisation, tmp_path: Path) -> None:
    """A token for another key, name or organisation is refused, and the folder stays ready to join."""
    invitation = organisation.invitation(Role.LUS)
    folder = IdentityFolder(tmp_path / "id")
    key, _ = read_request(folder.create_pending(invitation, organisation.now).token_request)
    stranger = Organisation(organisation.now)
    elsewhere = RjsName(Role.LUS, "0" * 32)
    for chain in (
        organisation.member(Role.LUS, invitation.subject.id).chain,
        organisation.tokens.issue(key, elsewhere, "x", organisation.now),
        stranger.tokens.issue(key, invitation.subject, "x", organisation.now),
        invitation.identity.chain,
    ):
        with pytest.raises(IdentityError):
            folder.complete(invitation, chain, organisation.now)
    assert not folder.is_joined
    assert join(organisation, invitation, folder.path).name == invitation.subject


def test_a_web_server_is_founded_beside_the_operator(tmp_path: Path, now: dt.datetime) -> None:
    """A founded folder's authority issues tokens that count under the operator's root, its own included."""
    operator = OperatorFolder.create(tmp_path / "ca", "Institute", now)
    folder = IdentityFolder(tmp_path / "ws")
    member = folder.found(operator, "web server", [WS_ADDRESS], now)
    assert member.role is Role.WS and member.cluster == operator.cluster
    assert (
        TokenAuthority.open(folder.authority).own_identity(member.name, member.common_name, now).root
        == operator.root
    )
    with pytest.raises(IdentityError, match="already_joined"):
        folder.found(operator, "web server", [WS_ADDRESS], now)


@pytest.mark.parametrize(
    "damage", [b"", b"{}", b'{"role":"root"}', b"[" * 70000, b"other id", b"other cluster"]
)
def test_a_damaged_membership_is_named(organisation: Organisation, tmp_path: Path, damage: bytes) -> None:
    """A member.json that cannot be what was written is refused, never guessed at."""
    join(organisation, organisation.invitation(Role.LUS), tmp_path / "id")
    path = tmp_path / "id" / "member.json"
    written = json.loads(path.read_bytes())
    edited = {b"other id": {**written, "id": "x"}, b"other cluster": {**written, "cluster": "0" * 16}}
    path.write_bytes(json.dumps(edited[damage]).encode() if damage in edited else damage)
    with pytest.raises(RefusedError, match=r"member\.json"):
        IdentityFolder(tmp_path / "id").member()


@pytest.mark.parametrize("role", [Role.CS, Role.USER])
def test_killed_anywhere_it_can_join_again(
    organisation: Organisation, tmp_path: Path, killed_at: Killer, role: Role
) -> None:
    """However often joining is ended at whatever change of the disk, it is joined or can be, with the keys that
    the web server has seen.
    """
    for step in count(1):
        path = tmp_path / str(step)
        invitation = organisation.invitation(role)
        seen: list[EnrolmentRequest] = []

        def attempt(
            path: Path = path, invitation: Invitation = invitation, seen: list[EnrolmentRequest] = seen
        ) -> None:
            folder = IdentityFolder(path)
            seen.append(folder.create_pending(invitation, organisation.now))
            folder.complete(invitation, issue(organisation, invitation, seen[-1]), organisation.now)

        killed = killed_at(step, attempt)
        folder = IdentityFolder(path)
        if not folder.is_joined:
            attempt()
        first, last = (read_request(request.token_request)[0] for request in (seen[0], seen[-1]))
        assert spki_digest(first) == spki_digest(last) == spki_digest(folder.token().key)
        assert folder.member().name == invitation.subject
        if not killed:
            break
    assert step > 10


@pytest.mark.parametrize("finish_with", [0, 1])
def test_killed_while_changing_invitations_it_can_join_with_either(
    organisation: Organisation, tmp_path: Path, killed_at: Killer, finish_with: int
) -> None:
    """Ended anywhere while a second invitation replaces a first, both still make a member whose keys fit."""
    for step in count(1):
        invitations = organisation.invitation(Role.CS), organisation.invitation(Role.CS)
        folder = IdentityFolder(tmp_path / str(step))
        folder.create_pending(invitations[0], organisation.now)
        killed = killed_at(
            step,
            lambda folder=folder, new=invitations[1]: folder.create_pending(new, organisation.now),  # type: ignore[misc]  # bound now
        )
        member = join(organisation, invitations[finish_with], folder.path)
        assert folder.member() == member
        assert check_answer_chain(folder.answer().chain, organisation.root, organisation.now) == member.id
        if not killed:
            break
    assert step > 10


def test_killed_anywhere_an_organisation_can_be_founded_again(
    tmp_path: Path, killed_at: Killer, now: dt.datetime
) -> None:
    """However often ``rjs ca init`` and ``rjs ws init`` are ended, running them again makes them whole."""

    def found(path: Path) -> Identity:
        try:
            operator = OperatorFolder.open(path / "ca")
        except IdentityError:
            operator = OperatorFolder.create(path / "ca", "Institute", now)
        folder = IdentityFolder(path / "ws")
        member = folder.member() if folder.is_joined else folder.found(operator, "web", [WS_ADDRESS], now)
        return TokenAuthority.open(folder.authority).own_identity(member.name, member.common_name, now)

    for step in count(1):
        path = tmp_path / str(step)
        killed = killed_at(step, lambda path=path: found(path))  # type: ignore[misc]  # bound now
        assert found(path).root == OperatorFolder.open(path / "ca").root
        if not killed:
            break
    assert step > 10
