"""Takes more than it was given: ``hogs.py WHAT``, one function each. Whoever is not stopped says ``through``."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

from probing import call, tell

MIB = 1 << 20
MUCH = 300
"""MiB that each hog of memory or disk wants; more than any of the tests allows."""

_NO_RESERVE = 0x4000  # MAP_NORESERVE
_HOLD = 60.0


def hold() -> None:
    """Keep what was taken until somebody notices; far longer than any limit needs."""
    time.sleep(_HOLD)


def allocated() -> None:
    """Memory as everybody gets it."""
    block = b"x" * (MUCH * MIB)
    hold()
    del block


def files_in(folder: str) -> None:
    """Files in a folder, which may be memory."""
    for number in range(MUCH):
        Path(folder, f"hog{number}").write_bytes(b"x" * MIB)


def tmp() -> None:
    """Files in memory: its size is a wall of its own."""
    files_in("/tmp")
    hold()


def shm() -> None:
    """The same in the other place."""
    files_in("/dev/shm")
    hold()


def tmp_and_allocated() -> None:
    """Neither alone is too much."""
    for number in range(60):
        Path("/tmp", f"hog{number}").write_bytes(b"x" * MIB)
    block = b"x" * (60 * MIB)
    hold()
    del block


def tmp_names() -> None:
    """Empty files: each takes memory of the kernel's."""
    for number in range(200_000):
        Path("/tmp", str(number)).touch()
    hold()


def memfd() -> None:
    """Files in memory without a name, mapped by nobody."""
    held = []
    for _ in range(MUCH):
        held.append(os.memfd_create("hog"))
        os.write(held[-1], b"x" * MIB)
    hold()


def sysv() -> None:
    """Segments that nobody is attached to."""
    libc = ctypes.CDLL(None)
    libc.shmat.restype = ctypes.c_void_p
    for _ in range(MUCH // 10):
        segment = call("shmget", 0, 10 * MIB, 0o1600)
        address = libc.shmat(segment, None, 0)
        ctypes.memset(address, 1, 10 * MIB)
        libc.shmdt(ctypes.c_void_p(address))
    hold()


def page_tables() -> None:
    """A page of zeros here and there, over half a terabyte: a gibibyte of tables, and nothing resident."""
    room = mmap.mmap(-1, 512 << 30, flags=mmap.MAP_PRIVATE | _NO_RESERVE)
    for offset in range(0, 512 << 30, 2 * MIB):
        room[offset]
    hold()


def pipes() -> None:
    """What waits in pipes belongs to no process."""
    ends = []
    for _ in range(MUCH):
        ends.append(os.pipe())
        call("fcntl", ends[-1][1], 1031, MIB)  # F_SETPIPE_SZ
        os.write(ends[-1][1], b"x" * MIB)
    hold()


def bytes_on_disk() -> None:
    """Many files, none of which is too large."""
    files_in("out")
    hold()


def bytes_beside() -> None:
    """Where the attempt's own folder does not count it."""
    files_in("/work")
    hold()


def bytes_unlinked() -> None:
    """Files that no folder names any more."""
    held = []
    for number in range(MUCH):
        path = f"out/hog{number}"
        held.append(os.open(path, os.O_RDWR | os.O_CREAT))
        os.write(held[-1], b"x" * MIB)
        os.unlink(path)
    hold()


def bytes_unnamed() -> None:
    """Files that never had a name."""
    held = []
    for _ in range(MUCH):
        held.append(os.open("out", os.O_RDWR | os.O_TMPFILE))
        os.write(held[-1], b"x" * MIB)
    hold()


def bytes_hidden() -> None:
    """The same, where nobody may look at what this process has open."""
    call("prctl", 4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
    bytes_unnamed()


def bytes_behind_a_door() -> None:
    """In folders that are shut, the topmost too: who stands inside writes on."""
    os.chmod("/work", 0)
    os.chmod("/proc/self/cwd/.", 0o300)
    files_in("out")
    hold()


def bytes_behind_a_pane() -> None:
    """In a folder of which the names may be read, and no more; its files were open before."""
    held = [os.open(f"out/hog{number}", os.O_WRONLY | os.O_CREAT) for number in range(MUCH)]
    os.chmod("out", 0o400)
    for descriptor in held:
        os.write(descriptor, b"x" * MIB)
    hold()


def bytes_reserved() -> None:
    """Room that was never written."""
    for number in range(MUCH):
        descriptor = os.open(f"out/hog{number}", os.O_RDWR | os.O_CREAT)
        os.posix_fallocate(descriptor, 0, MIB)
        os.close(descriptor)
    hold()


def many_files() -> None:
    """Files without a byte."""
    for number in range(20_000):
        Path("out", str(number)).touch()
    hold()


def deep_folders() -> None:
    """One folder in another, deeper than any path is long."""
    for _ in range(20_000):
        os.mkdir("d")
        os.chdir("d")
    hold()


def one_file() -> None:
    """A single large file, and no Python that turns the kernel's signal into an error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    with Path("out/large").open("wb") as file:
        for _ in range(MUCH):
            file.write(b"x" * MIB)


def processor() -> None:
    """One that spins."""
    while True:
        pass


def processors() -> None:
    """Many that spin, each for less than the limit of one."""
    end = time.process_time() + 0.2
    for number in count():
        if os.fork() == 0:
            if number % 2:
                os.setsid()
            while time.process_time() < end:
                pass
            os._exit(0)
        if number >= 3:
            os.wait()


def sleeper() -> None:
    """Deaf to every signal that can be ignored."""
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError):
            signal.signal(number, signal.SIG_IGN)
    tell("deaf", "ready")
    hold()


def bomb() -> None:
    """Forks, and its children fork."""
    while True:
        try:
            os.fork()
        except OSError:
            time.sleep(0.01)


def much_to_free() -> None:
    """Two GiB, honestly told of, which the kernel is a while about when this ends."""
    memory = mmap.mmap(-1, 2 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for start in range(0, 2 << 30, mmap.PAGESIZE):
        memory[start] = 1
    tell("much_to_free", "taken")
    os._exit(0)


def threads() -> None:
    """Threads count as the kernel counts them."""
    import threading

    for _ in range(5_000):
        threading.Thread(target=hold, daemon=True).start()
    hold()


def descriptors() -> None:
    """Opens and never closes."""
    held = [os.open("/dev/null", os.O_RDONLY)]
    try:
        while len(held) < 100_000:
            held.append(os.dup(held[0]))
    except OSError as error:
        tell("descriptors", [error.errno, len(held)])
        sys.exit(0)


def flood(stream: int) -> None:
    """Prints."""
    while True:
        os.write(stream, b"flood\n" * 10_000)


def stdout() -> None:
    """To the first stream."""
    flood(1)


def stderr() -> None:
    """To the second."""
    flood(2)


globals()[sys.argv[1]]()
tell(sys.argv[1], "through")
