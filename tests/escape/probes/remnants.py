"""Leaves whatever can be left for the next task of the cell, each where the next one would meet it.

What is refused is no remnant: ``look.py`` afterwards tells what is there.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from probing import attempt, call, tell

KEY = int(sys.argv[1])
_DEAF = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}


def daemons() -> None:
    """Processes that left session, group and parent, deaf, one of them with sockets of every kind."""
    for number in range(5):
        reader, writer = os.pipe()
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            for each in _DEAF:
                with suppress(OSError):
                    signal.signal(each, signal.SIG_IGN)
            held = listeners() if number == 0 else []
            os.write(writer, b".")
            time.sleep(60)
            del held
            os._exit(0)
        os.wait()
        os.read(reader, 1)


def listeners() -> list[socket.socket]:
    """At an abstract name, at ports, at a path."""
    held = []
    for family, address in (
        (socket.AF_UNIX, "\0rjs-remnant"),
        (socket.AF_UNIX, "/tmp/remnant.sock"),
        (socket.AF_INET, ("127.0.0.1", 4000)),
        (socket.AF_INET6, ("::1", 4000)),
    ):
        with suppress(OSError):
            held.append(socket.socket(family, socket.SOCK_STREAM))
            held[-1].bind(address)
            held[-1].listen()
    return held


def files() -> None:
    """In each place that can be written, with names and modes that are hard to remove."""
    for folder in ("/tmp", "/dev/shm", "/work", "/rjs"):
        with suppress(OSError):
            plant(folder)


def plant(folder: str) -> None:
    """What Python would load, what is too deep or too strange to list; and the folder itself shut."""
    for name in ("sitecustomize.py", "evil.pth", "json.py", "-rf", "new\nline"):
        Path(folder, name).write_text("import os; os.evil = 'remnant'")
    os.close(os.open(os.path.join(os.fsencode(folder), b"\xff\xfe"), os.O_CREAT | os.O_WRONLY))
    Path(folder, "__pycache__").mkdir()
    Path(folder, "link").symlink_to("/usr")
    os.mkfifo(Path(folder, "pipe"))
    here = os.open(".", os.O_RDONLY)
    os.chdir(folder)
    for _ in range(50 if folder == "/work" else 1_500):  # deeper there is a limit hit
        os.mkdir("deep")
        os.chdir("deep")
    os.fchdir(here)
    if folder != "/work":  # else it counts as all the files that there may be
        Path(folder, "deep").chmod(0)
        Path(folder).chmod(0)


def kernel_objects() -> None:
    """What stays in the kernel when its maker ends."""
    attempt("SysV memory", lambda: call("shmget", KEY, 4096, 0o1666))
    attempt("SysV semaphores", lambda: call("semget", KEY, 3, 0o1666))
    attempt("SysV messages", lambda: call("msgget", KEY, 0o1666))
    attempt("POSIX messages", lambda: call("mq_open", b"/rjs-remnant", os.O_RDWR | os.O_CREAT, 0o600, None))


def parent() -> None:
    """What a process may do to another one of its account: slow it down."""
    attempt("nice 1", lambda: os.setpriority(os.PRIO_PROCESS, 1, 19))
    attempt("nice all", lambda: os.setpriority(os.PRIO_USER, 0, 19))
    attempt("nice the group", lambda: os.setpriority(os.PRIO_PGRP, 1, 19))
    attempt("idle 1", lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)))
    attempt("bind 1", lambda: os.sched_setaffinity(1, {min(os.sched_getaffinity(0))}))
    attempt("ioprio 1", lambda: call("syscall", 251 if os.uname().machine == "x86_64" else 30, 1, 1, 3 << 13))


def own_process() -> None:
    """What ends with it, if every task is a process of its own."""
    os.environ["PYTHONPATH"] = "/tmp"
    os.umask(0)
    sys.path.insert(0, "/tmp")
    sys.modules["evil"] = os
    os.evil = "remnant"  # type: ignore[attr-defined]  # that is the attack
    signal.setitimer(signal.ITIMER_REAL, 1000)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})


def attributes() -> None:
    """What a folder has besides files and a mode."""
    for folder in ("/tmp", "/dev/shm", "/work"):
        with suppress(OSError):
            os.setxattr(folder, "user.remnant", b"here")
        os.utime(folder, (0, 0))


ALL = (daemons, files, kernel_objects, attributes, parent, own_process)
wanted = sys.argv[2:]
for leave in ALL:
    if not wanted or leave.__name__ in wanted:
        leave()
tell("all", "left")
if "look" in wanted:
    import look  # which does so when it is loaded

    look.state()
