"""What the compute server and its spawner say to each other: tagged msgpack maps, length first.

The server sends Run, Stop, Say and Hush; the spawner answers a Run with Failed, or with Started, Beats, Saids and one
Ended, and in a sandbox with a network with Listening first.
One attempt runs at a time, so no message carries an id: a Stop that crosses an Ended finds nothing to stop.
Both ends are the same version of the same code; nothing here is read from a network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

import msgspec

from cs.spawner import limits
from rjs.errors import ProtocolError

HEADER = 4
"""Bytes of the length, big endian, in front of each message."""

Positive = Annotated[int, msgspec.Meta(gt=0)]
LimitName = Literal[
    "memory", "wall_time", "cpu_time", "file_size", "output", "processes", "disk", "files", "descriptors"
]
FailedCode = Literal["spawner.output", "spawner.program", "spawner.occupied", "spawner.sandbox"]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one attempt may use. Bytes, seconds on a clock that counts sleep, processes."""

    memory: Positive
    """Summed over the main process and all its descendants, polled: a fast job overshoots before it is killed."""
    wall_time: Annotated[float, msgspec.Meta(gt=0)]
    file_size: Positive = limits.FILE_SIZE
    output: Positive = limits.OUTPUT
    processes: Positive = limits.PROCESSES
    """Alive at once, polled. The kernel allows THREADS_PER_PROCESS threads for each, unless the account is root's."""
    cpu_time: Annotated[float, msgspec.Meta(gt=0)] = limits.CPU_TIME
    """Seconds of processor time over all processes, polled; the kernel stops each single process there."""
    descriptors: Positive = limits.DESCRIPTORS
    """Open at once in one process, in a sandbox; the kernel refuses more."""
    disk: Positive = limits.DISK
    """Bytes that all files below ``Run.sweep`` take together, polled."""
    files: Positive = limits.FILES
    """Files and folders below ``Run.sweep``, polled."""


class Wall(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One mount of a sandbox: the host's ``source`` is seen at ``target``; both are absolute."""

    source: str
    target: str
    writable: bool = False


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cell that an attempt runs in. Attempts with equal values may follow each other in one cell."""

    key: str
    """Whatever must not share a cell has another one: the bundle's id is part of it."""
    binds: tuple[Wall, ...]
    """All mounts, those of the system included, in order."""
    tmp_bytes: Positive
    """The size of ``/tmp`` and, separately, of ``/dev/shm``; what they hold counts as memory."""
    way: Literal["own", "bubblewrap"] = "own"
    fresh: bool = False
    """A cell for this attempt alone."""
    network: bool = False
    """Something listens at 127.0.0.1:3128 inside; the socket comes out with Listening."""
    preload: tuple[str, ...] = ()
    """Modules that the cell imports once, before it forks the first Script; each Script finds them loaded. With
    ``python_paths`` it is a cell for this attempt alone: what was loaded may go on running in its first process."""
    python_paths: tuple[str, ...] = ()
    """Folders inside, appended to ``sys.path`` of the cell and so of each Script."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A Python program that the cell forks and runs as its interpreter would; nothing is executed."""

    entry: str
    """The path of a file inside, or ``package.module:function``."""
    arguments: tuple[str, ...] = ()


class Run(msgspec.Struct, frozen=True, tag="run", forbid_unknown_fields=True):
    """Start an attempt. All paths are absolute; ``environment`` is complete, nothing is inherited.

    In a sandbox ``argv``, ``cwd`` and ``environment`` are as seen inside, all other paths are the host's.
    """

    argv: tuple[str, ...]
    """``argv[0]`` is the path of the program; no search path is consulted. Empty only with a ``script``."""
    cwd: str
    environment: dict[str, str]
    stdout: str
    """A file that must not exist yet; the spawner creates it, 0600. So too ``stderr``."""
    stderr: str
    limits: Limits
    sandbox: Sandbox | None = None
    """None: unconfined, in the owner's own account."""
    script: Script | None = None
    """In a sandbox only: run this instead of ``argv``."""
    sweep: str = ""
    """The folder whose bytes and files are held against the limits; empty: nothing is counted."""

    def __post_init__(self) -> None:
        """What msgspec cannot say of single fields. Raises ValueError."""
        if not self.argv and self.script is None:
            raise ValueError("a run needs a command line or a script")
        if self.script is not None and self.sandbox is None:
            raise ValueError("a script runs in a sandbox only")


class Stop(msgspec.Struct, frozen=True, tag="stop", forbid_unknown_fields=True):
    """End the running attempt: SIGTERM to its process group, SIGKILL to all of it after ``grace`` seconds."""

    grace: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Say(msgspec.Struct, frozen=True, tag="say", forbid_unknown_fields=True):
    """Tell the running attempt these bytes through its control channel; what it does not take is dropped."""

    data: bytes


class Hush(msgspec.Struct, frozen=True, tag="hush", forbid_unknown_fields=True):
    """Close the control channel of the running attempt, which goes on."""


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The program runs as process ``pid``, leader of its own session. In a sandbox ``pid`` is pid 1 of its cell."""

    pid: int


class Listening(msgspec.Struct, frozen=True, tag="listening"):
    """The socket that the cell listens with comes along, as one descriptor; before Started."""


class Beat(msgspec.Struct, frozen=True, tag="beat"):
    """The spawner watches; the attempt last measured ``memory`` bytes in ``processes`` processes."""

    memory: int
    processes: int


class Said(msgspec.Struct, frozen=True, tag="said"):
    """Bytes that the attempt wrote to its control channel, in order. None come after its Ended."""

    data: bytes


class LimitHit(msgspec.Struct, frozen=True):
    """The limit that ended an attempt: its name, what was allowed and what was measured (the limit's unit)."""

    name: LimitName
    allowed: float
    measured: float


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The attempt is over and, unless ``left`` says otherwise, none of its processes exists any more."""

    exit_status: int | None
    """0–255, or None when ``signal`` ended the main process."""
    signal: int | None
    limit: LimitHit | None
    """The first limit that was hit: the attempt was killed for it, or (file size) died of it."""
    stopped: bool
    """A Stop came before the main process had ended."""
    wall_seconds: float
    cpu_seconds: float
    """User and system time of all processes, except those whose parent declined to wait for them."""
    max_memory: int
    """Bytes: the largest sum seen by polling, or the largest single process, whichever is more. Never below the
    spawner's own size (some 12 MB), out of which the main process is made."""
    strays: int
    """Processes besides the main one that had to be killed."""
    left: int = 0
    """Processes that did not die in time (stuck in the kernel); nothing new runs before they are gone."""


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The attempt could not be started and left nothing; ``sentence`` names file and reason."""

    code: FailedCode
    sentence: str


Request = Run | Stop | Say | Hush
Report = Listening | Started | Beat | Said | Ended | Failed
T = TypeVar("T")

_requests = msgspec.msgpack.Decoder(Request)
_reports = msgspec.msgpack.Decoder(Report)


def frame(message: Request | Report) -> bytes:
    """One message as bytes for the socket. Raises ProtocolError when it is longer than the cap."""
    body = msgspec.msgpack.encode(message)
    if len(body) > limits.MESSAGE:
        raise ProtocolError(f"a spawner message of {len(body)} bytes is over the cap of {limits.MESSAGE}")
    return len(body).to_bytes(HEADER, "big") + body


class Inbox:
    """Collects received bytes and gives out whole messages. One direction of one socket."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def requests(self, data: bytes) -> list[Request]:
        """The server's messages that ``data`` completes. Raises ProtocolError."""
        return [_decode(_requests, body) for body in self._bodies(data)]

    def reports(self, data: bytes) -> list[Report]:
        """The spawner's messages that ``data`` completes. Raises ProtocolError."""
        return [_decode(_reports, body) for body in self._bodies(data)]

    def _bodies(self, data: bytes) -> Iterator[bytes]:
        self._pending += data
        while len(self._pending) >= HEADER:
            length = int.from_bytes(self._pending[:HEADER], "big")
            if length > limits.MESSAGE:
                raise ProtocolError(f"a spawner message claims {length} bytes; the cap is {limits.MESSAGE}")
            if len(self._pending) < HEADER + length:
                return
            body = bytes(self._pending[HEADER : HEADER + length])
            del self._pending[: HEADER + length]
            yield body


def _decode(decoder: msgspec.msgpack.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"a spawner message cannot be read: {error}") from error
