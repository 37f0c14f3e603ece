"""The CS's bundles: fetched once, judged by the strict verifier, spoiled ones replaced, open ones kept."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cs import limits
from cs.bundles import Bundles
from cs.opened_job import OpenedJob
from rjs.background import ImmediateWorkers
from rjs.bundle.sign import job_attributes
from rjs.bundle.testing import make_signer, signed_jar
from rjs.bundle.verify import open_bundle
from rjs.errors import RefusedError
from rjs.needs import Needs, Platform
from rjs.wire.messages import BlobData, BlobRead, JobBrief, Message
from rjs.wire.session import Session, SessionLostError

SIGNER = make_signer()
DESCRIPTOR = b'name = "test"\nruntime = "python"\nentry = "main.py"\n'
HERE = Platform("linux", "x86_64")
DAY = timedelta(days=1)


def jar(number: int) -> tuple[JobBrief, bytes]:
    now = datetime.now(UTC)
    attributes = job_attributes("test", bytes([number]) * 16, now - DAY, now + DAY)
    content = signed_jar(SIGNER, {"main.py": b"x" * 1000, "job.toml": DESCRIPTOR}, attributes)
    with open_bundle(io.BytesIO(content), at=now) as bundle:
        job = bundle.bundle_id
    sha256 = hashlib.sha256(content).hexdigest()
    return JobBrief(
        job=job,
        name="test",
        signer="0" * 64,
        tasks=1,
        size=len(content),
        sha256=sha256,
        needs=Needs(),
    ), content


JARS = [jar(number) for number in range(4)]


class Lus:
    """A lookup server's session: answers reads when told."""

    def __init__(self) -> None:
        self.contents = {brief.job: content for brief, content in JARS}
        self.asked: list[tuple[BlobRead, Deferred[BlobData]]] = []
        self.fetched = 0

    async def request(self, message: Message, kind: type[BlobData]) -> BlobData:
        assert isinstance(message, BlobRead) and message.kind == "bundle"
        self.asked.append((message, Deferred()))
        self.fetched += message.offset == 0
        return await self.asked[-1][1]

    def serve(self) -> None:
        while self.asked:
            read, deferred = self.asked.pop(0)
            deferred.callback(BlobData(data=self.contents[read.key][read.offset : read.offset + read.length]))

    def lose(self) -> None:
        while self.asked:
            self.asked.pop(0)[1].errback(SessionLostError("the connection was lost"))


class Desk:
    """Bundles in a folder."""

    def __init__(self, folder: Path, cap: int = limits.CACHE) -> None:
        self.folder = folder
        self.bundles = Bundles(folder, ImmediateWorkers(), Clock(), HERE, cap)

    def open(self, number: int, lus: Lus) -> list[Any]:
        """What opening ends with, when it has ended."""
        ended: list[Any] = []
        opening = Deferred.fromCoroutine(
            self.bundles.opened(JARS[number][0], cast(Session, lus), lambda _: None)
        )
        opening.addBoth(lambda result: ended.append(getattr(result, "value", result)))
        return ended

    def path(self, number: int) -> Path:
        return self.folder / f"{JARS[number][0].job}.jar"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Bundles in a new folder, closed at the end."""
    found = Desk(tmp_path)
    yield found
    found.bundles.close()


@pytest.fixture
def lus() -> Lus:
    """A lookup server that has all the bundles."""
    return Lus()


def test_one_fetch_for_all_who_ask(desk: Desk, lus: Lus) -> None:
    """Attempts at several tasks of one job share one fetch and one opened bundle."""
    asked = [desk.open(0, lus) for _ in range(5)]
    lus.serve()
    assert lus.fetched == 1
    assert all(each[0] is asked[0][0] for each in asked) and isinstance(asked[0][0], OpenedJob)
    assert desk.open(0, lus)[0] is asked[0][0]


def test_a_lost_session_fails_its_own_asker_only(desk: Desk, lus: Lus) -> None:
    """Who waited behind a fetch that was lost tries with its own session, and neither spoils the other's file."""
    newer = Lus()
    first, second = desk.open(0, lus), desk.open(0, newer)
    assert not newer.asked
    lus.lose()
    assert isinstance(first[0], SessionLostError) and newer.fetched == 1
    newer.serve()
    assert isinstance(second[0], OpenedJob)


def test_a_spoiled_file_is_fetched_again(desk: Desk, lus: Lus) -> None:
    """A cache file that the disk spoiled costs a fetch, not a refusal."""
    desk.path(0).write_bytes(JARS[0][1][:-7] + b"spoiled")
    asked = desk.open(0, lus)
    lus.serve()
    assert isinstance(asked[0], OpenedJob) and desk.path(0).read_bytes() == JARS[0][1]


def test_another_bundle_under_this_name_is_refused(desk: Desk, lus: Lus) -> None:
    """A lookup server that promises one job and sends another whole, signed one gets nothing run."""
    brief, other = JARS[0][0], JARS[1]
    lus.contents[brief.job] = other[1]
    lie = JobBrief(
        job=brief.job, name="test", signer="0" * 64, tasks=1, size=other[0].size, sha256=other[0].sha256,
        needs=Needs(),
    )  # fmt: skip
    ended: list[Any] = []
    Deferred.fromCoroutine(desk.bundles.opened(lie, cast(Session, lus), lambda _: None)).addBoth(ended.append)
    lus.serve()
    assert isinstance(ended[0].value, RefusedError) and ended[0].value.code == "wrong-bundle"
    assert list(desk.folder.iterdir()) == []


def test_after_a_restart_nothing_is_fetched_twice(desk: Desk, lus: Lus) -> None:
    """What lies on the disk is judged again, and not fetched."""
    desk.open(0, lus)
    lus.serve()
    restarted = Desk(desk.folder)
    assert isinstance(restarted.open(0, Lus())[0], OpenedJob)
    restarted.bundles.close()


def test_an_open_job_is_one_for_all_its_tasks(desk: Desk, lus: Lus) -> None:
    """Whoever asks while it is open gets what was judged, and the list of tasks that was read."""
    first = desk.open(0, lus)
    lus.serve()
    again = desk.open(0, lus)
    assert isinstance(first[0], OpenedJob) and again[0] is first[0]


def test_open_bundles_are_never_removed(tmp_path: Path, lus: Lus, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little room there is, a bundle that is open stays; one that is not goes."""
    monkeypatch.setattr(limits, "OPEN_BUNDLES", 2)
    desk = Desk(tmp_path, cap=0)
    for number in range(4):
        asked = desk.open(number, lus)
        lus.serve()
        assert isinstance(asked[0], OpenedJob)
        assert asked[0].bundle.read("main.py", 1000) == b"x" * 1000
    assert [desk.path(number).exists() for number in range(4)] == [False, False, True, True]
    desk.bundles.close()


def test_the_least_recently_used_goes_first(
    tmp_path: Path, lus: Lus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the cap the files go whose last use is longest ago, also across a restart, whenever they came."""
    monkeypatch.setattr(limits, "OPEN_BUNDLES", 1)
    room = Desk(tmp_path)
    for number in (0, 1, 2, 0):
        room.open(number, lus)
        lus.serve()
    room.bundles.close()
    assert lus.fetched == 3
    small = Desk(tmp_path, cap=2 * room.path(0).stat().st_blocks * 512)
    small.open(3, lus)
    lus.serve()
    assert [room.path(number).exists() for number in range(4)] == [True, False, False, True]
    small.bundles.close()


def test_a_file_that_took_the_place_of_another_is_noticed(desk: Desk, lus: Lus) -> None:
    """Another file under the name of an open bundle, even a valid one of another job, is fetched again."""
    desk.open(0, lus)
    lus.serve()
    other = desk.folder / "other"
    other.write_bytes(JARS[1][1])
    other.replace(desk.path(0))
    asked = desk.open(0, lus)
    lus.serve()
    assert isinstance(asked[0], OpenedJob) and asked[0].bundle.bundle_id == JARS[0][0].job
    assert lus.fetched == 2 and desk.path(0).read_bytes() == JARS[0][1]


def test_a_file_of_another_length_is_noticed(desk: Desk, lus: Lus) -> None:
    """A file that was cut off, or removed, while its bundle was open is fetched again."""
    for spoil in (lambda path: os.truncate(path, 100), Path.unlink):
        desk.open(0, lus)
        lus.serve()
        spoil(desk.path(0))
        asked = desk.open(0, lus)
        lus.serve()
        assert isinstance(asked[0], OpenedJob) and desk.path(0).read_bytes() == JARS[0][1]


def test_what_may_not_run_is_not_kept(desk: Desk, lus: Lus) -> None:
    """A bundle whose signer may run nothing leaves nothing in the cache."""

    def refuse(_: object) -> None:
        raise RefusedError("not-trusted", "no")

    ended: list[Any] = []
    Deferred.fromCoroutine(desk.bundles.opened(JARS[0][0], cast(Session, lus), refuse)).addBoth(ended.append)
    lus.serve()
    assert ended[0].value.code == "not-trusted" and list(desk.folder.iterdir()) == []


def test_a_dropped_bundle_is_fetched_again(desk: Desk, lus: Lus) -> None:
    """What turned out to be damaged in use comes anew."""
    desk.open(0, lus)
    lus.serve()
    desk.bundles.drop(JARS[0][0].job)
    asked = desk.open(0, lus)
    lus.serve()
    assert isinstance(asked[0], OpenedJob) and lus.fetched == 2


def test_a_file_that_goes_while_others_are_counted(
    desk: Desk, lus: Lus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle may be dropped, or deleted by hand, at any time: whoever makes room does not mind."""
    listed = [desk.path(1), desk.path(2)]
    desk.path(2).write_bytes(b"x")
    monkeypatch.setattr(Path, "glob", lambda *_: iter(listed))
    asked = desk.open(0, lus)
    lus.serve()
    assert isinstance(asked[0], OpenedJob) and desk.path(2).exists()
