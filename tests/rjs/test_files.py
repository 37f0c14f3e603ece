"""Small files: atomic, private, bounded, never through a planted link."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rjs.errors import ConfigError
from rjs.files import (
    UnsafeFileError,
    make_private_folder,
    open_nofollow,
    open_plain,
    read_small,
    write_atomically,
)


def test_a_written_file_has_the_bytes_and_the_mode(tmp_path: Path) -> None:
    """The mode is exact whatever the umask, and nothing but the file remains in the folder."""
    previous = os.umask(0o077)
    try:
        write_atomically(tmp_path / "public", b"x", mode=0o644)
    finally:
        os.umask(previous)
    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o644
    write_atomically(tmp_path / "key", b"old")
    write_atomically(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"new"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["key", "public"]


def test_bytes_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is: sync the file, rename it, sync the folder."""
    steps: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        steps.append("sync folder" if name == tmp_path else "sync file")
        real_sync(descriptor)

    def replace(source: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    write_atomically(tmp_path / "key", b"x")
    assert steps == ["sync file", "rename", "sync folder"]


def test_a_failed_write_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses, the old file is whole and no temporary file remains."""
    write_atomically(tmp_path / "key", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "key", b"new")
    assert (tmp_path / "key").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    """A link planted at the target cannot turn the write against another file."""
    (tmp_path / "victim").write_bytes(b"untouched")
    (tmp_path / "key").symlink_to("victim")
    write_atomically(tmp_path / "key", b"new")
    assert (tmp_path / "victim").read_bytes() == b"untouched"
    assert not (tmp_path / "key").is_symlink()


def test_private_folders_are_created_with_their_parents(tmp_path: Path) -> None:
    """Every created level is closed to others, and asking twice is fine."""
    deep = tmp_path / "state" / "clusters" / "0"
    make_private_folder(deep)
    make_private_folder(deep)
    for folder in (deep, deep.parent, deep.parent.parent):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_an_open_folder_is_refused_with_its_remedy(tmp_path: Path) -> None:
    """A folder that others can enter is named, with the command that closes it, and left as it is."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        make_private_folder(folder)
    assert folder.stat().st_mode & 0o777 == 0o755


def test_a_link_is_no_private_folder(tmp_path: Path) -> None:
    """State is not put wherever a link points."""
    (tmp_path / "target").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(ConfigError, match="not a folder"):
        make_private_folder(tmp_path / "link")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """An open folder that holds one of each kind."""
    (tmp_path / "plain").write_bytes(b"plain")
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "sub").mkdir()
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def test_only_plain_files_are_opened(folder: int) -> None:
    """A plain file opens; links, folders and pipes are refused without waiting for a writer."""
    descriptor = open_nofollow(folder, "plain")
    assert os.read(descriptor, 10) == b"plain"
    os.close(descriptor)
    for name in ("link", "sub", "pipe"):
        with pytest.raises(UnsafeFileError, match=r"file\.kind"):
            open_nofollow(folder, name)
    with pytest.raises(FileNotFoundError):
        open_nofollow(folder, "absent")


@pytest.mark.parametrize("name", ["", ".", "..", "../plain", "/etc/passwd", "sub/x", "a\0b"])
def test_a_name_is_one_component(folder: int, name: str) -> None:
    """Nothing that could leave the folder is taken for a name."""
    with pytest.raises(UnsafeFileError, match=r"file\.name"):
        open_nofollow(folder, name)


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    """The limit is inclusive, and holds for files that state no size."""
    (tmp_path / "file").write_bytes(b"12345")
    assert read_small(tmp_path / "file", 5) == b"12345"
    with pytest.raises(UnsafeFileError, match="larger than 4 bytes"):
        read_small(tmp_path / "file", 4)
    with pytest.raises(UnsafeFileError, match="larger than 9 bytes"):
        read_small(Path("/proc/self/status"), 9)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to is refused at once, and so is a device; a folder and what is absent say so."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/zero")):
        with pytest.raises(UnsafeFileError, match="is a pipe or a device"):
            open_plain(path)
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        open_plain(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_plain(tmp_path / "absent")
