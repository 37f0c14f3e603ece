"""The filter that every system call of a cell passes: classic BPF for seccomp(2), assembled here.

It refuses by name what a job has no business with, and by number what is newer than our table. Read it twice: a jump
that is off by one opens a door. Arguments are judged by their lower 32 bits only where the kernel takes no more.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from cs.sandbox.plan import PlanError
from cs.sandbox.syscalls import ARCHITECTURES, NEWEST, Architecture

NOT_PERMITTED: Final = (
    # further namespaces, and file systems of its own
    "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsconfig",
    "fsmount", "fspick", "mount_setattr", "statmount", "listmount", "swapon", "swapoff", "quotactl", "quotactl_fd",
    # other processes: the warden is one
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "pidfd_getfd",
    "perf_event_open",
    # files by number, and what others do with files
    "name_to_handle_at", "open_by_handle_at", "fanotify_init", "fanotify_mark", "lookup_dcookie",
    # keyrings are the account's: no namespace holds them
    "add_key", "request_key", "keyctl",
    # the machine itself
    "bpf", "userfaultfd", "init_module", "finit_module", "delete_module", "create_module", "get_kernel_syms",
    "query_module", "kexec_load", "kexec_file_load", "reboot", "acct", "syslog", "settimeofday", "adjtimex",
    "clock_settime", "clock_adjtime", "sethostname", "setdomainname", "vhangup", "iopl", "ioperm", "modify_ldt",
    "nfsservctl", "uselib", "_sysctl", "lsm_set_self_attr",
)  # fmt: skip

NOT_THERE: Final = (
    # whose arguments no filter sees; libraries fall back to the older call, which ours judges
    "clone3", "openat2", "fchmodat2", "io_uring_setup", "io_uring_enter", "io_uring_register",
    # memory that is in no process and no sized folder, so nobody counts it; libraries fall back to /dev/shm
    "memfd_create", "memfd_secret", "shmget", "msgget", "semget",
)  # fmt: skip

_NAMESPACES: Final = 0x7E020000  # CLONE_NEW*; CLONE_NEWTIME is for clone3 and unshare only
_SET_ID: Final = 0o6000
_CREATES: Final = 0o100 | 0o20000000  # O_CREAT, __O_TMPFILE: without them open(2) looks at no mode
_PERSONALITIES: Final = (
    0,
    0x0040000,
    0xFFFFFFFF,
)  # Linux, without address randomisation (debuggers), the query
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_TYPE_MASK, _SOCK_STREAM, _SOCK_DGRAM = 0xF, 1, 2
_IPPROTO_ANY, _IPPROTO_TCP, _IPPROTO_UDP = 0, 6, 17
_TERMINAL_REQUESTS: Final = (0x5412, 0x541C, 0x541D, 0x5423)  # TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT = 0x15, 0x35, 0x45
_KILL, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = (
    0,
    4,
    16,
)  # offsets in struct seccomp_data; both machines are little-endian

_Instruction = tuple[int, int, int, int]
"""Operation, instructions to skip when a jump's condition holds, and when it does not, operand."""


@cache
def program(machine: str = "") -> bytes:
    """The filter as an array of ``struct sock_filter``, for ``machine`` as uname(2) calls it, or for this one.

    Made once (0.5 ms). Raises PlanError for a machine whose calls we do not know.
    """
    name = machine or os.uname().machine
    if name not in ARCHITECTURES:
        raise PlanError(f"there is no system call filter for {name}: only for {' and '.join(ARCHITECTURES)}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in _program(ARCHITECTURES[name]))


def _program(kernel: Architecture) -> Iterator[_Instruction]:
    yield (_LOAD, 0, 0, _ARCHITECTURE)
    yield (_JUMP_EQUAL, 1, 0, kernel.audit)
    yield (_RETURN, 0, 0, _KILL)
    yield (_LOAD, 0, 0, _NUMBER)
    if kernel.other_abi:
        yield from ((_JUMP_ANY_BIT, 0, 1, kernel.other_abi), (_RETURN, 0, 0, _KILL))
    yield from ((_JUMP_AT_LEAST, 0, 1, NEWEST + 1), (_RETURN, 0, 0, _error(errno.ENOSYS)))
    yield from ((_JUMP_AT_LEAST, 0, 2, kernel.gap), (_JUMP_AT_LEAST, 1, 0, 424))
    yield (_RETURN, 0, 0, _error(errno.ENOSYS))
    for call, judgement in _judgements().items():
        if call in kernel.calls:
            yield (_JUMP_EQUAL, 0, len(judgement), kernel.calls[call])
            yield from judgement
    yield (_RETURN, 0, 0, _ALLOW)


def _judgements() -> dict[str, list[_Instruction]]:
    """What happens to a call, by its name: instructions of which the last one reached returns."""
    by_arguments = {
        "clone": _refuse_bits(0, _NAMESPACES),
        "open": _refuse_created(1, 2),
        "openat": _refuse_created(2, 3),
        "creat": _refuse_bits(1, _SET_ID),
        "mkdir": _refuse_bits(1, _SET_ID),
        "mkdirat": _refuse_bits(2, _SET_ID),
        "mknod": _refuse_bits(1, _SET_ID),
        "mknodat": _refuse_bits(2, _SET_ID),
        "chmod": _refuse_bits(1, _SET_ID),
        "fchmod": _refuse_bits(1, _SET_ID),
        "fchmodat": _refuse_bits(2, _SET_ID),
        "ioctl": [_load(1), *_none_of(_TERMINAL_REQUESTS, errno.EPERM), _allow()],
        "prlimit64": [_load(0), *_one_of([0], errno.EPERM), _allow()],
        "personality": [_load(0), *_one_of(_PERSONALITIES, errno.EPERM), _allow()],
        "socket": _socket(),
        "socketpair": _socket(),
    }
    refused = {call: [_refuse(errno.EPERM)] for call in NOT_PERMITTED}
    return by_arguments | refused | {call: [_refuse(errno.ENOSYS)] for call in NOT_THERE}


def _socket() -> list[_Instruction]:
    """Sockets of the machine's own, TCP and UDP: each further protocol is code of the kernel's that few have read."""
    return [
        _load(0),
        *((_JUMP_EQUAL, 0, 1, _AF_UNIX), _allow()),
        *_one_of([_AF_INET, _AF_INET6], errno.EAFNOSUPPORT),
        _load(1),
        (_AND, 0, 0, _SOCK_TYPE_MASK),
        *_one_of([_SOCK_STREAM, _SOCK_DGRAM], errno.EPERM),
        _load(2),
        *_one_of([_IPPROTO_ANY, _IPPROTO_TCP, _IPPROTO_UDP], errno.EPROTONOSUPPORT),
        _allow(),
    ]


def _refuse_bits(argument: int, bits: int) -> list[_Instruction]:
    return [_load(argument), (_JUMP_ANY_BIT, 0, 1, bits), _refuse(errno.EPERM), _allow()]


def _refuse_created(flags: int, mode: int) -> list[_Instruction]:
    """Refuse files that are made with a set-id bit; where none is made, the mode is whatever was in the register."""
    return [_load(flags), (_JUMP_ANY_BIT, 1, 0, _CREATES), _allow(), *_refuse_bits(mode, _SET_ID)]


def _one_of(values: Iterable[int], error: int) -> list[_Instruction]:
    """Go on behind these when the accumulator is one of ``values``, else return ``error``."""
    wanted = list(values)
    jumps = [(_JUMP_EQUAL, len(wanted) - index, 0, value) for index, value in enumerate(wanted)]
    return [*jumps, _refuse(error)]


def _none_of(values: Iterable[int], error: int) -> list[_Instruction]:
    """Go on behind these when the accumulator is none of ``values``, else return ``error``."""
    return [part for value in values for part in ((_JUMP_EQUAL, 0, 1, value), _refuse(error))]


def _load(argument: int) -> _Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _refuse(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _error(error))


def _error(error: int) -> int:
    return _ERROR | error


def _allow() -> _Instruction:
    return (_RETURN, 0, 0, _ALLOW)
