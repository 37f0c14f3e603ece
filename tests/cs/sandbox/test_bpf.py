"""The filter of system calls: judged by an interpreter of BPF, by the kernel's headers, and by the kernel itself."""

from __future__ import annotations

import errno
import os
import platform
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from cs.sandbox import bpf
from cs.sandbox.plan import PlanError
from cs.sandbox.syscalls import ARCHITECTURES, NEWEST

ALLOWED = "allowed"
KILLED = "killed"
MACHINES = sorted(ARCHITECTURES)
HEADERS = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}
CLONE_NEW = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
CLONE_OF_A_THREAD = 0x3D0F00
O_CREAT, O_TMPFILE = 0o100, 0o20200000


def interpret(program: bytes, data: bytes) -> int:
    """Run classic BPF as the kernel does: jumps go forward only, so it ends."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    position = accumulator = 0
    while True:
        operation, if_true, if_false, operand = instructions[position]
        position += 1
        match operation:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x06:
                return int(operand)
            case 0x15:
                position += if_true if accumulator == operand else if_false
            case 0x35:
                position += if_true if accumulator >= operand else if_false
            case 0x45:
                position += if_true if accumulator & operand else if_false
            case _:
                raise AssertionError(f"unknown operation {operation:#x}")


def judge(machine: str, call: str | int, *arguments: int, audit: int | None = None) -> str | int:
    """ALLOWED, KILLED, or the error that the call returns."""
    kernel = ARCHITECTURES[machine]
    number = kernel.calls[call] if isinstance(call, str) else call
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, kernel.audit if audit is None else audit, 0, *words)
    action = interpret(bpf.program(machine), data)
    if action & 0xFFFF0000 == 0x00050000:
        return action & 0xFFFF
    return {0x7FFF0000: ALLOWED, 0x80000000: KILLED}[action]


def of_each_machine(*calls: str) -> list[tuple[str, str]]:
    return [(machine, call) for machine in MACHINES for call in calls if call in ARCHITECTURES[machine].calls]


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    """No call is refused under another's number; x86's header is on such machines only."""
    if machine == "x86_64" != platform.machine():
        pytest.skip("this machine has no header of x86_64")
    text = Path(HEADERS[machine]).read_text(encoding="ascii")
    header = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)\n", text)}
    ours = ARCHITECTURES[machine].calls
    assert {name: header[name] for name in ours if name in header} == {
        n: ours[n] for n in ours if n in header
    }
    assert all(number > 450 for name, number in ours.items() if name not in header)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_kernel_would_take_the_program(machine: str) -> None:
    """It is short enough, no jump leaves it, and it ends with a return."""
    instructions = list(struct.iter_unpack("=HBBI", bpf.program(machine)))
    assert len(instructions) < 4096
    for position, (operation, if_true, if_false, _) in enumerate(instructions):
        if operation in (0x15, 0x35, 0x45):
            assert position + 1 + max(if_true, if_false) < len(instructions)
    assert instructions[-1] == (0x06, 0, 0, 0x7FFF0000)


def test_every_name_is_a_call_of_some_machine() -> None:
    """A misspelt name would refuse nothing."""
    known = set().union(*(kernel.calls for kernel in ARCHITECTURES.values()))
    assert set(bpf.NOT_PERMITTED) | set(bpf.NOT_THERE) <= known


def test_a_call_has_one_judgement() -> None:
    """The two lists and the calls judged by arguments are apart, so none hides another."""
    named = [*bpf.NOT_PERMITTED, *bpf.NOT_THERE]
    assert len(named) == len(set(named))
    assert set(named) | {
        "clone", "open", "openat", "creat", "mkdir", "mkdirat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat",
        "ioctl", "prlimit64", "personality", "socket", "socketpair",
    } == set(ARCHITECTURES["x86_64"].calls)  # fmt: skip


def test_an_unknown_machine_is_refused_by_name() -> None:
    """There is no cell without a filter."""
    with pytest.raises(PlanError, match="riscv64"):
        bpf.program("riscv64")


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_architecture_end_the_process(machine: str) -> None:
    """The 32-bit table and x32 have other numbers: nothing of them is judged, all is killed."""
    assert judge(machine, 1, audit=0x40000003) == KILLED
    assert judge(machine, 1, audit=0x40000028) == KILLED
    if machine == "x86_64":
        assert judge(machine, 0x40000000 | 39) == KILLED
        assert judge(machine, 0xFFFFFFFF) == KILLED


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_newer_than_our_table_is_not_there(machine: str) -> None:
    """Neither a call of a later kernel, nor one that fills the gap below 424."""
    gap = range(ARCHITECTURES[machine].gap, 424)
    for number in (*gap, NEWEST + 1, NEWEST + 2, 0x3FFFFFFF):
        assert judge(machine, number) == errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_all_that_is_not_named_is_allowed(machine: str) -> None:
    """Programs work: the filter refuses what it names."""
    kernel = ARCHITECTURES[machine]
    unnamed = set(range(NEWEST + 1)) - set(kernel.calls.values()) - set(range(kernel.gap, 424))
    assert {judge(machine, number, *[0xFFFFFFFFFFFFFFFF] * 6) for number in unnamed} == {ALLOWED}


@pytest.mark.parametrize(("machine", "call"), of_each_machine(*bpf.NOT_PERMITTED))
def test_what_is_not_permitted_is_so_with_any_arguments(machine: str, call: str) -> None:
    """No argument makes them harmless."""
    assert judge(machine, call) == errno.EPERM
    assert judge(machine, call, *[0xFFFFFFFFFFFFFFFF] * 6) == errno.EPERM


@pytest.mark.parametrize(("machine", "call"), of_each_machine(*bpf.NOT_THERE))
def test_what_libraries_can_do_without_is_not_there(machine: str, call: str) -> None:
    """ENOSYS is what makes them take the older call."""
    assert judge(machine, call, *[0xFFFFFFFFFFFFFFFF] * 6) == errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("flag", CLONE_NEW)
def test_a_child_in_new_namespaces_is_refused(machine: str, flag: int) -> None:
    """Threads and plain children are not; the kernel looks at the lower half of the flags, and so do we."""
    assert judge(machine, "clone", flag | 17) == errno.EPERM
    assert judge(machine, "clone", flag | CLONE_OF_A_THREAD) == errno.EPERM
    assert judge(machine, "clone", flag | 0xFFFFFFFF00000000) == errno.EPERM
    assert judge(machine, "clone", 17) == judge(machine, "clone", CLONE_OF_A_THREAD) == ALLOWED
    assert judge(machine, "clone", 17 | flag << 32) == ALLOWED


@pytest.mark.parametrize(
    ("machine", "call", "place"),
    [
        (machine, call, place)
        for call, place in {
            "chmod": 1, "fchmod": 1, "fchmodat": 2, "creat": 1, "mkdir": 1, "mkdirat": 2, "mknod": 1, "mknodat": 2,
        }.items()
        for machine, _ in of_each_machine(call)
    ],
)  # fmt: skip
def test_set_id_bits_are_refused_wherever_a_mode_is_given(machine: str, call: str, place: int) -> None:
    """In the argument that is the mode, whatever else is in its register; other bits are free."""
    for mode in (0o4755, 0o2755, 0o6000, 0o107777, 0xDEADBEEF_00004000 | 0o4000):
        assert judge(machine, call, *[0] * place, mode) == errno.EPERM
    assert judge(machine, call, *[0xFFFFFFFF] * place, 0o1777) == ALLOWED


@pytest.mark.parametrize(("machine", "call"), of_each_machine("open", "openat"))
@pytest.mark.parametrize("flags", [O_CREAT, O_TMPFILE, O_CREAT | 0o2, 0xFFFFFFFF])
def test_files_are_not_made_with_set_id_bits(machine: str, call: str, flags: int) -> None:
    """The mode counts where a file is made; elsewhere it is what the register happened to hold."""
    before = [0] if call == "open" else [0, 0]
    assert judge(machine, call, *before, flags, 0o4755) == errno.EPERM
    assert judge(machine, call, *before, flags, 0o755) == ALLOWED
    assert judge(machine, call, *before, 0o2, 0o6755) == ALLOWED
    assert judge(machine, call, *before, 0o200000, 0o6755) == ALLOWED  # O_DIRECTORY, a bit of O_TMPFILE


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", ["socket", "socketpair"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((1, 1, 0), ALLOWED),
        ((1, 5 | 0o2000000, 1), ALLOWED),  # SOCK_SEQPACKET, SOCK_CLOEXEC
        ((2, 1 | 0o4000, 6), ALLOWED),
        ((10, 2, 17), ALLOWED),
        ((2, 2, 0), ALLOWED),
        ((2, 3, 1), errno.EPERM),  # raw
        ((2, 10, 3), errno.EPERM),  # packet
        ((10, 5, 132), errno.EPERM),  # SCTP, one to many
        ((2, 1, 132), errno.EPROTONOSUPPORT),  # SCTP
        ((2, 1, 262), errno.EPROTONOSUPPORT),  # MPTCP
        ((2, 2, 136), errno.EPROTONOSUPPORT),  # UDP-Lite
        *(((family, 2, 0), errno.EAFNOSUPPORT) for family in (0, 3, 9, 16, 17, 21, 29, 31, 38, 40, 44)),
        ((1 << 32 | 16, 3, 0), errno.EAFNOSUPPORT),
    ],
)
def test_sockets_are_the_machines_own_tcp_and_udp(
    machine: str, call: str, arguments: tuple[int, ...], expected: str | int
) -> None:
    """Each further family and protocol is refused as a kernel without it would."""
    assert judge(machine, call, *arguments) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_terminals_cannot_be_typed_into(machine: str) -> None:
    """TIOCSTI, TIOCLINUX, TIOCCONS and TIOCSETD, also with bits that the kernel cuts off; TCGETS is free."""
    for request in (0x5412, 0x541C, 0x541D, 0x5423, 0xFFFFFFFF_00005412):
        assert judge(machine, "ioctl", 0, request) == errno.EPERM
    assert judge(machine, "ioctl", 0, 0x5401) == ALLOWED


@pytest.mark.parametrize("machine", MACHINES)
def test_limits_and_personality_are_ones_own(machine: str) -> None:
    """No limit of another process; no bug-compatible memory layout; asking is allowed."""
    assert judge(machine, "prlimit64", 0, 7) == judge(machine, "prlimit64", 0xFFFFFFFF_00000000, 7) == ALLOWED
    assert judge(machine, "prlimit64", 1, 7) == judge(machine, "prlimit64", 0xFFFFFFFF) == errno.EPERM
    for wanted in (0, 0x40000, 0xFFFFFFFF):
        assert judge(machine, "personality", wanted) == ALLOWED
    for wanted in (8, 0x400000, 0x100000, 0x20000):
        assert judge(machine, "personality", wanted) == errno.EPERM


def under_the_filter(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter that is under the filter, on the kernel of this machine."""
    program = (
        "import ctypes, errno, os, socket, subprocess, sys, threading\n"
        "from cs.sandbox import bpf, linux\n"
        "linux.forgo_privileges(); linux.filter_calls(bpf.program())\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def error_of(name, *arguments):\n"
        "    return 0 if getattr(libc, name)(*arguments) >= 0 else ctypes.get_errno()\n"
    )
    argv = [sys.executable, "-c", program + code]
    return subprocess.run(argv, capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False)


def test_the_kernel_refuses_what_the_filter_says(tmp_path: Path) -> None:
    """The same judgements by the real thing, as root too."""
    done = under_the_filter(
        "open('file', 'w').close()\n"
        "print(error_of('unshare', 0x10000000), error_of('mount', b'a', b'/', b'tmpfs', 0, None),\n"
        "  error_of('ptrace', 0, 0, 0, 0), error_of('chmod', b'file', 0o4755), error_of('chmod', b'file', 0o700),\n"
        "  error_of('socket', 16, 3, 0), error_of('socket', 1, 1, 0), error_of('syscall', 425, 1, None),\n"
        "  error_of('syscall', 435, None, 0), error_of('syscall', 9999), error_of('sethostname', b'x', 1),\n"
        "  error_of('open', b'other', os.O_CREAT, 0o4600), error_of('open', b'file', os.O_RDWR, 0o4600))\n",
        tmp_path,
    )
    eperm, enosys = errno.EPERM, errno.ENOSYS
    expected = [eperm] * 4 + [0, errno.EAFNOSUPPORT, 0, enosys, enosys, enosys, eperm, eperm, 0]
    assert (done.stderr, list(map(int, done.stdout.split()))) == ("", expected)


def test_ordinary_programs_live_under_the_filter(tmp_path: Path) -> None:
    """Threads, processes, name look-ups, temporary files and sockets of the loopback work."""
    done = under_the_filter(
        "import multiprocessing, tempfile, time\n"
        "thread = threading.Thread(target=time.time); thread.start(); thread.join()\n"
        "print(subprocess.run(['/bin/sh', '-c', 'echo $((6*7))'], capture_output=True).stdout.decode().strip())\n"
        "print(socket.getaddrinfo('127.0.0.1', 80, type=socket.SOCK_STREAM)[0][4][0])\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    socket.create_connection(server.getsockname()).close()\n"
        "with tempfile.TemporaryFile(dir='.') as file: print(file.write(b'12'))\n"
        "print(multiprocessing.get_context('fork').Pool(1).map(abs, [-3]))\n",
        tmp_path,
    )
    assert (done.stderr, done.stdout.split()) == ("", ["42", "127.0.0.1", "2", "[3]"])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the other tables are x86's")
@pytest.mark.parametrize("way", ["x32", "i386"])
def test_a_call_by_another_table_kills(tmp_path: Path, way: str) -> None:
    """getpid by x32's number, and by the gate of 32-bit programs: a kernel without them ends the process as well."""
    code = {
        "x32": "libc.syscall(0x40000000 | 39)\n",
        "i386": (
            "import mmap\n"
            "page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)\n"
            "page.write(bytes.fromhex('b814000000cd80c3'))\n"  # mov eax, 20; int 0x80; ret
            "ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()\n"
        ),
    }[way]
    done = under_the_filter(code + "print('alive')", tmp_path)
    assert done.stdout == ""
    assert -done.returncode in (signal.SIGSYS, signal.SIGSEGV)


def test_the_filter_is_for_this_machine() -> None:
    """Untold, it is the one of uname(2)."""
    assert bpf.program() == bpf.program(os.uname().machine)
