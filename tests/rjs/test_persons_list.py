"""A person's list of what is revoked: the newest one that the web server told, and never one that takes back."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from rjs import limits
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import save_chain
from rjs.identity.names import Role
from rjs.identity.revocation import Revocations, Revoked, What, sign_revocations
from rjs.identity.testing import Organisation
from rjs.persons_list import fetch_list, persons_list
from rjs.revocations import GuardedDoor, RevocationBook
from rjs.wire import messages as m
from rjs.wire.testing import RecordingDoor, Wire

ENTRY = Revoked(What.SIGNER, "d" * 64, 1e9)


class Scene:
    """A person in a session with a web server that goes by a list."""

    def __init__(self, folder: Path) -> None:
        self.organisation = Organisation(dt.datetime.now(dt.UTC))
        self.folder = IdentityFolder(folder)
        save_chain(folder / "root.pem", [self.organisation.root])
        self.wire = Wire(self.organisation, Role.USER)
        self.book = RevocationBook(self.organisation.root, folder / "ws", self.wire.wall)
        door: Any = GuardedDoor(RecordingDoor({Role.USER}), self.book)
        self.wire.called.door = door
        self.wire.open()

    def listed(self, number: int, *entries: Revoked) -> Revocations:
        return sign_revocations(self.organisation.record, number, entries, self.organisation.now)

    def fetch(self) -> Any:
        """The error, if there is one."""
        got: list[Any] = []
        Deferred.fromCoroutine(fetch_list(self.wire.clock, self.wire.dialled, self.folder)).addBoth(
            got.append
        )
        self.wire.turn()
        return (got[0].value if isinstance(got[0], Failure) else got[0]) if got else got

    @property
    def number(self) -> int:
        held = persons_list(self.folder)
        return 0 if held is None else held.number


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_newest_list_is_kept(scene: Scene) -> None:
    """None where the server has none, then each newer one, and nothing is sent where there is no newer one."""
    assert scene.fetch() is None and scene.number == 0
    for number in (3, 4):
        scene.book.take(scene.listed(number, ENTRY))
        assert scene.fetch() is None and scene.number == number
    before = (scene.folder.path / "revocations").stat().st_ino
    assert scene.fetch() is None and (scene.folder.path / "revocations").stat().st_ino == before


def test_nobody_leads_it_back(scene: Scene) -> None:
    """A list that leaves out what is known, or that another key signed, is refused; the one that was there stays."""
    scene.book.take(scene.listed(3, ENTRY))
    scene.fetch()
    scene.book.current = scene.listed(9)
    assert scene.fetch().code == "identity.revocations_rolled_back" and scene.number == 3
    stranger = Organisation(scene.organisation.now)
    scene.book.current = sign_revocations(stranger.record, 10, (ENTRY,), stranger.now)
    assert scene.fetch().code == "identity.other_root" and scene.number == 3


def test_a_server_of_an_older_release(scene: Scene) -> None:
    """It does not know the question, which troubles nobody."""
    del scene.wire.accepted._serving._routes[m.RevocationRead]  # type: ignore[attr-defined]  # a Routes is a dict
    assert scene.fetch() is None and scene.number == 0


def test_a_server_that_does_not_answer(scene: Scene) -> None:
    """It is not waited for for long."""
    waiting: Deferred[m.Message] = Deferred()
    scene.wire.accepted._serving._routes[m.RevocationRead] = lambda *_: waiting  # type: ignore[index]  # as above
    assert scene.fetch() == []
    got: list[Any] = []
    Deferred.fromCoroutine(fetch_list(scene.wire.clock, scene.wire.dialled, scene.folder)).addErrback(
        got.append
    )
    scene.wire.pass_time(limits.LIST_PATIENCE + 1)
    assert "no list of what is revoked came" in str(got[0].value)
