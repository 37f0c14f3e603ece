"""Files that must be, while they are read, what they were when they were found."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rjs import limits
from rjs.packing.tree import ChangedFileError, Tree, UnfitFileError, look_at


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(b"a" * (limits.READ_CHUNK_BYTES + 10))
    return path


def test_an_unchanged_file_is_read_whole(file: Path) -> None:
    """Twice the same bytes, in bounded pieces; reading changes nothing."""
    found = look_at(file)
    assert [len(chunk) for chunk in found.chunks()] == [limits.READ_CHUNK_BYTES, 10]
    assert b"".join(found.chunks()) == file.read_bytes()


def rewrite_alike(path: Path) -> None:
    """Change the content, and put size and modification time back."""
    before = path.stat()
    path.write_bytes(b"b" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace_by_a_link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


def replace_by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES: list[Callable[[Path], object]] = [
    rewrite_alike, replace_by_a_link, replace_by_a_pipe, replace_by_a_folder, Path.unlink,
    lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 10**12),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_since_it_was_found_is_refused(
    file: Path, change: Callable[[Path], object]
) -> None:
    """However it was changed, and without waiting for a pipe's writer."""
    found = look_at(file)
    change(file)
    with pytest.raises(ChangedFileError, match=r"data\.bin changed while it was being packed"):
        found.read()


@pytest.mark.parametrize("change", [rewrite_alike, lambda path: os.truncate(path, 5)])
def test_a_file_that_changes_while_it_is_read_is_refused(
    file: Path, change: Callable[[Path], object]
) -> None:
    """At the latest when its last piece was read."""
    chunks = look_at(file).chunks()
    next(chunks)
    change(file)
    with pytest.raises(ChangedFileError):
        list(chunks)


def test_a_change_that_the_file_system_does_not_tell_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two changes fall into one tick of its clock, the content that was read before decides."""
    monkeypatch.setattr("rjs.packing.tree._version_of", lambda found: (found.st_size, 0, 0, 0, 0))
    content, read = look_at(file).read()
    assert b"".join(read.chunks()) == content
    rewrite_alike(file)
    with pytest.raises(ChangedFileError):
        list(read.chunks())


def test_a_tree_remembers_what_it_saw_first(file: Path) -> None:
    """A second look at a changed file gives the old view, so that judging and packing cannot differ."""
    tree = Tree(file.parent)
    first = tree.look_at("data.bin")
    file.write_bytes(b"new")
    assert tree.look_at("data.bin") is first


def test_only_plain_files_are_looked_at(tmp_path: Path) -> None:
    """Links, to files and to nowhere, pipes and folders are not files of a job."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "nowhere").symlink_to("missing")
    for name in ("pipe", "link", "nowhere", "."):
        with pytest.raises(UnfitFileError):
            look_at(tmp_path / name)
