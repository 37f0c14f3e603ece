"""Jobs for the integration tests: small scripts, and ones that wait at a gate so that a test can act in mid-task."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from cluster import PATIENCE, wait_for

from rjs.cli.example import example_folder, example_module

WIDTH, HEIGHT = 96, 64

GATED = """
import os, sys, time
from pathlib import Path

gate, task = Path(sys.argv.pop(1)), os.environ["RJS_TASK_INDEX"]
(gate / f"{task}.{os.getpid()}").touch()
deadline = time.monotonic() + 200
while not (gate / "open").exists() and not (gate / f"open-{task}").exists():
    if time.monotonic() > deadline:
        sys.exit("the gate stayed shut")
    time.sleep(0.02)

import mandelbrot
mandelbrot.main()
"""


def write_job(
    folder: Path,
    script: str,
    *,
    tasks: int = 1,
    args: Sequence[str] = (),
    memory: str = "128 MiB",
    wall_time: str = "5 min",
    disk: str = "1 GiB",
) -> Path:
    """A job folder whose entry is ``script``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.py").write_text(script)
    (folder / "job.toml").write_text(
        f'name = "{folder.name}"\nruntime = "python"\nentry = "run.py"\ntasks = {tasks}\n'
        f"args = {json.dumps(list(args))}\n"
        f'[needs]\nmemory = "{memory}"\nwall_time = "{wall_time}"\ndisk = "{disk}"\n'
    )
    return folder


def write_mandelbrot(folder: Path, tasks: int = 8, gate: Gate | None = None, *, disk: str = "1 GiB") -> Path:
    """The example as a small picture; behind a gate if one is given."""
    size = ["--width", str(WIDTH), "--height", str(HEIGHT)]
    if gate is None:
        script, args = "import mandelbrot\nmandelbrot.main()\n", size
    else:
        script, args = GATED, [str(gate.folder), *size]
    write_job(folder, script, tasks=tasks, args=args, disk=disk)
    shutil.copy(example_folder("mandelbrot") / "mandelbrot.py", folder)
    return folder


def band(task: int, tasks: int = 8) -> bytes:
    """What task ``task`` of the small picture must answer, computed here."""
    computed: bytes = example_module("mandelbrot", "mandelbrot").band(task, tasks, WIDTH, HEIGHT)
    return computed


class Gate:
    """A folder where tasks sign in and wait. Unconfined jobs can reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def open(self, task: int | None = None) -> None:
        """Let one task, or everybody, pass from now on."""
        (self.folder / ("open" if task is None else f"open-{task}")).touch()

    def arrivals(self, task: int | None = None) -> list[int]:
        """The processes that have come so far (of one task)."""
        pattern = "[0-9]*.*" if task is None else f"{task}.*"
        return [int(path.suffix[1:]) for path in self.folder.glob(pattern)]

    def wait_for_arrivals(self, count: int, task: int | None = None, within: float = PATIENCE) -> None:
        """Returns when at least so many processes have come."""
        wait_for(lambda: len(self.arrivals(task)) >= count, within)
