"""Reaches for what is not the job's: files, processes, sockets and shared memory whose names it was told."""

from __future__ import annotations

import ctypes
import os
import socket
from functools import partial
from pathlib import Path

from probing import arguments, attempt, call

KNOWN = arguments()
_MOVE_PAGES = 279 if os.uname().machine == "x86_64" else 239


def create(folder: str) -> None:
    """Make a file where nothing of the job's is."""
    path = f"{folder}/rjs-escape"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    os.unlink(path)


def open_for_writing(path: str) -> None:
    """Without changing anything."""
    os.close(os.open(path, os.O_WRONLY))


def connect(family: int, address: tuple[str, int] | str) -> None:
    """Talk to whoever listens there."""
    with socket.socket(family, socket.SOCK_STREAM) as ours:
        ours.settimeout(5)
        ours.connect(address)


def files() -> None:
    """What its owner, its server and other jobs have; and places where nothing of a job belongs."""
    for name, path in KNOWN["secrets"].items():
        attempt(f"read {name}", Path(path).read_bytes)
        attempt(f"list beside {name}", partial(os.listdir, Path(path).parent))
    for path in (
        "/etc/shadow",
        "/var/log",
        "/run",
        "/root",
        "/home",
        "/sys/kernel",
        "/boot",
        "/etc/ssl/private",
    ):
        attempt(f"look at {path}", partial(os.stat, path))
    attempt("create beside the secrets", partial(create, KNOWN["folder"]))
    for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/rjs", "/var/tmp"):
        attempt(f"create in {folder}", partial(create, folder))


def processes() -> None:
    """The one that the test named (the account's own, with a secret), and the parent of the job."""
    victim, parent = KNOWN["victim"], KNOWN["parent"]
    attempt("see the victim", partial(os.stat, f"/proc/{victim}"))
    attempt("signal the victim", partial(os.kill, victim, 0))
    attempt("signal its group", partial(os.killpg, victim, 0))
    attempt("hold the victim", partial(os.pidfd_open, victim))
    for name in ("environ", "maps", "mem", "auxv"):
        attempt(f"read the parent's {name}", partial(read_some, f"/proc/{parent}/{name}"))
    for name in ("root", "cwd", "exe", "fd/1", "ns/mnt"):
        attempt(f"follow the parent's {name}", partial(os.readlink, f"/proc/{parent}/{name}"))
    attempt("list the parent's descriptors", partial(os.listdir, f"/proc/{parent}/fd"))
    attempt("write the parent's memory", partial(open_for_writing, f"/proc/{parent}/mem"))
    attempt("enter the parent's root", partial(os.listdir, f"/proc/{parent}/root/etc"))
    attempt("trace the parent", partial(trace, parent))
    attempt("read the parent by process_vm_readv", partial(read_remotely, parent))
    attempt("limit the parent", partial(limit, parent))
    attempt("move the parent's pages", partial(call, "syscall", _MOVE_PAGES, parent, 0, None, None, None, 0))


def read_some(path: str) -> None:
    """Open; what the first page of memory says does not matter."""
    descriptor = os.open(path, os.O_RDONLY)
    if not path.endswith("mem"):
        os.read(descriptor, 100)
    os.close(descriptor)


def trace(pid: int) -> None:
    """Attach to it, and let go."""
    call("ptrace", 16, pid, None, None)
    os.waitpid(pid, 0x40000000)
    call("ptrace", 17, pid, None, None)


def read_remotely(pid: int) -> None:
    """A few bytes of what it said is there."""

    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    buffer = ctypes.create_string_buffer(8)
    near, far = Vector(ctypes.addressof(buffer), 8), Vector(KNOWN["address"], 8)
    call("process_vm_readv", pid, ctypes.byref(near), 1, ctypes.byref(far), 1, 0)


def limit(pid: int) -> None:
    """Read its limit of descriptors and set it to what it is."""
    pair = (ctypes.c_ulong * 2)()
    call("prlimit", pid, 7, None, pair)
    call("prlimit", pid, 7, pair, None)


def network() -> None:
    """Listeners of the machine, of every kind that has an address."""
    attempt("connect by IPv4", partial(connect, socket.AF_INET, ("127.0.0.1", KNOWN["port"])))
    attempt("connect by IPv6", partial(connect, socket.AF_INET6, ("::1", KNOWN["port6"])))
    attempt("connect to an abstract name", partial(connect, socket.AF_UNIX, "\0" + KNOWN["abstract"]))
    attempt("connect to a path", partial(connect, socket.AF_UNIX, KNOWN["path"]))
    attempt("connect in /tmp", partial(connect, socket.AF_UNIX, KNOWN["tmp path"]))


def shared_memory() -> None:
    """What another process of the account made with a key or a name that is known."""
    key = KNOWN["key"]
    attempt("SysV memory", partial(call, "shmget", key, 0, 0))
    attempt("SysV semaphores", partial(call, "semget", key, 0, 0))
    attempt("SysV messages", partial(call, "msgget", key, 0))
    attempt("POSIX messages", partial(call, "mq_open", KNOWN["queue"].encode(), os.O_RDWR))
    attempt("POSIX memory", partial(os.stat, f"/dev/shm/{KNOWN['memory']}"))


files()
processes()
network()
shared_memory()
