"""The folder of an attempt: emptied after it, whatever was made of it."""

from __future__ import annotations

from pathlib import Path

from samples import attempt

from cs.workplace import Workplace


def test_an_attempt_that_was_refused_before_it_had_a_folder(tmp_path: Path) -> None:
    """There is nothing to empty, and nothing is made for it."""
    Workplace(tmp_path, attempt(1)).empty()
    assert list(tmp_path.iterdir()) == []


def test_an_attempt_that_had_one(tmp_path: Path) -> None:
    """What it left goes; the task's own folder stays for the bundle's next task, empty."""
    place = Workplace(tmp_path, attempt(1))
    place.create()
    (place.checkpoint / "state").touch()
    place.stdout.touch()
    place.empty()
    assert list(place.path.iterdir()) == [place.task]
    assert list(place.task.iterdir()) == []
