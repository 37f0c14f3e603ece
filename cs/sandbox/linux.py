"""The calls to the Linux kernel that Python does not offer, as functions that raise OSError. Decides nothing.

Mounts are made by the calls of Linux 5.2 and 5.12, which work on descriptors: no path is looked up twice.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from typing import Final

from cs.sandbox.syscalls import SINCE_5_1

NEW_MOUNTS: Final = 0x00020000
NEW_USER: Final = 0x10000000
ALL_NAMESPACES: Final = NEW_MOUNTS | NEW_USER | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
"""CLONE_NEWNS and NEWUSER; with NEWCGROUP, NEWUTS, NEWIPC, NEWPID and NEWNET."""

READ_ONLY: Final = 0x01
NO_SET_ID: Final = 0x02
NO_DEVICES: Final = 0x04
NO_EXECUTION: Final = 0x08
"""MOUNT_ATTR_*, which are not the MS_* of mount(2)."""

_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_SECUREBITS = 28
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_LOCKED_SECUREBITS = (
    0b11101111  # NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, all four locked; KEEP_CAPS off
)
_CAPABILITY_VERSION_3 = 0x20080522

_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_MOVE_EMPTY_PATHS = 0x04 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6  # FSCONFIG_*
_MS_REC, _MS_PRIVATE = 0x4000, 1 << 18
_MNT_DETACH = 2
_IFF_UP, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 1, 0x8913, 0x8914

_libc = ctypes.CDLL(None, use_errno=True)
_ZEROES: Final = (ctypes.c_ulong(0),) * 3


def unshare(namespaces: int) -> None:
    """Leave the namespaces named by CLONE_NEW* bits for new ones; a new pid namespace begins with the next child."""
    _checked("unshare", _libc.unshare(ctypes.c_int(namespaces)))


def keep_mounts_private() -> None:
    """What is mounted in this mount namespace from here on stays in it, and nothing comes in from outside."""
    _checked("mount", _libc.mount(None, b"/", None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None))


def new_file_system(kind: str, options: dict[str, str], attributes: int) -> int:
    """A descriptor of a new file system's root, mounted nowhere yet."""
    context = _call("fsopen", kind.encode(), 1)
    try:
        for name, value in options.items():
            _call("fsconfig", context, _SET_STRING, name.encode(), value.encode(), 0)
        _call("fsconfig", context, _CREATE, None, None, 0)
        return _call("fsmount", context, 1, attributes)
    finally:
        os.close(context)


def copy_mounts(source: int, attributes: int) -> int:
    """A descriptor of a copy of the file or folder ``source`` with all that is mounted below, mounted nowhere yet.

    ``attributes`` are added to what each mount has: what the machine forbids stays forbidden.
    """
    copy = _call("open_tree", source, b"", _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_EMPTY_PATH | _AT_RECURSIVE)
    try:
        add_attributes(copy, attributes, recursively=True)
    except OSError:
        os.close(copy)
        raise
    return copy


def add_attributes(mount: int, attributes: int, *, recursively: bool = False) -> None:
    """Forbid more in a mount, and in all that is mounted below it."""
    values = struct.pack(
        "=QQQQ", attributes, 0, 0, 0
    )  # struct mount_attr: set, clear, propagation, user namespace
    _call("mount_setattr", mount, b"", _AT_EMPTY_PATH | _AT_RECURSIVE * recursively, values, len(values))


def attach(mount: int, target: int) -> None:
    """Put a mount over the file or folder ``target``."""
    _call("move_mount", mount, b"", target, b"", _MOVE_EMPTY_PATHS)


def change_root(root: int) -> None:
    """Make the mount ``root`` the root of this mount namespace; the old one, and all in it, is gone."""
    os.fchdir(root)
    _checked("pivot_root", _libc.pivot_root(b".", b"."))  # the old root comes to lie over the new one
    _checked("umount2", _libc.umount2(b".", ctypes.c_int(_MNT_DETACH)))
    os.chdir("/")


def set_hostname(name: str) -> None:
    """Name the machine, in this UTS namespace."""
    socket.sethostname(name)


def raise_loopback() -> None:
    """Bring up the loopback interface of this network namespace; the kernel gives it 127.0.0.1 and ::1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("=16sH22x", b"lo", 0))
        (flags,) = struct.unpack_from("=H", request, 16)
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("=16sH22x", b"lo", flags | _IFF_UP))


def drop_capabilities() -> None:
    """Give up every capability for good: no set holds one, and executing no program brings one back."""
    prctl(_PR_SET_SECUREBITS, _LOCKED_SECUREBITS)
    capability = 0
    while _libc.prctl(_PR_CAPBSET_READ, ctypes.c_ulong(capability), *_ZEROES) >= 0:
        prctl(_PR_CAPBSET_DROP, capability)
        capability += 1
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    _checked("capset", _libc.capset(header, bytes(24)))  # which empties the ambient set too


def forgo_privileges() -> None:
    """Set-user-id programs gain nothing from here on, in all descendants."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def filter_calls(program: bytes) -> None:
    """Let every system call from here on, in all descendants, pass ``program``: an array of struct sock_filter."""
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))  # struct sock_fprog
    _checked(
        "seccomp", _libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_SECCOMP_MODE_FILTER), header, *_ZEROES[1:])
    )


def show_memory() -> None:
    """/proc/self belongs to our own account, which may trace us."""
    prctl(_PR_SET_DUMPABLE, 1)


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument. Raises OSError."""
    _checked(f"prctl({option})", _libc.prctl(option, ctypes.c_ulong(value), *_ZEROES))


def _call(name: str, *arguments: int | bytes | None) -> int:
    """A system call that older C libraries have no function for."""
    number = ctypes.c_long(SINCE_5_1[name])
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    return _checked(name, _libc.syscall(number, *words))


def _checked(name: str, result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result
