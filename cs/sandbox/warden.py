"""Pid 1 of a cell: runs one task after the other, and leaves nothing of one to the next. Read it twice.

It is our code behind all the walls, with no more rights than a task, which has the same account: so a task cannot
trace or read it (it is not dumpable), its signals do not arrive (the kernel gives pid 1 only those that it handles,
and it handles none), and whatever else a task can do to its siblings is looked for afterwards. A warden that finds
anything odd says so and ends, and everything in the cell ends with it. Standard library only.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from cs.sandbox import linux, wire
from cs.sandbox.script import Program

PROXY = ("127.0.0.1", 3128)
"""Where the network's proxy is to be found inside."""

FOLDERS = ("/tmp", "/dev/shm")
"""The folders in memory, emptied after each task."""

REAP = 0.5
"""Seconds between two looks at whether a task left orphans, which would fill its limit of processes."""

GONE = 2.0
"""Seconds in which all that a task left must have died; what has not is stuck in the kernel."""

ENTRIES = 1_000
"""Files that are removed after a task; more are for the kernel, which forgets a whole cell faster."""

DEPTH = 32
"""Folders below each other that are removed after a task."""

_WALL = 0x40000000  # __WALL, wait(2): also children whose end sends another signal than SIGCHLD
_PR_SET_DUMPABLE = 4
_LIMITS = range(16)  # RLIM_NLIMITS of every architecture
_CONTROL = 3
_FIRST_CLOSED = 5


class Warden(NamedTuple):
    """What a warden is made with: its socket, and what each of its Python tasks finds."""

    connection: socket.socket
    network: bool
    preload: Sequence[str]
    python_paths: Sequence[str]


def main(arguments: list[str]) -> Program:
    """The warden of a cell that ``bwrap`` made: it was executed, with its socket inherited."""
    made = json.loads(arguments[0])
    connection = socket.socket(fileno=made.pop("connection"))
    connection.set_inheritable(False)
    gc.collect()
    gc.freeze()
    return serve(Warden(connection, **made))


class Standing(NamedTuple):
    """What processes of one account can change in each other, and what they can leave behind.

    System V's objects, which outlive their makers too, are refused by the filter of system calls.
    """

    processors: frozenset[int]
    priority: int
    policy: int
    limits: tuple[tuple[int, int], ...]
    folders: tuple[tuple[int, int, int], ...]

    @classmethod
    def now(cls) -> Standing:
        """As it is now; the same after a task as before it, or the cell is not used again."""
        return cls(
            frozenset(os.sched_getaffinity(0)),
            os.getpriority(os.PRIO_PROCESS, 0),
            os.sched_getscheduler(0),
            tuple(resource.getrlimit(each) for each in _LIMITS),
            tuple(_folder(path) for path in FOLDERS),
        )


class Harvest:
    """The processes that ended since a task began."""

    def __init__(self, main: int) -> None:
        self.main = main
        self.status: int | None = None
        """The wait status of the task's main process, once it has ended."""
        self.cpu = 0.0
        self.memory = 0
        self.killed = 0
        """How many others died of SIGKILL after the main one."""

    def gather(self) -> bool:
        """Collect all that ended, without waiting. True while there are others."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG | _WALL)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.main:
                self.status = status
            elif self.status is not None and os.WIFSIGNALED(status):
                self.killed += os.WTERMSIG(status) == signal.SIGKILL
            self.cpu += usage.ru_utime + usage.ru_stime
            self.memory = max(self.memory, usage.ru_maxrss * 1024)


def serve(warden: Warden) -> Program:
    """Run tasks until the connection ends, and then end. Returns only in a task's process: what it is to run."""
    if os.getpid() != 1:
        raise RuntimeError("a warden kills all that it can see: it must be pid 1")
    linux.prctl(_PR_SET_DUMPABLE, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # which Python handles; a task could end its cell with it
    try:
        return _serve(warden)
    except BaseException as error:
        if os.getpid() == 1:
            _give_up(warden.connection, f"{type(error).__name__}: {error}")
        raise


def _serve(warden: Warden) -> Program:
    connection = warden.connection
    _introduce(warden)
    sys.path.extend(warden.python_paths)
    preload, standing = warden.preload, None
    while (received := wire.receive(connection)) is not None:
        if "stop" in received.message:  # it crossed the report of the task that it meant
            continue
        if preload:
            _load(preload, received.message["environment"])
            preload = ()
        standing = standing or Standing.now()
        reader, writer = os.pipe()
        main = os.fork()
        if main == 0:
            connection.detach()  # its number is closed with all others
            return _become(received, writer)
        os.close(writer)
        wire.close_all(received.descriptors)
        _attend(connection, main, reader, standing)
    os._exit(0)


def _introduce(warden: Warden) -> None:
    """The first message: the folders in memory, whose use the spawner measures, and the socket that listens."""
    held = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in FOLDERS]
    if warden.network:
        listener = socket.create_server(PROXY, backlog=128)
        held.append(listener.detach())
    wire.send(warden.connection, {"ready": len(held)}, held)
    wire.close_all(held)


def _load(modules: Sequence[str], environment: dict[str, str]) -> None:
    """Import what the tasks will import. One that cannot be imported says so in the first task that tries."""
    os.environ.update(environment)
    for module in modules:
        try:
            __import__(module)
        except (Exception, SystemExit):  # noqa: S112 - it is the task's to see
            continue
    os.environ.clear()
    gc.collect()
    gc.freeze()


def _become(received: wire.Received, complaints: int) -> Program:
    """In a task's process: turn into the task, or say why not and end."""
    try:
        task = received.message
        os.setsid()
        _arrange(received.descriptors, complaints)
        complaints = _CONTROL + 1
        for number, limit in task["limits"]:
            _lower(number, limit)
        os.chdir(task["cwd"])
        linux.prctl(_PR_SET_DUMPABLE, 1)
        if task["entry"] is None:
            _execute(task)
        os.close(complaints)
        return _program(task)
    except BaseException as error:
        os.write(complaints, str(error).encode(errors="replace")[:4000])
    os._exit(127)


def _arrange(outputs: Sequence[int], complaints: int) -> None:
    """0 reads nothing, 1 and 2 are the outputs, 3 is the control channel, 4 is for complaints: and no more."""
    held = [os.open(os.devnull, os.O_RDONLY), *outputs, complaints]
    for target, descriptor in enumerate([_out_of_the_way(descriptor) for descriptor in held]):
        os.dup2(descriptor, target, inheritable=target <= _CONTROL)
    os.closerange(_FIRST_CLOSED, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _out_of_the_way(descriptor: int) -> int:
    while descriptor < _FIRST_CLOSED:
        descriptor = os.dup(descriptor)
    return descriptor


def _lower(number: int, limit: Sequence[int]) -> None:
    hard = resource.getrlimit(number)[1]
    soft, most = (value if hard == resource.RLIM_INFINITY else min(value, hard) for value in limit)
    resource.setrlimit(number, (soft, most))


def _execute(task: dict[str, Any]) -> NoReturn:
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would keep that
        signal.signal(number, signal.SIG_DFL)
    os.execve(task["argv"][0], task["argv"], task["environment"])  # noqa: S606 - this is the door


def _program(task: dict[str, Any]) -> Program:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(task["environment"])
    drawn = sys.modules.get("numpy.random")
    if drawn is not None:  # else each task draws the same numbers; Python's own generator sees to itself
        drawn.seed()
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    return Program(task["entry"], task["arguments"], paths)


def _attend(connection: socket.socket, main: int, reader: int, standing: Standing) -> None:
    """From a task's start to the report of its end."""
    complaint = _read_all(reader)
    if complaint:
        os.waitpid(main, 0)
        wire.send(connection, {"failed": complaint})
        return
    wire.send(connection, {"started": main})
    harvest = Harvest(main)
    _wait(connection, harvest)
    odd = _clear(harvest, standing)
    report = {"ended": harvest.status, "cpu": harvest.cpu, "memory": harvest.memory, "strays": harvest.killed}
    wire.send(connection, {**report, "odd": odd})
    if odd:
        os._exit(0)


def _wait(connection: socket.socket, harvest: Harvest) -> None:
    """Until the main process has ended."""
    handle = os.pidfd_open(harvest.main)
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    poll.register(handle, select.POLLIN)
    while harvest.status is None:
        ready = [descriptor for descriptor, _ in poll.poll(REAP * 1000)]
        if connection.fileno() in ready:
            received = wire.receive(connection)
            if received is None:
                os._exit(0)
            if "stop" in received.message:
                os.killpg(harvest.main, signal.SIGTERM)
        harvest.gather()
    os.close(handle)


def _clear(harvest: Harvest, standing: Standing) -> str:
    """Kill all that is left and undo what was done; what could not be undone, in words."""
    deadline = time.monotonic() + GONE
    while harvest.gather():
        if time.monotonic() > deadline:
            return "a process does not die"
        try:
            os.kill(-1, signal.SIGKILL)  # all of the cell but this process, and nobody can fork meanwhile
        except ProcessLookupError:
            continue
        time.sleep(0.0005)
    after = Standing.now()
    if after.folders != standing.folders:
        try:
            _empty()
        except (OSError, RecursionError) as error:
            return f"a folder in memory cannot be emptied: {error}"
        after = Standing.now()
    changed = [name for name in Standing._fields if getattr(after, name) != getattr(standing, name)]
    return f"the task changed {', '.join(changed)}" if changed else ""


def _empty() -> None:
    """Remove what a task left in memory. Raises OSError when it resists, or is more than what is worth it."""
    left = ENTRIES
    for folder in FOLDERS:
        left = _remove_below(folder, left, DEPTH)


def _remove_below(folder: str, left: int, depth: int) -> int:
    """How many more entries may be removed. Nobody changes anything meanwhile."""
    with os.scandir(folder) as entries:
        for entry in entries:
            left -= 1
            if left < 0 or depth == 0:
                raise OSError("there is too much in it")
            if entry.is_dir(follow_symlinks=False):
                left = _remove_below(entry.path, left, depth - 1)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
    return left


def _folder(path: str) -> tuple[int, int, int]:
    """Its mode, and how much of it is free: of memory, and of files."""
    space = os.statvfs(path)
    return os.stat(path).st_mode, space.f_bfree, space.f_ffree


def _read_all(descriptor: int) -> str:
    parts = []
    while part := os.read(descriptor, 4096):
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode(errors="replace")


def _give_up(connection: socket.socket, sentence: str) -> NoReturn:
    try:
        wire.send(connection, {"failed": sentence[:4000], "odd": sentence[:4000]})
    finally:
        os._exit(1)
