"""From a Run to a process: output files, fork, limits, exec. Knows nothing of what happens afterwards."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from cs.spawner import linux
from cs.spawner.channel import DESCRIPTOR, Channel
from cs.spawner.limits import THREADS_PER_PROCESS
from cs.spawner.messages import Failed, Limits, Run

_COMPLAINTS = DESCRIPTOR + 1
_OUTPUT_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC


class LaunchError(Exception):
    """Nothing was started and nothing is left; ``failed`` says why."""

    def __init__(self, code: Literal["spawner.output", "spawner.program"], sentence: str) -> None:
        super().__init__(sentence)
        self.failed = Failed(code, sentence)


class Launched(NamedTuple):
    """A process that has executed its program, and our descriptors of its two output files."""

    pid: int
    outputs: tuple[int, int]


def launch(run: Run, threads: int, channel: Channel) -> Launched:
    """Start the main process of an attempt; the account runs ``threads`` threads already. Raises LaunchError.

    It inherits its end of ``channel``, and no other descriptor but its three streams.
    """
    outputs = _open_outputs(run)
    try:
        return Launched(_fork(run, outputs, threads, channel), outputs)
    except (LaunchError, OSError) as error:
        for path, descriptor in zip((run.stdout, run.stderr), outputs, strict=True):
            os.close(descriptor)
            Path(path).unlink(missing_ok=True)
        if isinstance(error, LaunchError):
            raise
        raise LaunchError("spawner.program", f"no process could be started: {error}") from error


def _open_outputs(run: Run) -> tuple[int, int]:
    stdout = _create(run.stdout)
    try:
        return stdout, _create(run.stderr)
    except LaunchError:
        os.close(stdout)
        Path(run.stdout).unlink(missing_ok=True)
        raise


def _create(path: str) -> int:
    try:
        return os.open(path, _OUTPUT_FLAGS, 0o600)
    except (OSError, ValueError) as error:
        raise LaunchError("spawner.output", f"the output file {path!r} cannot be created: {error}") from error


def _fork(run: Run, outputs: tuple[int, int], threads: int, channel: Channel) -> int:
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
    run: Run, outputs: tuple[int, int], threads: int, channel: Channel, complaints: int, parent: int
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


def _arrange_descriptors(outputs: tuple[int, int], control: int, complaints: int) -> None:
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
