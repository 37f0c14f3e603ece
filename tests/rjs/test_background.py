"""Coroutines held, loops that go on, work in threads: nothing fails silently or outlives its holder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from rjs.background import ImmediateWorkers, Tasks, ThreadWorkers, returns_deferred
from rjs.errors import OverloadedError


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """The messages of failures logged while the test runs."""
    messages: list[str] = []

    @implementer(ILogObserver)
    class Observer:
        def __call__(self, event: LogEvent) -> None:
            if "log_failure" in event:
                messages.append(str(event["log_format"]).format(**event))

    observer = cast(ILogObserver, Observer())
    globalLogPublisher.addObserver(observer)
    yield messages
    globalLogPublisher.removeObserver(observer)


async def wait_for(deferred: Deferred[object]) -> None:
    await deferred


def test_a_failing_coroutine_is_logged_by_name(logged: list[str]) -> None:
    """Nobody awaits it, so the log says whose it was and what it did."""
    tasks, waiting = Tasks("lus"), Deferred[object]()
    tasks.spawn("relay an answer", wait_for(waiting))
    assert logged == []
    waiting.errback(ZeroDivisionError())
    assert logged == ["lus: relay an answer failed"]


def test_stopping_cancels_and_waits_for_the_cleaning_up(logged: list[str]) -> None:
    """Stop returns when the last coroutine has ended, and no cancellation is reported as a failure."""
    tasks, tidied = Tasks("lus"), Deferred[object]()

    async def slow_to_end() -> None:
        try:
            await Deferred[None]()
        finally:
            await tidied

    tasks.spawn("first", slow_to_end())
    tasks.spawn("second", wait_for(Deferred()))
    stopped = list[object]()
    Deferred.fromCoroutine(tasks.stop()).addCallback(stopped.append)
    assert stopped == []
    tidied.callback(None)
    assert stopped == [None]
    assert logged == []


def test_nothing_starts_after_the_end() -> None:
    """A coroutine that is spawned too late does not run, and is not left un-awaited either."""
    tasks = Tasks("lus")
    tasks.cancel_all()
    ran: list[bool] = []

    async def late() -> None:
        ran.append(True)

    tasks.spawn("late", late())
    assert ran == []


def test_a_loop_survives_its_own_failures(logged: list[str]) -> None:
    """Each failure is logged by name, and the next round comes all the same."""
    clock, tasks, rounds = Clock(), Tasks("ws"), list[float]()

    def expire() -> None:
        rounds.append(clock.seconds())
        if len(rounds) == 2:
            raise ZeroDivisionError
        if len(rounds) == 3:
            raise CancelledError

    tasks.repeat(clock, "expire", 5, expire)
    clock.pump([5, 5, 5, 5])
    assert rounds == [5, 10, 15, 20]
    assert logged == ["ws: expire failed", "ws: expire was cancelled from within"]
    tasks.cancel_all()
    assert clock.getDelayedCalls() == []


def test_a_loop_waits_for_its_work() -> None:
    """A round that takes long delays the next one, so that two never overlap."""
    clock, tasks, rounds = Clock(), Tasks("ws"), list[Deferred[object]]()

    async def slow() -> None:
        rounds.append(Deferred())
        await rounds[-1]

    tasks.repeat(clock, "slow", 5, slow)
    clock.pump([5, 5, 5])
    assert len(rounds) == 1
    rounds[0].callback(None)
    clock.advance(5)
    assert len(rounds) == 2
    tasks.cancel_all()


def test_the_bridge_keeps_arguments_results_and_errors() -> None:
    """A decorated coroutine function is an ordinary function that returns a Deferred."""

    @returns_deferred
    async def half(number: int) -> float:
        return number / (number % 2)

    results: list[Any] = []
    half(3).addCallback(results.append)
    half(2).addErrback(lambda failure: results.append(failure.type))
    assert results == [3.0, ZeroDivisionError]


class Threads:
    """A reactor whose threads do nothing until the test turns them, one piece of work at a time."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def getThreadPool(self) -> Threads:
        return self

    def callFromThread(self, f: Callable[..., Any], /, *args: object) -> None:
        f(*args)

    def callInThreadWithCallback(self, done: Callable[[bool, object], None], f: Callable[[], object]) -> None:
        self.work.append(lambda: done(True, f()))


def test_workers_are_bounded() -> None:
    """So many at once, so many waiting, and the next is refused rather than piled up."""
    pool = Threads()
    workers = ThreadWorkers(cast(ReactorBase, pool), at_once=2, waiting=1)
    results: list[int] = []
    running = [Deferred.fromCoroutine(workers.run(pow, 2, n)).addCallback(results.append) for n in range(3)]
    assert len(pool.work) == 2
    refused: list[Any] = []
    Deferred.fromCoroutine(workers.run(pow, 2, 3)).addErrback(lambda f: refused.append(f.type))
    assert refused == [OverloadedError]
    while pool.work:
        pool.work.pop(0)()
    assert results == [1, 2, 4]
    assert all(deferred.called for deferred in running)


def test_cancelled_work_is_dropped_or_unheard() -> None:
    """Work that waits is never begun; work under way keeps its place until it has really ended."""
    pool = Threads()
    workers = ThreadWorkers(cast(ReactorBase, pool), at_once=1, waiting=2)
    done, ends = list[str](), list[Any]()
    first, second, third = (
        Deferred.fromCoroutine(workers.run(done.append, name)) for name in ("1", "2", "3")
    )
    for cancelled in (first, second):
        cancelled.cancel()
        cancelled.addErrback(lambda failure: ends.append(failure.type))
    assert ends == [CancelledError, CancelledError]
    assert len(pool.work) == 1
    pool.work.pop()()
    pool.work.pop()()
    assert done == ["1", "3"]
    assert third.called


def test_immediate_workers_need_no_reactor() -> None:
    """Under test the result is there when the call returns, and an error is the function's own."""
    results: list[Any] = []
    Deferred.fromCoroutine(ImmediateWorkers().run(int, "12")).addCallback(results.append)
    Deferred.fromCoroutine(ImmediateWorkers().run(int, "x")).addErrback(lambda f: results.append(f.type))
    assert results == [12, ValueError]


IN_A_THREAD = """
import threading
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from rjs.background import ThreadWorkers

async def main():
    workers = ThreadWorkers(reactor)
    try:
        await workers.run(int, "x")
    except ValueError:
        print("raised in", threading.current_thread() is threading.main_thread())
    print("ran in", await workers.run(threading.current_thread) is threading.main_thread())
    reactor.stop()

reactor.callWhenRunning(lambda: Deferred.fromCoroutine(main()))
reactor.run()
"""


def test_work_leaves_the_reactors_thread_and_results_come_home() -> None:
    """With a real reactor the function runs in another thread and its outcome arrives in the reactor's."""
    done = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.splitlines() == ["raised in True", "ran in False"]
