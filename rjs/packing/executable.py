"""The head of a native executable: which platform it is for, and which libraries it asks that platform for.

ELF, Mach-O and PE, as far as that takes. References: System V ABI, chapters 4 and 5 (gABI 4.1); Apple's
``mach-o/loader.h`` and ``mach-o/fat.h``; Microsoft's PE Format. Scripts that begin with ``#!`` run too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from rjs.needs import Platform

_ELF: Final = b"\x7fELF"
_ELF_MACHINES: Final[Mapping[int, str]] = {62: "x86_64", 183: "aarch64"}
_ELF_EXECUTABLE: Final = (2, 3)
"""ET_EXEC and ET_DYN: the latter for programs that may lie anywhere, which most are."""
_MACHO: Final = b"\xcf\xfa\xed\xfe"
_MACHO_FAT: Final = b"\xca\xfe\xba\xbe"
_MACHO_MACHINES: Final[Mapping[int, str]] = {0x0100_0007: "x86_64", 0x0100_000C: "aarch64"}
_MACHO_EXECUTABLE: Final = 2
_MACHO_LIBRARIES: Final = frozenset({0x0C, 0x8000_0018, 0x8000_001F, 0x20, 0x8000_0023})
"""LC_LOAD_DYLIB and its weak, re-exported, lazy and upward kin."""
_PE: Final = b"PE\0\0"
_PE_MACHINES: Final[Mapping[int, str]] = {0x8664: "x86_64", 0xAA64: "aarch64"}
_PE_EXECUTABLE: Final = 0x0002
_PE_LIBRARY: Final = 0x2000
_DT_NEEDED: Final = 1
_DT_STRTAB: Final = 5
_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_MANY: Final = 4096
"""No executable has so many segments or libraries: what says so is broken."""
_FAT_COUNT: Final = range(1, 45)
"""Processors of a universal executable. A Java class begins with the same four bytes, and then 45 or more."""


class ExecutableError(Exception):
    """This is no executable of a kind that is known here; the message is the rest of a sentence about it."""


@attrs.frozen
class Executable:
    """What an executable runs on, several for a universal one, none for a script; libraries are as it names them."""

    kind: str
    platforms: tuple[Platform, ...]
    libraries: tuple[str, ...] = ()


def read_executable(data: bytes) -> Executable:
    """Read the head of an executable; raises ExecutableError."""
    try:
        if data.startswith(b"#!"):
            return Executable("script", ())
        if data.startswith(_ELF):
            return _elf(data)
        if data.startswith(_MACHO):
            return _macho(data)
        if data.startswith(_MACHO_FAT):
            return _fat(data)
        if data.startswith(b"MZ"):
            return _pe(data)
    except (struct.error, IndexError, OverflowError) as error:
        raise ExecutableError("ends within its headers") from error
    raise ExecutableError(
        "is no executable of Linux (ELF), macOS (Mach-O) or Windows (PE), and no script (#!)"
    )


def _elf(data: bytes) -> Executable:
    if data[4:6] != b"\x02\x01":
        raise ExecutableError("is not for a 64-bit, little-endian processor")
    kind, machine = struct.unpack_from("<HH", data, 16)
    if kind not in _ELF_EXECUTABLE:
        raise ExecutableError("is an object file or a core, no executable; link it")
    return Executable("ELF", _platforms("linux", machine, _ELF_MACHINES), tuple(_elf_libraries(data)))


def _elf_libraries(data: bytes) -> Iterator[str]:
    """DT_NEEDED of the dynamic section; its names are in the table that DT_STRTAB gives the address of."""
    start, size, count = struct.unpack_from("<Q", data, 32)[0], *struct.unpack_from("<HH", data, 54)
    segments = [struct.unpack_from("<IIQQQQ", data, start + size * i) for i in range(min(count, _MANY))]
    for kind, _, offset, _, _, length in segments:
        if kind == _PT_DYNAMIC:
            entries = list(struct.iter_unpack("<QQ", data[offset : offset + length // 16 * 16]))
            table = next((value for tag, value in entries if tag == _DT_STRTAB), None)
            names = None if table is None else _elf_place(table, segments)
            if names is not None:
                yield from (_text(data, names + value) for tag, value in entries if tag == _DT_NEEDED)


def _elf_place(address: int, segments: list[tuple[int, ...]]) -> int | None:
    """Where in the file the byte lies that is loaded to ``address``."""
    for kind, _, offset, start, _, length in segments:
        if kind == _PT_LOAD and start <= address < start + length:
            return offset + address - start
    return None


def _macho(data: bytes) -> Executable:
    machine, _, kind, count = struct.unpack_from("<IIII", data, 4)
    if kind != _MACHO_EXECUTABLE:
        raise ExecutableError("is an object file or library, no executable; link it")
    return Executable(
        "Mach-O", _platforms("macos", machine, _MACHO_MACHINES), tuple(_macho_libraries(data, count))
    )


def _macho_libraries(data: bytes, count: int) -> Iterator[str]:
    place = 32
    for _ in range(min(count, _MANY)):
        command, size = struct.unpack_from("<II", data, place)
        if command in _MACHO_LIBRARIES:
            yield _text(data, place + struct.unpack_from("<I", data, place + 8)[0])
        place += size


def _fat(data: bytes) -> Executable:
    """A universal executable: the head is big-endian and lists one Mach-O for each processor."""
    count = struct.unpack_from(">I", data, 4)[0]
    if count not in _FAT_COUNT:
        raise ExecutableError("is no universal executable; Java classes are packed with --main-class")
    machines = [struct.unpack_from(">I", data, 8 + 20 * i)[0] for i in range(count)]
    return Executable(
        "Mach-O", tuple(p for each in machines for p in _platforms("macos", each, _MACHO_MACHINES))
    )


def _pe(data: bytes) -> Executable:
    place = struct.unpack_from("<I", data, 0x3C)[0]
    if data[place : place + 4] != _PE:
        raise ExecutableError("is a program for DOS, not for Windows")
    machine = struct.unpack_from("<H", data, place + 4)[0]
    flags = struct.unpack_from("<H", data, place + 22)[0]
    if not flags & _PE_EXECUTABLE or flags & _PE_LIBRARY:
        raise ExecutableError("is an object file or a DLL, no executable; link it")
    return Executable("PE", _platforms("windows", machine, _PE_MACHINES))


def _platforms(system: str, machine: int, machines: Mapping[int, str]) -> tuple[Platform, ...]:
    return (Platform(system, machines.get(machine, f"processor {machine}")),)


def _text(data: bytes, place: int) -> str:
    end = data.find(b"\0", place)
    return data[place : end if end >= 0 else place + 1024][:1024].decode("utf-8", "replace")
