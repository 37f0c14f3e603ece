"""The file of a backup: what was put in comes out, and nothing else is taken for one."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from rjs.errors import RefusedError
from ws.backup_file import LIST, Contents, Entry, read_backup, write_backup

CONTENTS = Contents(release="1", cluster="0" * 16, made=1.0)
FILES = {"ws.sqlite": b"database", "identity/token.pem": b"key", "bundles/a.jar": b"x" * 3_000_000}

Build = Callable[[tarfile.TarFile], None]


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A backup of ``FILES``."""
    source = tmp_path / "source"
    for name, data in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    target = tmp_path / "backup.tar"
    write_backup(target, CONTENTS, [(name, source / name) for name in [*FILES, "gone"]])
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a backup is read to."""
    folder = tmp_path / "new"
    folder.mkdir(mode=0o700)
    return folder


def refused(source: Path, folder: Path) -> str:
    """The sentence of the refusal."""
    with pytest.raises(RefusedError) as caught:
        read_backup(source, folder)
    assert caught.value.code == "backup"
    return caught.value.sentence


def test_what_was_put_in_comes_out(backup: Path, folder: Path) -> None:
    """Every file, private, with the list of them; a file that had gone is not missed."""
    contents = read_backup(backup, folder)
    assert {entry.name: (folder / entry.name).read_bytes() for entry in contents.entries} == FILES
    assert msgspec.structs.replace(contents, entries=()) == CONTENTS
    assert {path.stat().st_mode & 0o777 for path in [backup, *(folder / name for name in FILES)]} == {0o600}


def test_any_tar_lists_it(backup: Path) -> None:
    """It is what its suffix says."""
    with tarfile.open(backup) as archive:
        assert archive.getnames() == [*FILES, LIST]


@pytest.mark.parametrize("kept", [0, 1, 511, 512, 700, 2_000_000, -1024 * 10, -1024 * 20])
def test_one_that_was_cut_off_is_refused(backup: Path, folder: Path, kept: int) -> None:
    """Wherever it ends too early."""
    backup.write_bytes(backup.read_bytes()[:kept])
    assert "cut off" in refused(backup, folder)


def test_changed_bytes_are_noticed(backup: Path, folder: Path) -> None:
    """A file that is not the one that was put in is refused."""
    data = backup.read_bytes()
    at = data.index(b"xxx")
    backup.write_bytes(data[:at] + b"y" + data[at + 1 :])
    assert "not those of its list" in refused(backup, folder)


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", data: bytes = b"") -> Build:
    """Puts one entry in."""

    def build(archive: tarfile.TarFile) -> None:
        made = tarfile.TarInfo(name)
        made.type, made.linkname, made.size = kind, link, len(data)
        archive.addfile(made, io.BytesIO(data))

    return build


@pytest.mark.parametrize(
    "build",
    [
        entry("../escape"), entry("/etc/escape"), entry("a/../../escape"), entry("a//b"), entry(""), entry(".hidden"),
        entry("a\nb"), entry("a/" * 9 + "b"), entry("ws.sqlite", tarfile.SYMTYPE, "/etc/passwd"),
        entry("ws.sqlite", tarfile.LNKTYPE, "other"), entry("fifo", tarfile.FIFOTYPE), entry("tty", tarfile.CHRTYPE),
        entry("folder", tarfile.DIRTYPE), entry("holes", tarfile.GNUTYPE_SPARSE),
    ],
)  # fmt: skip
def test_what_we_do_not_write_is_not_read(tmp_path: Path, folder: Path, build: Build) -> None:
    """Links, devices, holes, and names that lead elsewhere or that no server has."""
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        build(archive)
    assert "is not for a backup" in refused(tmp_path / "bad.tar", folder)
    assert not (tmp_path / "escape").exists() and list(folder.iterdir()) == []


def with_list(listed: bytes) -> Build:
    """A backup of one file with this list."""

    def build(archive: tarfile.TarFile) -> None:
        entry("a", data=b"1")(archive)
        entry(LIST, data=listed)(archive)

    return build


ONE = Entry("a", 1, hashlib.sha256(b"1").hexdigest())
NEWER = msgspec.structs.replace(CONTENTS, format=2, entries=(ONE,))


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (entry("a"), "list of contents is missing"),
        (with_list(b""), "cannot be read"),
        (with_list(b"\xff"), "cannot be read"),
        (with_list(b'{"release":"1","cluster":"../..","made":1}'), "cannot be read"),
        (with_list(msgspec.json.encode(CONTENTS)), "not those of its list"),
        (with_list(msgspec.json.encode(NEWER)), "newer release"),
    ],
)  # fmt: skip
def test_a_list_that_is_wrong_is_named(tmp_path: Path, folder: Path, build: Build, why: str) -> None:
    """Missing, unreadable, of another format, or of other files."""
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        build(archive)
    assert why in refused(tmp_path / "bad.tar", folder)


def test_the_same_name_twice_is_refused(tmp_path: Path, folder: Path) -> None:
    """The second does not replace the first."""
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        entry("a", data=b"1")(archive)
        entry("a", data=b"2")(archive)
    refused(tmp_path / "bad.tar", folder)
    assert (folder / "a").read_bytes() == b"1"


def test_without_room_nothing_is_half_there(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup that cannot be finished leaves the one before."""
    before = backup.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_backup(backup, CONTENTS, [])
    assert backup.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup.tar", "source"]


def test_a_small_file_does_not_fill_the_disk(tmp_path: Path, folder: Path) -> None:
    """An entry that says of itself that it is mostly holes is none of ours, and nothing of it is written."""
    info = tarfile.TarInfo("a")
    info.size = 512
    stated = {"major": "0", "minor": "1", "map": "0,1", "size": str(1 << 40), "name": "b"}
    info.pax_headers = {f"GNU.sparse.{key}": value for key, value in stated.items()}
    with tarfile.open(tmp_path / "b.tar", "w") as archive:
        archive.addfile(info, io.BytesIO(b"x" * 512))
    assert "is not for a backup" in refused(tmp_path / "b.tar", folder)
    assert list(folder.iterdir()) == []
