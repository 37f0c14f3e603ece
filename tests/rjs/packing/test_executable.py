"""The heads of executables: what each kind says of its platform and libraries, and that hostile bytes only fail."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.needs import Platform
from rjs.packing.executable import ExecutableError, read_executable
from rjs.packing.testing import elf, fat, macho, pe

LINUX, MACOS, WINDOWS = (Platform(system, "x86_64") for system in ("linux", "macos", "windows"))


@pytest.mark.parametrize(
    ("data", "platforms", "libraries"),
    [
        (elf(), (LINUX,), ("libc.so.6", "libfoo.so.1")),
        (elf(183, kind=2), (Platform("linux", "aarch64"),), ("libc.so.6", "libfoo.so.1")),
        (macho(), (MACOS,), ("/usr/lib/libSystem.B.dylib",)),
        (macho(0x0100_000C), (Platform("macos", "aarch64"),), ("/usr/lib/libSystem.B.dylib",)),
        (fat(0x0100_0007, 0x0100_000C), (MACOS, Platform("macos", "aarch64")), ()),
        (pe(), (WINDOWS,), ()),
        (pe(0xAA64), (Platform("windows", "aarch64"),), ()),
        (b"#!/bin/sh\n", (), ()),
        (elf(machine=40), (Platform("linux", "processor 40"),), ("libc.so.6", "libfoo.so.1")),
    ],
)
def test_a_head_says_what_it_is_for(
    data: bytes, platforms: tuple[Platform, ...], libraries: tuple[str, ...]
) -> None:
    """Each kind of executable names its platform, universal ones several, and what it loads."""
    found = read_executable(data)
    assert (found.platforms, found.libraries) == (platforms, libraries)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"hello", "no executable of Linux"),
        (b"", "no executable of Linux"),
        (elf(bits=1), "64-bit"),
        (elf(kind=1), "object file"),
        (macho(kind=6), "library"),
        (pe(flags=0x2022), "DLL"),
        (b"MZ" + bytes(62), "DOS"),
        (b"\xca\xfe\xba\xbe\x00\x00\x00\x41", "Java"),
        (elf()[:40], "ends within"),
    ],
)
def test_what_cannot_run_says_why(data: bytes, why: str) -> None:
    """Objects, libraries, programs for smaller processors and other files are named for what they are."""
    with pytest.raises(ExecutableError, match=why):
        read_executable(data)


def test_the_interpreter_that_runs_this_is_for_this_platform() -> None:
    """A real executable, as a real linker made it."""
    found = read_executable(Path(sys.executable).resolve().read_bytes())
    assert found.platforms[0].os in ("linux", "macos")
    assert found.libraries


def test_an_offset_beyond_any_machine_only_fails() -> None:
    """A table of segments that no process could address is no executable."""
    data = bytearray(elf())
    data[32:40] = b"\xff" * 8
    with pytest.raises(ExecutableError):
        read_executable(bytes(data))


@given(
    st.sampled_from([elf(), macho(), fat(7, 8), pe()]),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=8),
    st.integers(0, 400),
)
def test_hostile_heads_only_fail(data: bytes, changes: list[tuple[int, int]], length: int) -> None:
    """Whatever bytes are changed or cut off, an executable is read or refused, and nothing else happens."""
    changed = bytearray(data)
    for place, value in changes:
        changed[place % len(changed)] = value
    try:
        read_executable(bytes(changed[:length]))
    except ExecutableError as error:
        assert str(error)
