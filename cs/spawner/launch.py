"""From a Run to a process: fork, limits, exec. Knows nothing of what happens afterwards."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from cs.spawner import linux
from cs.spawner.channel import DESCRIPTOR, Channel
from cs.spawner.errors import LaunchError
from cs.spawner.limits import THREADS_PER_PROCESS
from cs.spawner.messages import Limits, Run
from cs.spawner.outputs import Outputs

_COMPLAINTS = DESCRIPTOR + 1


def launch(run: Run, outputs: Outputs, threads: int, channel: Channel) -> int:
    """Start the main process of an attempt, whose number is returned; the account runs ``threads`` threads already.

    It inherits its end of ``channel``, and no other descriptor but its three streams. Raises LaunchError.
    """
    try:
        return _fork(run, outputs.descriptors, threads, channel)
    except OSError as error:
        raise LaunchError("spawner.program", f"no process could be started: {error}") from error


def _fork(run: Run, outputs: Sequence[int], threads: int, channel: Channel) -> int:
    """The number of a child that has executed the program. The pipe closes at exec, or says what went wrong."""
    reader, writer = os.pipe()
    parent = os.getpid()
    try:
        pid = os.fork()
        if pid == 0:
            _become(run, outputs, threads, channel, writer, parent)
        os.close(writer)
        writer = -1
        complaint = _read_all(reader)
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if complaint:
        os.waitpid(pid, 0)
        raise LaunchError("spawner.program", f"{run.argv[0]!r} cannot be run: {complaint}")
    return pid


def _read_all(descriptor: int) -> str:
    parts = []
    while part := os.read(descriptor, 4096):
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


def _become(
    run: Run, outputs: Sequence[int], threads: int, channel: Channel, complaints: int, parent: int
) -> NoReturn:
    """In the child: turn into the job, or say why not and end. Never returns, whatever happens."""
    try:
        signal.set_wakeup_fd(-1)
        os.setsid()
        linux.die_with_parent(signal.SIGKILL, parent)
        linux.forgo_privileges()
        _arrange_descriptors(outputs, channel.theirs.fileno(), complaints)
        complaints = _COMPLAINTS
        _volunteer_for_oom()
        _limit(run.limits, threads)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would keep that
            signal.signal(number, signal.SIG_DFL)
        os.chdir(run.cwd)
        os.execve(run.argv[0], run.argv, channel.environment(run.environment))  # noqa: S606 - this is the door
    except BaseException as error:
        with suppress(OSError):
            os.write(complaints, str(error).encode(errors="replace")[:4000])
    os._exit(127)


def _arrange_descriptors(outputs: Sequence[int], control: int, complaints: int) -> None:
    """0 reads nothing, 1 and 2 are the output files, 3 is the control channel, 4 is for complaints.

    All above 3 close at exec, as does every descriptor that Python opens (PEP 446); ours inherited none.
    """
    held = [os.open(os.devnull, os.O_RDONLY), *outputs, control, complaints]
    for target, descriptor in enumerate([_out_of_the_way(descriptor) for descriptor in held]):
        os.dup2(descriptor, target, inheritable=target <= DESCRIPTOR)


def _out_of_the_way(descriptor: int) -> int:
    """A copy that dup2 onto 0–4 cannot overwrite."""
    copies = [os.dup(descriptor)]
    while copies[-1] <= _COMPLAINTS:
        copies.append(os.dup(descriptor))
    return copies[-1]


def _volunteer_for_oom() -> None:
    """When the machine runs out of memory, the job dies before anything of the owner's does."""
    linux.show_memory()  # else our own file in /proc is root's; exec would do it anyway
    descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    os.write(descriptor, b"1000")
    os.close(descriptor)


def _limit(allowed: Limits, threads: int) -> None:
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, allowed.file_size)
    _lower(resource.RLIMIT_NPROC, threads + allowed.processes * THREADS_PER_PROCESS)


def _lower(which: int, value: int) -> None:
    """Set soft and hard limit to ``value``, or to the hard limit that is there when it is lower."""
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))
