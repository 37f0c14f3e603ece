"""The history of a run under faults: everything that was done, seen and found, one event a JSON line.

``at`` is in seconds of this machine's steady clock (CLOCK_BOOTTIME), which all processes of a run share. Values only;
whoever acts or looks writes with ``HistoryFile.tell``, and the checker reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO

import msgspec

from rjs.attempts import Fence
from rjs.clock import steady_seconds


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Something that happened."""

    at: float = 0.0


# --- what the harness did and saw ------------------------------------------------------------------------


class Began(Event, frozen=True):
    """The run begins: its seed, and the names of its compute servers."""

    seed: int
    compute_servers: tuple[str, ...]


class Healed(Event, frozen=True):
    """The last fault is over; from here every task has a given time to end."""


class FaultBegan(Event, frozen=True):
    """A fault of this kind is done to a machine; ``amount`` says how much of it."""

    kind: str
    host: str
    amount: float


class FaultEnded(Event, frozen=True):
    """It is undone."""

    kind: str
    host: str


class ServerStarted(Event, frozen=True):
    """A server's process was started."""

    server: str
    pid: int


class ServerEnded(Event, frozen=True):
    """A server's process ended. ``status`` as subprocess has it; ``wanted``: the harness ended it."""

    server: str
    status: int
    wanted: bool


class Submitting(Event, frozen=True):
    """Somebody is about to submit a job; ``values`` seeds what its tasks must answer."""

    job: str
    tasks: int
    values: int
    way: str


class Accepted(Event, frozen=True):
    """The submitter heard that the job was accepted."""

    job: str


class Refused(Event, frozen=True):
    """The submitter heard that the upload will never be a job."""

    job: str
    why: str


class Cancelled(Event, frozen=True):
    """The submitter heard that the job was cancelled."""

    job: str


class AnswerSeen(Event, frozen=True):
    """The submitter saw a task's answer in ``ans/``."""

    job: str
    task: int
    sha256: str


class CommitNoticed(Event, frozen=True):
    """A CS heard that this answer of its attempt was committed."""

    cs: str
    job: str
    task: int
    fence: Fence
    sha256: str


# --- what the tasks wrote --------------------------------------------------------------------------------


class TaskStarted(Event, frozen=True):
    """A task's own program began."""

    cs: str
    job: str
    task: int
    fence: Fence


class TaskStopped(Event, frozen=True):
    """A task's own program came to its end."""

    cs: str
    job: str
    task: int
    fence: Fence


# --- what was found when everything had been stopped -----------------------------------------------------


class JobFound(Event, frozen=True):
    """A job in the WS's journal. ``closed``: the end of all its tasks that have none of their own, or empty."""

    job: str
    tasks: int
    closed: str
    reason: str


class EndFound(Event, frozen=True):
    """A task's end in the WS's journal: committed, failed or cancelled."""

    job: str
    task: int
    state: str
    reason: str
    sha256: str


class AnswerFound(Event, frozen=True):
    """A file in ``ans/``: what its receipt says and the digest of its value, or why it is no answer."""

    job: str
    task: int
    sha256: str
    cs: str = ""
    fence: Fence = Fence(0, 0, 0)
    value: str = ""
    fault: str = ""


class LedgerFound(Event, frozen=True):
    """The last attempt at a task in a CS's ledger."""

    cs: str
    job: str
    task: int
    fence: Fence


AnyEvent = (
    Began
    | Healed
    | FaultBegan
    | FaultEnded
    | ServerStarted
    | ServerEnded
    | Submitting
    | Accepted
    | Refused
    | Cancelled
    | AnswerSeen
    | CommitNoticed
    | TaskStarted
    | TaskStopped
    | JobFound
    | EndFound
    | AnswerFound
    | LedgerFound
)

_decoder = msgspec.json.Decoder(AnyEvent)


class HistoryFile:
    """A history that is being written. Every event is in the file when ``tell`` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[AnyEvent] = []
        self._file: IO[bytes] = path.open("xb", buffering=0)

    def tell(self, event: AnyEvent) -> None:
        """Add the event, at this moment unless it has a time of its own."""
        timed = event if event.at else msgspec.structs.replace(event, at=steady_seconds())
        self.events.append(timed)
        self._file.write(msgspec.json.encode(timed) + b"\n")

    def tell_all(self, events: Iterable[AnyEvent]) -> None:
        """Add them in order."""
        for event in events:
            self.tell(event)

    def close(self) -> None:
        """Nothing more happens."""
        self._file.close()


def read_history(path: Path) -> list[AnyEvent]:
    """The events of a file, in order of time. Raises msgspec.DecodeError."""
    events = [_decoder.decode(line) for line in path.read_bytes().splitlines()]
    return in_time(events)


def in_time(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """The events in order of time; those of one moment stay in theirs."""
    return sorted(events, key=lambda event: event.at)
