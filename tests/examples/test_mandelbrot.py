"""The first job that a newcomer sees."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from rjs.cli.example import example_folder, example_module
from rjs.errors import RjsError

SIZE = ["--width", "60", "--height", "41"]
splice = example_module("mandelbrot", "splice").splice


def bands(folder: Path, count: int) -> list[bytes]:
    """Run every task as a compute server would: its own process, told by its environment."""
    script = example_folder("mandelbrot") / "mandelbrot.py"
    found = []
    for index in range(count):
        out = folder / f"{count}-{index}"
        task = {"RJS_TASK_INDEX": str(index), "RJS_TASK_COUNT": str(count), "RJS_OUTPUT": str(out)}
        subprocess.run([sys.executable, str(script), *SIZE], env={**os.environ, **task}, check=True)
        found.append((out / "band.ppm").read_bytes())
    return found


def test_bands_of_any_number_of_tasks_are_one_picture(tmp_path: Path) -> None:
    """Pixel for pixel the picture of a single process, also where the rows do not divide evenly."""
    [whole] = bands(tmp_path, 1)
    picture = splice([whole])
    assert picture.size == (60, 41)
    assert len(picture.getcolors(maxcolors=60 * 41)) > 100, "it shows something"
    assert splice(bands(tmp_path, 8)).tobytes() == picture.tobytes()


def test_bands_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """A missing, cut, foreign or misplaced band is no picture."""
    first, second, third = bands(tmp_path, 3)
    narrow = b"P6\n# band 2 of 3\n59 13\n255\n" + bytes(59 * 13 * 3)
    short = b"P6\n# band 2 of 3\n60 12\n255\n" + bytes(60 * 12 * 3)
    for wrong in (b"GIF89a", third[:-1], third + b"x", second, narrow, short):
        with pytest.raises(ValueError, match="band"):
            splice([first, second, wrong])
    for bands_given in ([first, second], [third, second, first], []):
        with pytest.raises(ValueError, match="band"):
            splice(bands_given)


def test_the_descriptor_and_the_script_agree() -> None:
    """The example has eight tasks of Python; an example that is not there is named."""
    job = tomllib.loads((example_folder("mandelbrot") / "job.toml").read_text())
    assert (job["tasks"], job["runtime"]) == (8, "python")
    assert (example_folder("mandelbrot") / job["entry"]).is_file()
    with pytest.raises(RjsError, match="nothing"):
        example_folder("nothing")
