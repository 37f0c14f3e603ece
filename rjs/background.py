"""What runs beside the reactor's own turn: coroutines that nobody awaits, periodic work, work in threads.

Every coroutine is awaited or held by a ``Tasks``; every loop is its ``repeat``; whatever computes or touches a
disk for more than a moment leaves the reactor through ``Workers``. It knows nothing of what the work is.
(Here a task is a coroutine under way; a job's tasks live in rjs.jobs.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger

from rjs import limits
from rjs.errors import OverloadedError

_log = Logger("rjs.background")

P = ParamSpec("P")
T = TypeVar("T")


class Timer(Protocol):
    """A call that is due later (Twisted's IDelayedCall)."""

    def active(self) -> bool:
        """It was neither called nor cancelled."""
        ...

    def cancel(self) -> None:
        """It will not be called. Raises when it is not active."""
        ...


class Timers(Protocol):
    """The part of a reactor (or of twisted.internet.task.Clock) that keeps time."""

    def seconds(self) -> float:
        """Steady seconds: only differences mean anything."""
        ...

    def callLater(self, delay: float, f: Callable[..., Any], /, *args: object) -> Timer:  # noqa: N802 (Twisted's)
        """Call it in ``delay`` seconds."""
        ...


class FromThreads(Protocol):
    """The part of a reactor through which another thread's results come home."""

    def callFromThread(self, f: Callable[..., Any], /, *args: object) -> None:  # noqa: N802 (Twisted's)
        """Call it soon in the reactor's thread; to be called from any thread."""
        ...


def returns_deferred(function: Callable[P, Coroutine[Deferred[Any], Any, T]]) -> Callable[P, Deferred[T]]:
    """Decorates an ``async def`` where Twisted wants a Deferred: the one door between the two."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return wrapper


class Tasks:
    """Holds coroutines that nobody awaits: logs the failure of each by name, and cancels them at the end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._running: set[Deferred[None]] = set()
        self._cancelled = False

    def spawn(self, what: str, coroutine: Coroutine[Deferred[Any], Any, object]) -> None:
        """Run ``coroutine`` to its end; ``what`` names it in the log. After ``cancel_all`` nothing starts."""
        if self._cancelled:
            coroutine.close()
            return
        running = Deferred.fromCoroutine(self._watched(what, coroutine))
        self._running.add(running)
        running.addBoth(lambda _: self._running.discard(running))

    async def _watched(self, what: str, coroutine: Coroutine[Deferred[Any], Any, object]) -> None:
        try:
            await coroutine
        except CancelledError:
            if not self._cancelled:
                _log.failure("{holder}: {what} was cancelled from within", holder=self._name, what=what)
        except Exception:
            _log.failure("{holder}: {what} failed", holder=self._name, what=what)

    def repeat(
        self, timers: Timers, what: str, seconds: float, work: Callable[[], Awaitable[object] | None]
    ) -> None:
        """Do ``work`` (a plain or an async function) again and again, the first time after ``seconds``.

        The pause of ``seconds`` is counted from the end of one round to the start of the next. Time asleep
        counts (rjs.clock), but missed rounds are not made up for. A failure of ``work`` is logged by name and
        never ends the loop; ``cancel_all`` does.
        """
        self.spawn(what, self._rounds(timers, what, seconds, work))

    async def _rounds(
        self, timers: Timers, what: str, seconds: float, work: Callable[[], Awaitable[object] | None]
    ) -> None:
        while not self._cancelled:
            await sleep(timers, seconds)
            await self._watched(what, _called(work))

    def cancel_all(self) -> None:
        """Cancel everything under way, and let nothing start any more."""
        self._cancelled = True
        for running in tuple(self._running):
            try:
                running.cancel()
            except Exception:  # one that cannot be cancelled must not keep the others running
                _log.failure("{holder}: a cancellation failed", holder=self._name)

    async def stop(self) -> None:
        """Cancel everything, and return when the last coroutine has ended, its cleaning up included."""
        self.cancel_all()
        await DeferredList([_ended(running) for running in self._running])


async def _called(work: Callable[[], Awaitable[object] | None]) -> None:
    outcome = work()
    if outcome is not None:
        await outcome


def _ended(running: Deferred[None]) -> Deferred[None]:
    """Fires when ``running`` has ended, without being a link of its chain."""
    ended: Deferred[None] = Deferred()
    running.addBoth(lambda _: ended.callback(None))
    return ended


def sleep(timers: Timers, seconds: float) -> Deferred[None]:
    """Fires in ``seconds``; cancelling it cancels the timer."""
    done: Deferred[None] = Deferred(lambda _: call.cancel())
    call = timers.callLater(seconds, done.callback, None)
    return done


class Workers(Protocol):
    """The one door through which CPU or disk work leaves the reactor."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, or its error. Raises OverloadedError when too much waits already.

        Cancelling stops the waiting: work not yet begun is dropped, work under way runs to its end unheard.
        """
        ...


class ThreadWorkers:
    """Workers in the reactor's pool of threads, a few at a time, so that looking up names finds a thread."""

    def __init__(
        self,
        reactor: ReactorBase,
        at_once: int = limits.WORKERS_AT_ONCE,
        waiting: int = limits.WORKERS_WAITING,
    ) -> None:
        self._reactor = reactor
        self._free = at_once
        self._most_waiting = waiting
        self._waiting: deque[tuple[Deferred[Any], Callable[[], Any]]] = deque()

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See Workers."""
        if len(self._waiting) >= self._most_waiting:
            raise OverloadedError("workers", f"{len(self._waiting)} pieces of work wait already; try later")
        done: Deferred[T] = Deferred()
        self._waiting.append((done, lambda: function(*args, **kwargs)))
        self._begin()
        return await done

    def _begin(self) -> None:
        while self._free and self._waiting:
            done, work = self._waiting.popleft()
            if not done.called:  # else it was cancelled while it waited
                self._free -= 1
                self._start(done, work)

    def _start(self, done: Deferred[Any], work: Callable[[], Any]) -> None:
        def cross(succeeded: bool, result: object) -> None:
            self._reactor.callFromThread(self._finished, done, result)

        self._reactor.getThreadPool().callInThreadWithCallback(cross, work)

    def _finished(self, done: Deferred[Any], result: object) -> None:
        self._free += 1
        self._begin()
        done.callback(result)  # a Failure starts the errback chain


class ImmediateWorkers:
    """Workers for tests: the work is done before ``run`` first waits for anything."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """See Workers."""
        return function(*args, **kwargs)
