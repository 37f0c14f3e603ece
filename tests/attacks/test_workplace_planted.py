"""A task makes its folder weird: the next attempt at the bundle begins in an empty one, and no other is harmed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import attempt

from cs.workplace import Workplace, empty_folder, remove_tree

SECRET = b"the owner's"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A folder in which a task has run, beside a secret that stays as it is."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_bytes(SECRET)
    (tmp_path / "work").mkdir()
    made = Workplace(tmp_path / "work", attempt(1))
    made.create()
    made.out.mkdir(parents=True)
    made.stdout.write_bytes(b"said")
    yield made
    made.remove()
    assert list((tmp_path / "work").iterdir()) == []
    assert (tmp_path / "secret" / "file").read_bytes() == SECRET


def rename_the_job(place: Workplace) -> None:
    place.job.rename(place.task / "elsewhere")


def link_the_job(place: Workplace) -> None:
    rename_the_job(place)
    place.job.symlink_to(place.path.parent.parent / "secret")


def link_the_temporary_folder(place: Workplace) -> None:
    place.temporary.rmdir()
    place.temporary.symlink_to(place.path.parent.parent / "secret")


def close_everything(place: Workplace) -> None:
    for path in (place.out, place.job, place.temporary, place.checkpoint, place.task):
        path.chmod(0)


def plant_the_next_ones(place: Workplace) -> None:
    for name in ("job/out", "tmp/x", "checkpoint/y", "jars/0", "door/1", "stdout.txt"):
        (place.task / name).mkdir(parents=True, exist_ok=True)


def plant_many(place: Workplace) -> None:
    for number in range(5000):
        (place.checkpoint / str(number)).touch()


def plant_deep(place: Workplace) -> None:
    here = os.getcwd()  # noqa: PTH109 - no path is as long as this one
    os.chdir(place.temporary)
    for _ in range(3000):
        os.mkdir("d")  # noqa: PTH102
        os.chdir("d")
    os.chdir(here)


def mark_the_folder(place: Workplace) -> None:
    os.setxattr(place.task, "user.mark", b"x")


def plant_pipes_and_sockets(place: Workplace) -> None:
    os.mkfifo(place.task / "pipe")
    os.mkfifo(place.checkpoint / "stderr.txt")


TRICKS = [
    rename_the_job, link_the_job, link_the_temporary_folder, close_everything, plant_the_next_ones, plant_many,
    plant_deep, mark_the_folder, plant_pipes_and_sockets,
]  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: str(trick.__name__))
def test_the_next_attempt_begins_in_an_empty_folder(
    place: Workplace, trick: Callable[[Workplace], None]
) -> None:
    """The same folder, which a sandbox holds fast, whatever the task before did to it; cleaned up after it or not."""
    before = place.task.stat().st_ino
    trick(place)
    follower = Workplace(place.path.parent, attempt(2))
    assert follower.path == place.path
    follower.create()
    assert set(follower.path.rglob("*")) == {follower.task, follower.temporary, follower.checkpoint}
    assert follower.task.stat().st_mode & 0o777 == 0o700
    kept = follower.task.stat().st_ino == before
    assert kept or trick is mark_the_folder
    assert os.listxattr(follower.task) == []


@pytest.mark.parametrize("trick", TRICKS, ids=lambda trick: str(trick.__name__))
def test_what_is_cleaned_up_is_gone(place: Workplace, trick: Callable[[Workplace], None]) -> None:
    """Two empty folders stay."""
    trick(place)
    place.empty()
    assert [path for path in place.path.rglob("*") if path != place.task] == []


def test_what_was_never_made_is_not_made_by_cleaning_up(tmp_path: Path) -> None:
    """An attempt that was refused leaves no folder."""
    Workplace(tmp_path, attempt(1)).empty()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_other_bundles_go(place: Workplace) -> None:
    """But those of the last few, whose sandboxes may still wait."""
    jobs = [f"{number:x}" * 64 for number in range(1, 9)]
    for number, job in enumerate(jobs):
        made = Workplace(place.path.parent, type(attempt(1))(job, 0, attempt(1).fence))
        made.create()
        os.utime(made.path, ns=(number, number))
    place.create()
    left = {path.name for path in place.path.parent.iterdir()}
    assert left == {place.path.name, *(job[:32] for job in jobs[-4:])}
    for job in jobs:
        remove_tree(place.path.parent / job[:32])


def test_a_link_in_the_place_of_a_folder_is_not_entered(tmp_path: Path) -> None:
    """It is what is removed."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(SECRET)
    (tmp_path / "folder").symlink_to(tmp_path / "kept")
    empty_folder(tmp_path / "folder")
    assert (tmp_path / "folder").is_dir() and not (tmp_path / "folder").is_symlink()
    assert (tmp_path / "kept" / "file").read_bytes() == SECRET
