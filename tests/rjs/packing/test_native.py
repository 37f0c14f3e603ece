"""Native jobs: one executable for each platform, checked against what it says it is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from rjs.errors import UsageError
from rjs.needs import Platform, parse_platform
from rjs.packing import JobFiles, PackingError
from rjs.packing.native import gather_native
from rjs.packing.testing import elf, fat, macho, pe

LINUX = Platform("linux", "x86_64")
MACOS = Platform("macos", "aarch64")


def written(path: Path, data: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def toml_of(files: JobFiles) -> dict[str, object]:
    content = next(file.content for file in files.files if file.name == "job.toml")
    assert isinstance(content, bytes)
    return tomllib.loads(content.decode())


def test_each_platform_has_its_own_entry(tmp_path: Path) -> None:
    """Executables of one name lie apart, are executable whatever their mode, and the job is for their platforms."""
    executables = [
        (LINUX, written(tmp_path / "linux/sim", elf())),
        (MACOS, written(tmp_path / "mac/sim", macho(0x0100_000C))),
    ]
    files = gather_native(Path("walk"), executables, tasks=7)
    assert toml_of(files) == {
        "name": "walk",
        "runtime": "native",
        "tasks": 7,
        "resources": [
            {"os": "linux", "arch": "x86_64", "entry": "linux-x86_64/sim"},
            {"os": "macos", "arch": "aarch64", "entry": "macos-aarch64/sim"},
        ],
    }
    assert {file.name: file.executable for file in files.files} == {
        "job.toml": False,
        "linux-x86_64/sim": True,
        "macos-aarch64/sim": True,
    }
    assert files.descriptor.needs.platforms == (LINUX, MACOS)
    assert files.descriptor.on(MACOS).entry == "macos-aarch64/sim"
    assert files.descriptor.unneeded_files(MACOS) == {"linux-x86_64/sim"}


def test_a_folder_goes_along_whole_or_by_patterns(tmp_path: Path) -> None:
    """Data that every platform needs lies in a folder; ``include`` chooses of it."""
    sim = written(tmp_path / "sim", elf())
    written(tmp_path / "data/a.csv", b"1")
    written(tmp_path / "data/b.bin", b"2")
    whole = gather_native(tmp_path / "data", [(LINUX, sim)])
    some = gather_native(tmp_path / "data", [(LINUX, sim)], include=["*.csv"], name="x")
    assert [file.name for file in whole.files] == ["a.csv", "b.bin", "job.toml", "linux-x86_64/sim"]
    assert [file.name for file in some.files] == ["a.csv", "job.toml", "linux-x86_64/sim"]
    assert (whole.descriptor.name, some.descriptor.name) == ("data", "x")


def test_same_input_same_bytes(tmp_path: Path) -> None:
    """The order of the options is none of the bundle's business."""
    one = (LINUX, written(tmp_path / "a", elf()))
    two = (MACOS, written(tmp_path / "b", macho(0x0100_000C)))
    forth, back = (
        [(file.name, b"".join(file.chunks())) for file in gather_native(Path("x"), order).files]
        for order in ([one, two], [two, one])
    )
    assert forth == back


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """An executable for another platform, one twice, and none at all."""
    executables = [
        (LINUX, written(tmp_path / "windows.exe", pe())),
        (LINUX, written(tmp_path / "again", elf())),
        (MACOS, written(tmp_path / "text", b"hello")),
    ]
    with pytest.raises(PackingError) as refused:
        gather_native(Path("x"), executables)
    told = "\n".join(refused.value.faults)
    assert "is for windows-x86_64, not for linux-x86_64" in told
    assert "linux-x86_64 has two executables" in told
    assert "is no executable of Linux" in told


def test_a_universal_executable_serves_each_of_its_platforms(tmp_path: Path) -> None:
    """macOS has them for both processors."""
    both = written(tmp_path / "sim", fat(0x0100_0007, 0x0100_000C))
    files = gather_native(Path("x"), [(Platform("macos", "x86_64"), both), (MACOS, both)])
    assert len(files.files) == 3


def test_doubts_are_warnings(tmp_path: Path) -> None:
    """Rare libraries and interpreters may be missing on a desktop; what every desktop has is no doubt."""
    files = gather_native(Path("x"), [(LINUX, written(tmp_path / "sim", elf()))])
    assert len(files.warnings) == 1
    assert "'libfoo.so.1'" in files.warnings[0]
    assert "libc.so" not in files.warnings[0]
    script = gather_native(Path("x"), [(LINUX, written(tmp_path / "sim.sh", b"#!/bin/sh\n"))])
    assert "interpreter" in script.warnings[0]
    assert gather_native(Path("x"), [(MACOS, written(tmp_path / "m", macho(0x0100_000C)))]).warnings == ()


def test_the_executable_may_lie_where_the_name_points(tmp_path: Path) -> None:
    """``rjs pack sim --native linux-x86_64=sim``: the name is a name, although a file is called so, too."""
    sim = written(tmp_path / "sim", elf())
    assert toml_of(gather_native(sim, [(LINUX, sim)]))["name"] == "sim"


def test_names_that_cannot_be_meant(tmp_path: Path) -> None:
    """A file where a name or folder belongs, a pattern without a folder or of nothing, a file that is made here."""
    sim = written(tmp_path / "sim", elf())
    written(tmp_path / "data/job.toml", b"")
    with pytest.raises(PackingError, match="name the job here"):
        gather_native(tmp_path / "data/job.toml", [(LINUX, sim)])
    with pytest.raises(UsageError, match="--include"):
        gather_native(Path("nowhere"), [(LINUX, sim)], include=["*"])
    with pytest.raises(PackingError, match="names no file") as refused:
        gather_native(tmp_path / "data", [(LINUX, sim)], include=["*.csv"])
    with pytest.raises(PackingError, match="is made here"):
        gather_native(tmp_path / "data", [(LINUX, sim)])
    assert len(refused.value.faults) == 1


@pytest.mark.parametrize("text", ["linux", "linux-sparc", "beos-x86_64", "", "x86_64-linux", "linux-x86_64 "])
def test_platforms_that_nobody_knows_list_those_that_are(text: str) -> None:
    """The person sees what to write."""
    with pytest.raises(UsageError, match="linux-x86_64, linux-aarch64, macos"):
        parse_platform(text)
