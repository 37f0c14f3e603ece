"""Looks from inside whether the walls of a cell stand. Runs as pid 1 of it, by its text alone: standard library only.

A wall counts as standing when what it keeps out was tried and refused, not when something says that it is there.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterator

_CALLS = {  # with arguments that do no harm where the call is allowed
    "unshare": (0x10000000,),  # CLONE_NEWUSER
    "mount": (b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(0), None),
    "ptrace": (0, 0, 0, 0),  # PTRACE_TRACEME
    "chroot": (b"/",),
}
_FOREIGN_FAMILIES = {"netlink": 16, "packet": 17, "vsock": 40}
_WRITABLE = ("/tmp", "/dev/shm")


def main(arguments: list[str]) -> None:
    """Write a JSON list of all that is wrong to standard output, sentences each.

    The argument is JSON: the names in the root and the size of /tmp as the cell should have them.
    """
    roots, tmp_bytes = json.loads(arguments[0])
    found = [
        *_processes(),
        *_account(),
        *_calls(),
        *_network(),
        *_files(roots),
        *_program(),
        *_mounts(),
        *_memory(tmp_bytes),
    ]
    sys.stdout.write(json.dumps(found))
    sys.stdout.flush()


def _processes() -> Iterator[str]:
    if os.getpid() != 1:
        yield "it is not number 1 of its processes"
    if [name for name in os.listdir("/proc") if name.isdigit()] != ["1"]:
        yield "processes of the machine are seen"
    if os.getsid(0) != 1:
        yield "its session is the server's"
    if socket.gethostname() != "rjs":
        yield "the machine's own name is seen"


def _account() -> Iterator[str]:
    if {os.getuid(), os.geteuid(), os.getgid(), os.getegid()} != {1000}:
        yield "its account is not 1000"
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.split(":", 1) for line in file)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[name], 16):
            yield f"a capability is left ({name})"
    if status["NoNewPrivs"].strip() != "1":
        yield "programs can gain privileges"
    if status["Seccomp"].strip() != "2":
        yield "no filter of system calls is on"


def _calls() -> Iterator[str]:
    libc = ctypes.CDLL(None, use_errno=True)
    for name, arguments in _CALLS.items():
        if getattr(libc, name)(*arguments) >= 0 or ctypes.get_errno() != errno.EPERM:
            yield f"the system call {name} is not refused"
    for name, family in _FOREIGN_FAMILIES.items():
        if _succeeds(_raw_socket, family):
            yield f"sockets of the family {name} can be made"


def _network() -> Iterator[str]:
    with open("/proc/net/dev", encoding="ascii") as file:
        interfaces = {line.split(":")[0].strip() for line in file.readlines()[2:]}
    if interfaces != {"lo"}:
        yield "interfaces of the machine are seen"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        if _succeeds(any_socket.connect, ("192.0.2.1", 9)):  # RFC 5737: nobody's
            yield "there is a way into the network"
    with socket.create_server(("127.0.0.1", 0)) as server:
        if not _succeeds(_call, server.getsockname()):
            yield "its own loopback is down"


def _files(roots: list[str]) -> Iterator[str]:
    if foreign := set(os.listdir("/")).difference(roots):
        yield f"folders of the machine are seen: {', '.join(sorted(foreign))}"
    for path in ("/etc/shadow", "/dev/tty", "/dev/mem", "/proc/bus/input"):
        if os.path.lexists(path):
            yield f"{path} is there"
    for path in ("/new", "/usr/new", "/proc/sys/kernel/domainname", "/proc/sysrq-trigger"):
        if _succeeds(_open, path, os.O_WRONLY | os.O_CREAT):
            yield f"{path} can be written"
    for name in ("null", "zero", "urandom"):
        path = f"/dev/{name}"
        if not _succeeds(_open, path, os.O_RDWR):
            yield f"{path} cannot be used"
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if _succeeds(os.chmod, path, mode):
            yield f"the mode of the machine's {path} can be changed: do not run the server as root"


def _program() -> Iterator[str]:
    """Of the interpreter that runs us, which may have been opened outside."""
    path = "/proc/self/exe"
    if _succeeds(os.chmod, path, stat.S_IMODE(os.stat(path).st_mode)):
        yield "the mode of the machine's Python can be changed"
    if not os.statvfs(path).f_flag & os.ST_RDONLY:  # opening says only that it runs
        yield "the machine's Python could be written where it does not run"


def _mounts() -> Iterator[str]:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = [(line.split()[4], set(line.split()[5].split(","))) for line in file]
    for place, options in mounts:
        if "nosuid" not in options:
            yield f"set-user-id programs count at {place}"
        if "ro" not in options and place not in _WRITABLE and not place.startswith("/dev/"):
            yield f"{place} is writable"
        if "nodev" not in options and not place.startswith(("/dev/", "/proc/")):
            yield f"devices count at {place}"


def _memory(tmp_bytes: int) -> Iterator[str]:
    for path in _WRITABLE:
        space = os.statvfs(path)
        if space.f_blocks * space.f_frsize > tmp_bytes + os.sysconf("SC_PAGE_SIZE"):
            yield f"the size of {path} has no bound"
        if not _succeeds(os.mkdir, f"{path}/probe"):
            yield f"{path} cannot be written"


def _succeeds(attempt: Callable[..., object], *arguments: object) -> bool:
    try:
        attempt(*arguments)
    except OSError:
        return False
    return True


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags))


def _raw_socket(family: int) -> None:
    socket.socket(family, socket.SOCK_RAW).close()


def _call(address: tuple[str, int]) -> None:
    socket.create_connection(address, timeout=1).close()


if __name__ == "__main__":
    main(sys.argv[1:])
