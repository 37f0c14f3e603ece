"""The list that a server goes by: exchanged before anything else, kept, told on, and enforced within the moment."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs

from rjs.errors import ConfigError
from rjs.identity.errors import IdentityError
from rjs.identity.names import Role
from rjs.identity.peers import identify
from rjs.identity.revocation import Revocations, Revoked, StaleRevocationsError, What, sign_revocations
from rjs.identity.revocation_file import REVOCATIONS
from rjs.identity.testing import Organisation
from rjs.revocations import GuardedDoor, RevocationBook
from rjs.wire import messages as m
from rjs.wire.testing import RecordingDoor, Wire

KEY = "d" * 64


@pytest.fixture(scope="module")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


class Books:
    """A wire between two servers, each with a list of its own."""

    def __init__(
        self, organisation: Organisation, folder: Path, caller: Any = Role.LUS, called: Any = Role.WS
    ) -> None:
        self.organisation = organisation
        self.wire = Wire(organisation, caller, called)
        self.books = []
        for number, member in enumerate((self.wire.caller, self.wire.called)):
            (folder / str(number)).mkdir(exist_ok=True)
            book = RevocationBook(organisation.root, folder / str(number) / REVOCATIONS, self.wire.wall)
            member.door = GuardedDoor(member.door, book)  # type: ignore[assignment]
            self.books.append(book)
        self.dialling, self.accepting = self.books

    def inner(self, guarded: object) -> RecordingDoor:
        door: RecordingDoor = guarded._door  # type: ignore[attr-defined]
        return door

    def numbers(self) -> list[int]:
        return [book.current.number if book.current else 0 for book in self.books]

    def listed(self, number: int, *entries: Revoked) -> Revocations:
        return sign_revocations(self.organisation.record, number, entries, self.organisation.now)


@pytest.mark.parametrize("has", [0, 1])
def test_whoever_is_behind_gets_the_list_first_of_all(
    organisation: Organisation, tmp_path: Path, has: int
) -> None:
    """Either end, when a session begins; it is kept, byte for byte, and there at the next start."""
    pair = Books(organisation, tmp_path)
    pair.books[has].take(pair.listed(7))
    pair.wire.open()
    assert pair.numbers() == [7, 7]
    again = RevocationBook(organisation.root, tmp_path / str(1 - has) / REVOCATIONS)
    (kept, source) = again.current, pair.books[has].current
    assert kept is not None and source is not None and kept.signed == source.signed


def test_a_new_list_goes_everywhere_at_once(organisation: Organisation, tmp_path: Path) -> None:
    """It is told on open sessions, and each side is told of it once."""
    pair = Books(organisation, tmp_path)
    heard: list[int] = []
    pair.dialling.changed = lambda: heard.append(pair.numbers()[0])
    pair.wire.open()
    for number in (1, 2):
        pair.accepting.take(pair.listed(number))
        pair.wire.turn()
    assert heard == [1, 2] and pair.numbers() == [2, 2]


@pytest.mark.parametrize("role", [Role.LUS, Role.ADMIN])
def test_who_is_revoked_is_turned_out_and_stays_out(
    organisation: Organisation, tmp_path: Path, role: Role
) -> None:
    """The open session ends with the reason, told to both; the next one never reaches the door."""
    revoked = organisation.member(role)
    name = identify(revoked.chain, organisation.root).name
    pair = Books(organisation, tmp_path, caller=revoked)
    pair.wire.open()
    inner = pair.inner(pair.wire.called.door)
    assert inner.milestones == [f"opened {name.uri()}"]
    pair.accepting.take(
        pair.listed(1, Revoked(What.MEMBER, name.uri(), organisation.now.timestamp(), "stolen"))
    )
    pair.wire.turn()
    assert pair.wire.accepted.ended and "(stolen)" in pair.wire.dialled.reason
    assert pair.wire.dialled.reason.startswith("revoked: ") and len(inner.milestones) == 2
    pair.wire.open()
    assert pair.wire.dialled.reason.startswith("revoked: ") and len(inner.milestones) == 2


def test_a_revoked_server_hears_the_list_that_turns_it_out(
    organisation: Organisation, tmp_path: Path
) -> None:
    """An honest one passes it on, so that whoever it serves leaves it; on an open session and at the door."""
    revoked = organisation.member(Role.LUS)
    name = identify(revoked.chain, organisation.root).name
    pair = Books(organisation, tmp_path, caller=revoked)
    pair.wire.open()
    for number in (1, 2):
        entry = Revoked(What.MEMBER, name.uri(), organisation.now.timestamp() + number)
        pair.accepting.take(pair.listed(number, entry))
        pair.wire.turn()
        if number == 2:
            assert pair.numbers() == [1, 2]
            pair.wire.open()
        assert pair.numbers() == [number, number] and pair.wire.dialled.reason.startswith("revoked: ")


def test_a_revoked_server_is_not_dialled_into_either(organisation: Organisation, tmp_path: Path) -> None:
    """The end that dials judges the end that it reached by its own list."""
    revoked = organisation.member(Role.LUS)
    name = identify(revoked.chain, organisation.root).name
    pair = Books(organisation, tmp_path, caller=Role.CS, called=revoked)
    pair.dialling.take(pair.listed(1, Revoked(What.MEMBER, name.uri(), organisation.now.timestamp())))
    pair.wire.open()
    assert pair.wire.dialled.ended and pair.inner(pair.wire.caller.door).milestones == []


def test_an_expired_server_does_not_speak_of_lists(organisation: Organisation, tmp_path: Path) -> None:
    """It may renew and nothing else: it neither tells its number nor its list, and so is refused nothing."""
    books = Books(organisation, tmp_path, organisation.expired(Role.CS), Role.LUS)
    books.dialling.may_tell = lambda: False
    books.dialling.take(books.listed(1))
    with capturedLogs() as logged:
        books.wire.open()
        books.dialling.take(books.listed(2))
        books.wire.turn()
    assert books.numbers() == [2, 0]
    assert not [each for each in logged if "refused" in str(each.get("log_format"))]


def test_a_rolled_back_list_is_refused_and_answered(organisation: Organisation, tmp_path: Path) -> None:
    """A web server from a backup tells an older state: nobody believes it, and it is told what it misses."""
    pair = Books(organisation, tmp_path)
    entry = Revoked(What.SIGNER, KEY, 1e9)
    pair.dialling.take(pair.listed(5, entry))
    told: list[int] = []
    pair.accepting.received = lambda offered: told.append(offered.number)
    pair.accepting.take(pair.listed(9))
    pair.wire.open()
    assert pair.numbers() == [5, 9] and told == [5]
    pair.accepting.take(pair.listed(10))
    pair.wire.turn()
    assert pair.numbers() == [5, 10] and told == [5], "what was told is not told for ever"
    pair.accepting.take(pair.listed(11, entry))
    pair.wire.turn()
    assert pair.numbers() == [11, 11]


def test_two_lists_of_one_number_are_noticed(organisation: Organisation, tmp_path: Path) -> None:
    """A web server from a backup may reach a number again with another list: both are told, and neither believed."""
    pair = Books(organisation, tmp_path)
    pair.dialling.take(pair.listed(5, Revoked(What.SIGNER, KEY, 1e9)))
    told: list[int] = []
    pair.accepting.received = lambda offered: told.append(len(offered.said.entries))
    pair.accepting.take(pair.listed(5))
    pair.wire.open()
    assert told == [1] and pair.dialling.current is not None and pair.dialling.current.signer(KEY)


def test_a_stranger_to_the_record_key_changes_nothing(organisation: Organisation, tmp_path: Path) -> None:
    """A list by the token intermediate, told by a web server itself, is refused, and the session goes on."""
    pair = Books(organisation, tmp_path)
    pair.wire.open()
    forged = sign_revocations(organisation.intermediate, 8, (), organisation.now)
    pair.wire.accepted.tell(m.RevocationList(list=forged.signed))
    pair.wire.turn()
    assert pair.numbers() == [0, 0] and not pair.wire.dialled.reason


def test_a_person_is_told_no_list(organisation: Organisation, tmp_path: Path) -> None:
    """People's commands do not take part: nothing is sent to them that they would not know."""
    pair = Books(organisation, tmp_path, caller=Role.USER)
    pair.accepting.take(pair.listed(3))
    pair.wire.open()
    pair.accepting.take(pair.listed(4))
    pair.wire.turn()
    assert pair.numbers() == [0, 4]
    pair.wire.dialled.tell(m.RevocationNumber(number=0))
    pair.wire.turn()
    assert pair.numbers() == [0, 4]


def test_a_list_that_cannot_be_kept_is_in_force_all_the_same(
    organisation: Organisation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that fills the disk keeps no list out: it counts and is told on; what is on disk is the one before."""
    pair = Books(organisation, tmp_path)
    pair.accepting.take(pair.listed(1))

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rjs.identity.revocation_file.write_atomically", full)
    pair.accepting.take(pair.listed(2))
    pair.wire.open()
    assert pair.numbers() == [2, 2]
    again = RevocationBook(organisation.root, tmp_path / "1" / REVOCATIONS)
    assert again.current is not None and again.current.number == 1


def test_a_damaged_file_stops_the_start(organisation: Organisation, tmp_path: Path) -> None:
    """Neither garbage nor another cluster's list is gone by; the message says what to do."""
    stranger = Organisation(organisation.now)
    for content in (b"", b"\xc1", b"\x80"):
        (tmp_path / REVOCATIONS).write_bytes(content)
        with pytest.raises(ConfigError, match="remove it"):
            RevocationBook(organisation.root, tmp_path / REVOCATIONS)
    (tmp_path / REVOCATIONS).unlink()
    RevocationBook(stranger.root, tmp_path / REVOCATIONS).take(
        sign_revocations(stranger.record, 1, (), organisation.now)
    )
    with pytest.raises(ConfigError, match="other"):
        RevocationBook(organisation.root, tmp_path / REVOCATIONS)


def test_it_says_when_nothing_may_start(organisation: Organisation, tmp_path: Path) -> None:
    """Without a list, and when it is a day old; status says so."""
    pair = Books(organisation, tmp_path)
    book = pair.accepting
    with pytest.raises(StaleRevocationsError):
        book.check_fresh()
    assert book.document()["stale"]
    book.take(pair.listed(3))
    book.check_fresh()
    assert (book.document()["number"], book.document()["stale"]) == (3, False)
    pair.wire.clock.advance(25 * 3600)
    with pytest.raises(StaleRevocationsError):
        book.check_fresh()
    with pytest.raises(IdentityError):
        book.take(pair.listed(2))
