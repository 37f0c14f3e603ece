"""Attack: a task leaves things in its folder that should make the CS read, block on, change or keep what it must not.

The task is dead when its outputs are collected, so nothing moves; but whatever it could create is there.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import attempt

from cs import limits
from cs.workplace import OutputRefusedError, Workplace, remove_tree
from rjs.answers.answer_jar import STDERR_NAME, STDOUT_NAME
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import parts_of

SECRET = b"the owner's secret"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A folder as it is when a task has ended, beside a secret; at the end nothing of it is left."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secret").write_bytes(SECRET)
    (tmp_path / "work").mkdir()
    made = Workplace(tmp_path / "work", attempt(1))
    made.create()
    made.out.mkdir(parents=True)
    made.stdout.write_bytes(b"said")
    made.stderr.write_bytes(b"warned")
    yield made
    made.remove()
    assert not os.path.lexists(made.path)
    secret = tmp_path / "home" / "secret"
    assert secret.read_bytes() == SECRET
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o755 & ~umask()


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def secret_of(place: Workplace) -> Path:
    return place.path.parent.parent / "home" / "secret"


def names(place: Workplace) -> list[str]:
    return sorted(name for name, _ in place.outputs())


def refused(place: Workplace, code: str) -> None:
    with pytest.raises(OutputRefusedError) as caught:
        place.outputs()
    assert caught.value.code == code
    assert caught.value.sentence.isprintable()
    assert caught.value.sentence.isascii()


def test_plain_files_are_collected(place: Workplace) -> None:
    """What is honest arrives, with its name below out/ and the two streams."""
    (place.out / "a" / "b").mkdir(parents=True)
    (place.out / "a" / "b" / "c.txt").write_text("c")
    (place.out / "d").write_text("d")
    assert names(place) == ["out/a/b/c.txt", "out/d", STDERR_NAME, STDOUT_NAME]


def test_without_out_there_are_the_streams(place: Workplace) -> None:
    """A task may remove its folder."""
    place.out.rmdir()
    assert names(place) == [STDERR_NAME, STDOUT_NAME]


def test_a_symbolic_link_is_not_followed(place: Workplace) -> None:
    """To a file, to a folder, to nowhere, at any depth: refused, whatever it points to."""
    for target in (secret_of(place), secret_of(place).parent, Path("nowhere"), Path(), place.out):
        link = place.out / "link"
        link.symlink_to(target)
        refused(place, "output-kind")
        link.unlink()


def test_a_hard_link_to_a_secret_is_refused(place: Workplace) -> None:
    """A file that has another name elsewhere was not made by the task alone."""
    os.link(secret_of(place), place.out / "mine")
    refused(place, "output-kind")


def test_pipes_and_sockets_are_not_opened(place: Workplace) -> None:
    """Opening a pipe would wait for ever."""
    os.mkfifo(place.out / "pipe")
    refused(place, "output-kind")
    (place.out / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as made:
        folder = os.open(place.out, os.O_RDONLY)
        made.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        refused(place, "output-kind")


@needs_root
def test_devices_are_not_read(place: Workplace) -> None:
    """A device is endless, or somebody's disk."""
    os.mknod(place.out / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    refused(place, "output-kind")


@pytest.mark.parametrize("folder", ["out", "job"])
def test_a_folder_swapped_for_a_link_is_refused(place: Workplace, folder: str) -> None:
    """Neither out/ nor the folder around it may lead elsewhere."""
    (secret_of(place).parent / "out").mkdir(exist_ok=True)
    swapped = place.job / "out" if folder == "out" else place.job
    swapped.rename(place.path / "aside")
    swapped.symlink_to(secret_of(place).parent)
    refused(place, "output-kind")


@pytest.mark.parametrize("name", [STDOUT_NAME, STDERR_NAME])
@pytest.mark.parametrize("kind", ["link", "pipe", "hard link", "folder"])
def test_a_swapped_stream_is_refused(place: Workplace, name: str, kind: str) -> None:
    """The streams lie out of the task's way, but not out of its reach; and its tail never blocks the server."""
    stream = place.path / name
    stream.unlink()
    match kind:
        case "link":
            stream.symlink_to(secret_of(place))
        case "pipe":
            os.mkfifo(stream)
        case "hard link":
            os.link(secret_of(place), stream)
        case _:
            stream.mkdir()
    refused(place, "output-kind")
    assert SECRET.decode() not in place.tail()


def test_the_tail_is_short_and_printable(place: Workplace) -> None:
    """Of an endless stderr the end is told, whatever bytes it has."""
    place.stderr.write_bytes(b"\xff" * 1_000_000 + b"the end")
    tail = place.tail()
    assert tail.endswith("the end")
    assert len(tail) <= limits.TAIL


def test_a_deep_tree_is_refused_and_removed(place: Workplace) -> None:
    """Deeper than paths may be long and than Python may recurse: a bounded refusal, and nothing is left of it."""
    folder = os.open(place.out, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 100, dir_fd=folder)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    refused(place, "output-depth")


def test_too_many_folders_are_refused(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty folders cost as much to look at as files."""
    monkeypatch.setattr(limits, "OUTPUT_FILES", 10)
    for number in range(11):
        (place.out / str(number)).mkdir()
    refused(place, "output-files")


def test_too_many_bytes_are_refused(place: Workplace) -> None:
    """Sparse or not, an answer has its size."""
    with (place.out / "sparse").open("wb") as file:
        file.truncate(limits.OUTPUT + 1)
    refused(place, "output-size")


ODD = [
    b"new\nline",
    b"\x1b[31mred",
    "right\u202eto-left".encode(),
    b"not \xff utf-8",
    b"dot.",
    b"CON",
    b"a\\b",
]


@pytest.mark.parametrize("name", ODD)
def test_odd_names_are_shown_harmlessly(place: Workplace, name: bytes) -> None:
    """A link with such a name is refused in a sentence that no terminal, log or status file suffers from."""
    (place.out / os.fsdecode(name)).symlink_to("nowhere")
    refused(place, "output-kind")


@pytest.mark.parametrize("name", ODD)
def test_odd_names_do_not_travel(place: Workplace, name: bytes) -> None:
    """A plain file with such a name is refused by the one check of names, as every other fault of outputs is."""
    (place.out / os.fsdecode(name)).write_text("x")
    (odd,) = [each for each in names(place) if each.startswith("out/")]
    with pytest.raises(BundleRefusedError) as caught:
        parts_of(odd)
    assert caught.value.sentence.isprintable()


def test_an_unreadable_folder_is_refused(place: Workplace) -> None:
    """A folder that nobody may list is no output; root lists it all the same, and finds it empty."""
    (place.out / "closed").mkdir(mode=0)
    if os.geteuid() == 0:
        assert not [name for name in names(place) if name.startswith("out/")]
    else:
        refused(place, "output-kind")


def test_closed_folders_are_removed(place: Workplace) -> None:
    """Modes that forbid everything do not keep a file on the owner's disk."""
    inner = place.out / "closed" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_text("x")
    inner.chmod(0)
    inner.parent.chmod(0)


def test_removing_follows_no_link(place: Workplace, tmp_path: Path) -> None:
    """Neither below the folder nor in its place: what a link points to keeps its files and its modes."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    (place.out / "link").symlink_to(closed)
    place.path.rename(tmp_path / "aside")
    place.path.symlink_to(secret_of(place).parent)
    remove_tree(place.path)
    remove_tree(tmp_path / "aside")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o500
    assert not os.path.lexists(place.path)


def test_removing_a_dangling_link_removes_it(place: Workplace, tmp_path: Path) -> None:
    """A link to nowhere is there, and goes."""
    link = tmp_path / "work" / "dangling"
    link.symlink_to("nowhere")
    remove_tree(link)
    remove_tree(link)
    assert not os.path.lexists(link)


def test_many_files_are_removed(place: Workplace) -> None:
    """Whatever the folder lists while it changes, all of it goes."""
    for number in range(5000):
        os.close(os.open(place.out / f"{number}", os.O_CREAT | os.O_WRONLY))
        if number % 10 == 0:
            (place.out / f"folder{number}").mkdir()
