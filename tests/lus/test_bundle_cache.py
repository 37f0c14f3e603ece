"""The LUS's bundles: one fetch for many, checked bytes, and never more on disk than allowed."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lus import limits
from lus.bundle_cache import BundleCache
from rjs import limits as shared
from rjs.background import ImmediateWorkers, Tasks
from rjs.errors import RefusedError
from rjs.needs import Needs
from rjs.wire.messages import BlobData, BlobRead, JobBrief, Message
from rjs.wire.session import Session, SessionLostError

CONTENT = b"PK" * 5000


class Ws:
    """A web server's session: answers reads when told."""

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents
        self.asked: list[tuple[BlobRead, Deferred[BlobData]]] = []

    async def request(self, message: Message, kind: type[BlobData]) -> BlobData:
        assert isinstance(message, BlobRead) and message.kind == "bundle"
        self.asked.append((message, Deferred()))
        return await self.asked[-1][1]

    def serve(self) -> None:
        while self.asked:
            read, deferred = self.asked.pop(0)
            deferred.callback(BlobData(data=self.contents[read.key][read.offset : read.offset + read.length]))

    def fail(self, error: Exception) -> None:
        while self.asked:
            self.asked.pop(0)[1].errback(error)


def brief(number: int, content: bytes = CONTENT) -> JobBrief:
    return JobBrief(
        job=f"{number:064x}", name="x", signer="0" * 64, tasks=1, size=len(content),
        sha256=hashlib.sha256(content).hexdigest(), needs=Needs(),
    )  # fmt: skip


class Cache:
    """A cache with jobs 1 to 9 known, and the web server that it fetches from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ws = Ws({brief(each).job: CONTENT for each in range(1, 10)})
        self.session: Ws | None = self.ws
        self.tasks = Tasks("test")
        self.cache = BundleCache(
            folder, ImmediateWorkers(), self.tasks, Clock(), lambda: cast(Session | None, self.session)
        )
        for each in range(1, 10):
            self.cache.know(brief(each))

    def ask(self, number: int, offset: int = 0, length: int = 10) -> list[Any]:
        """What a CS's read ends with, when it has ended."""
        ended: list[Any] = []
        read = BlobRead(kind="bundle", key=brief(number).job, offset=offset, length=length)
        self.asking = Deferred.fromCoroutine(self.cache.chunk(read))
        self.asking.addBoth(lambda result: ended.append(getattr(result, "value", result)))
        return ended

    def names(self) -> list[int]:
        return sorted(int(path.stem, 16) for path in self.folder.glob("*.jar"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path)


def test_many_askers_one_fetch(cache: Cache) -> None:
    """Whoever asks while a bundle comes waits for the one fetch; later ones are served from the disk."""
    asked = [cache.ask(1, offset=each) for each in range(50)]
    assert len(cache.ws.asked) == 1
    cache.ws.serve()
    assert [each[0].data for each in asked] == [CONTENT[each : each + 10] for each in range(50)]
    assert cache.ask(1)[0].data == CONTENT[:10] and not cache.ws.asked


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SessionLostError("the connection was lost"), "ws-away"),
        (RefusedError("no-blob", "gone"), "no-blob"),
        (OSError(28, "No space left on device"), "no-blob"),
    ],
)
def test_a_failure_reaches_all_and_the_next_asks_again(cache: Cache, error: Exception, code: str) -> None:
    """When the fetch fails everyone who waits hears why, and the next one starts a fetch of its own."""
    asked = [cache.ask(1) for _ in range(3)]
    cache.ws.fail(error)
    assert [each[0].code for each in asked] == [code] * 3
    again = cache.ask(1)
    cache.ws.serve()
    assert again[0].data == CONTENT[:10]


def test_wrong_bytes_are_not_kept(cache: Cache) -> None:
    """What the web server sends is checked against what its grant promised."""
    cache.ws.contents[brief(1).job] = CONTENT[::-1]
    asked = cache.ask(1)
    cache.ws.serve()
    assert asked[0].code == "blob-differs" and cache.names() == []


def test_one_who_gives_up_takes_nothing_from_the_others(cache: Cache) -> None:
    """The fetch goes on when the compute server that asked first has left."""
    first = cache.ask(1)
    leaving = cache.asking
    second = cache.ask(1)
    leaving.cancel()
    cache.ws.serve()
    assert not isinstance(first[0], BlobData) and second[0].data == CONTENT[:10]


def test_stopping_answers_everyone(cache: Cache) -> None:
    """When the LUS stops, nobody is left waiting."""
    asked = cache.ask(1)
    cache.tasks.cancel_all()
    assert asked[0].code == "stopped"
    assert list(cache.folder.iterdir()) == []


def test_without_a_web_server_it_says_so(cache: Cache) -> None:
    """What is here is served; what is not is refused for now."""
    cache.ask(1)
    cache.ws.serve()
    cache.session = None
    assert cache.ask(1)[0].data == CONTENT[:10]
    assert cache.ask(2)[0].code == "ws-away"


def test_a_job_that_is_not_leased_is_not_given(cache: Cache) -> None:
    """A compute server gets bundles of jobs that were leased to this LUS, and of no others."""
    assert cache.ask(77)[0].code == "no-blob" and not cache.ws.asked


@pytest.mark.parametrize(
    "damage", [b"", CONTENT[:-1], CONTENT[::-1], None], ids=["empty", "short", "other", "gone"]
)
@pytest.mark.parametrize("restarted", [False, True])
def test_a_damaged_file_is_fetched_again(cache: Cache, damage: bytes | None, restarted: bool) -> None:
    """Before or after a restart: a file that is not what was checked is replaced before anybody gets a byte."""
    cache.ask(1)
    cache.ws.serve()
    path = cache.folder / f"{brief(1).job}.jar"
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    if restarted:
        cache = Cache(cache.folder)
    asked = cache.ask(1)
    cache.ws.serve()
    assert asked[0].data == CONTENT[:10] and path.read_bytes() == CONTENT


def test_after_a_restart_nothing_is_fetched_twice(cache: Cache) -> None:
    """What lies on the disk and is whole is served without the web server."""
    cache.ask(1)
    cache.ws.serve()
    restarted = Cache(cache.folder)
    restarted.session = None
    assert restarted.ask(1)[0].data == CONTENT[:10]


def test_the_least_recently_used_go_first(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap the bundle that nobody used for longest is removed, and fetched again when asked for."""
    monkeypatch.setattr(limits, "CACHE", 3 * len(CONTENT))
    for each in (1, 2, 3):
        cache.ask(each)
        cache.ws.serve()
    cache.ask(1)
    cache.ask(4)
    cache.ws.serve()
    assert cache.names() == [1, 3, 4]
    asked = cache.ask(2)
    cache.ws.serve()
    assert asked[0].data == CONTENT[:10] and cache.names() == [1, 2, 4]


def test_what_is_in_use_stays(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that somebody reads or that is coming is not removed, however little room there is."""
    monkeypatch.setattr(limits, "CACHE", 0)
    slow: list[Deferred[None]] = []

    class SlowWorkers(ImmediateWorkers):
        async def run(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            if getattr(function, "__name__", "") == "chunk_of":
                slow.append(Deferred())
                await slow[-1]
            return function(*args, **kwargs)

    cache.cache._workers = SlowWorkers()
    first = cache.ask(1)
    cache.ws.serve()
    second = cache.ask(2)
    cache.ws.serve()
    assert cache.names() == [1, 2] and not first and not second
    for each in slow:
        each.callback(None)
    assert first[0].data == second[0].data == CONTENT[:10]
    cache.ask(3)
    cache.ws.serve()
    assert cache.names() == [3]


def test_briefs_are_bounded(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs long gone are forgotten; one that is leased again is the newest."""
    monkeypatch.setattr(limits, "BRIEFS", 9)
    cache.cache.know(brief(1))
    cache.cache.know(brief(10))
    assert cache.ask(2)[0].code == "no-blob"
    cache.ask(1)
    assert len(cache.ws.asked) == 1
    cache.ws.serve()


def test_a_bundle_beyond_all_bounds_is_not_fetched(cache: Cache) -> None:
    """A size that no bundle can have is refused before a byte of it is asked for."""
    cache.cache.know(msgspec.structs.replace(brief(1), size=shared.MAX_ARCHIVE_BYTES + 1))
    (error,) = cache.ask(1)
    assert error.code == "too-large" and not cache.ws.asked and cache.names() == []


def test_what_a_killed_fetch_left_is_removed(cache: Cache) -> None:
    """Unfinished files go at the next start, and whole ones stay."""
    cache.ask(1)
    cache.ws.serve()
    left = cache.folder / f".{brief(2).job}.jar.part"
    left.write_bytes(b"half")
    cache.cache.clear_unfinished()
    assert not left.exists() and cache.names() == [1]
