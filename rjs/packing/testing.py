"""Heads of executables for tests, each as small as its format allows; nothing here can run."""

from __future__ import annotations

import struct


def elf(machine: int = 62, kind: int = 3, bits: int = 2) -> bytes:
    """A program with one segment of names, loaded at 0x1000, and one dynamic section that needs two libraries."""
    names = b"\0libc.so.6\0libfoo.so.1\0"
    dynamic = struct.pack("<8Q", 1, 1, 1, 11, 5, 0x1000, 0, 0)
    start = 64 + 2 * 56
    head = (
        b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9) + struct.pack("<HHIQQQI", kind, machine, 1, 0, 64, 0, 0)
    )
    head += struct.pack("<HHHHHH", 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, start, 0x1000, 0, len(names), len(names), 1)
    section = struct.pack("<IIQQQQQQ", 2, 4, start + len(names), 0, 0, len(dynamic), len(dynamic), 1)
    return head + load + section + names + dynamic


def macho(machine: int = 0x0100_0007, kind: int = 2) -> bytes:
    """A program that loads one library by its path."""
    name = b"/usr/lib/libSystem.B.dylib\0\0\0\0\0\0"
    command = struct.pack("<IIIIII", 0x0C, 24 + len(name), 24, 0, 0, 0) + name
    return b"\xcf\xfa\xed\xfe" + struct.pack("<IIIIIII", machine, 0, kind, 1, len(command), 0, 0) + command


def fat(*machines: int) -> bytes:
    """A universal program's list of processors."""
    slots = b"".join(struct.pack(">IIIII", machine, 0, 0, 0, 0) for machine in machines)
    return b"\xca\xfe\xba\xbe" + struct.pack(">I", len(machines)) + slots


def pe(machine: int = 0x8664, flags: int = 0x0022) -> bytes:
    """A program for Windows."""
    head = b"PE\0\0" + struct.pack("<HHIIIHH", machine, 0, 0, 0, 0, 0, flags)
    return b"MZ" + bytes(58) + struct.pack("<I", 64) + head
