"""Unpacking: private, whole or not at all, and never outside."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from rjs.bundle.sign import sign_jar
from rjs.bundle.testing import NOW, make_signer
from rjs.bundle.unpack import unpack_files
from rjs.bundle.verify import open_bundle

ENTRIES = [
    ("run.py", b"print()", False),
    ("bin/tool", b"#!", True),
    ("a/b/c/d", b"deep", False),
    ("a/b/e", b"", False),
]


def modes_below(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in [folder, *folder.rglob("*")]
    }


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_folders_and_modes(umask: int, tmp_path: Path) -> None:
    """Every file arrives, with modes that depend on the signed executable bit alone."""
    signer, out = make_signer(), io.BytesIO()
    sign_jar(out, ENTRIES, key=signer.key, chain=signer.chain, attributes={})
    before = os.umask(umask)
    try:
        open_bundle(out, at=NOW).unpack(tmp_path / "job")
    finally:
        os.umask(before)
    assert {name: (tmp_path / "job" / name).read_bytes() for name, _, _ in ENTRIES} == {
        name: content for name, content, _ in ENTRIES
    }
    assert modes_below(tmp_path / "job") == {
        **dict.fromkeys([".", "bin", "a", "a/b", "a/b/c", "bin/tool"], 0o700),
        **dict.fromkeys(["run.py", "a/b/c/d", "a/b/e"], 0o600),
    }
    assert [path.name for path in tmp_path.iterdir()] == ["job"]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_existing_destination_is_left_alone(make: object, tmp_path: Path) -> None:
    """Nothing that exists is replaced, not even an empty folder or a dangling link."""
    destination = tmp_path / "job"
    make(destination)  # type: ignore[operator]  # one of the three above
    with pytest.raises(FileExistsError):
        unpack_files([(("a",), False, [b"x"])], destination)
    assert [path.name for path in tmp_path.iterdir()] == ["job"]


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """When a content ends with an error, what was written before it is gone."""

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ValueError

    with pytest.raises(ValueError):
        unpack_files([(("a", "b"), False, [b"x"]), (("c",), False, broken())], tmp_path / "job")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_never_written_twice(tmp_path: Path) -> None:
    """Should two names ever reach the disk as one, the second is an error and not an overwrite."""
    with pytest.raises(FileExistsError):
        unpack_files([(("a",), False, [b"1"]), (("a",), False, [b"2"])], tmp_path / "job")
    assert list(tmp_path.iterdir()) == []


def test_a_link_inside_the_staging_folder_is_not_followed(tmp_path: Path) -> None:
    """Even if something planted a link while unpacking, nothing is written through it."""
    outside = tmp_path / "outside"
    outside.mkdir()
    staging_parent = tmp_path / "parent"
    staging_parent.mkdir()

    def planting() -> Iterator[bytes]:
        (staging,) = staging_parent.iterdir()
        (staging / "linked").symlink_to(outside)
        yield b"x"

    with pytest.raises(OSError):
        unpack_files([(("a",), False, planting()), (("linked", "b"), False, [b"y"])], staging_parent / "job")
    assert list(outside.iterdir()) == []
    assert list(staging_parent.iterdir()) == []
