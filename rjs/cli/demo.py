"""``rjs demo``: a whole cluster on this machine, a real job, its picture."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.console import json_option, print_json, print_table, progress, say

if TYPE_CHECKING:
    from PIL.Image import Image
    from twisted.internet.base import ReactorBase

    from rjs.answers.answer_jar import Receipt
    from rjs.local_cluster import LocalCluster

PATIENCE = 300.0
"""Seconds until the demo gives up waiting for its answers."""

LOOK = 0.05
"""Seconds between two looks into ``ans/``."""


@click.command("demo")
@click.option("--workers", type=click.IntRange(1, 64), default=3, show_default=True, help="Compute servers.")
@click.option("--tasks", type=click.IntRange(1, 640), default=8, show_default=True, help="Tasks of the job.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("mandelbrot.png"),
              show_default=True, help="The picture.")  # fmt: skip
@click.option("--keep", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Keep all state folders and logs in DIR, which must not exist yet.")  # fmt: skip
@json_option
def command(workers: int, tasks: int, out: Path, keep: Path | None, as_json: bool) -> None:
    """Run a whole cluster on this machine and draw a picture with it.

    A web server, a lookup server and compute servers start as separate processes that talk on loopback only. A job
    is packed, signed and placed in jobs/; its answers come to ans/ and become one picture. Nothing is left behind.

    \b
    Example:
      rjs demo
      rjs demo --workers 2 --tasks 16 --keep rjs-demo
    """
    from rjs.cli.example import example_module
    from rjs.client import run_client
    from rjs.local_cluster import LocalCluster

    say(f"a web server, a lookup server and {workers} compute servers, all on this machine, loopback only")
    say("jobs run in a sandbox; where this machine cannot make one, no compute server starts, and says why")
    _check_places(out, keep)
    with _ended_by_sigterm(), _folder(keep) as folder:
        job = _job(folder, tasks)
        alone, seconds_alone = _alone(job, folder)
        with LocalCluster(folder / "cluster", workers) as cluster:
            answers, seconds = run_client(lambda reactor: _run(reactor, cluster, job, tasks))
        bands = [band for band, _ in answers]
        picture = example_module("mandelbrot", "splice").splice(bands)
        _compare(picture, alone)
        picture.save(out)
        if as_json:
            _print_json(answers, seconds, seconds_alone, out)
            return
        _tell(answers, seconds, seconds_alone, out, keep)


def _check_places(out: Path, keep: Path | None) -> None:
    """Refuse before the work what would only be refused after it."""
    if not os.access(out.resolve().parent, os.W_OK):
        raise click.UsageError(f"--out {out}: no folder that you may write to")
    if keep is not None and keep.exists():
        raise click.UsageError(f"--keep {keep} exists already; name a folder that does not")


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does: every process and folder goes first."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(mode=0o700, parents=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="rjs-demo-") as folder:
        yield Path(folder)


def _job(folder: Path, tasks: int) -> Path:
    """The example as a job of so many tasks."""
    from rjs.cli.example import example_folder

    job = folder / "mandelbrot"
    shutil.copytree(example_folder("mandelbrot"), job, ignore=shutil.ignore_patterns("__pycache__"))
    descriptor = job / "job.toml"
    text = descriptor.read_text(encoding="utf-8")
    descriptor.write_text(re.sub(r"(?m)^tasks = \d+$", f"tasks = {tasks}", text), encoding="utf-8")
    return job


def _alone(job: Path, folder: Path) -> tuple[Image, float]:
    """The picture as one process computes it, and the seconds that it takes: what the cluster is measured by."""
    from rjs.child_python import JOB_PYTHON
    from rjs.cli.example import example_module

    output = folder / "alone"
    environment = {"PATH": os.defpath, "RJS_OUTPUT": str(output)}
    argv = [*JOB_PYTHON, str(job / "mandelbrot.py")]
    say("one process alone computes the picture first, to compare with ...")
    with progress("one process alone", 1) as done:
        began = time.monotonic()
        subprocess.run(
            argv, check=True, env=environment, stdin=subprocess.DEVNULL, timeout=PATIENCE,
            start_new_session=True,  # Ctrl-C is ours; run() kills it on the way out
        )  # fmt: skip
        seconds = time.monotonic() - began
        done(1)
    return example_module("mandelbrot", "splice").splice([(output / "band.ppm").read_bytes()]), seconds


async def _run(
    reactor: ReactorBase, cluster: LocalCluster, job: Path, tasks: int
) -> tuple[list[tuple[bytes, Receipt]], float]:
    """The verified answers in the order of tasks, and the seconds from the upload to the last answer."""
    from rjs.local_cluster import place
    from rjs.packing import pack_job

    began = time.monotonic()
    await cluster.start(reactor)
    say(f"the cluster is up after {time.monotonic() - began:.1f} s")
    signer = cluster.signer()
    bundle = cluster.folder / "mandelbrot.jar"
    job_id = pack_job(
        job, bundle, key=signer.key, chain=signer.chain, now=datetime.now(UTC), nonce=os.urandom(16),
        valid=timedelta(days=1),
    )  # fmt: skip
    began = time.monotonic()
    place(bundle, cluster.jobs)
    paths = await _collect(reactor, cluster, job_id, tasks)
    seconds = time.monotonic() - began
    return [_opened(cluster, path) for path in paths], seconds


async def _collect(reactor: ReactorBase, cluster: LocalCluster, job: str, tasks: int) -> list[Path]:
    from rjs.background import sleep
    from rjs.errors import RjsError

    folder = cluster.answers / job[:16]
    paths = [folder / f"{task}.jar" for task in range(tasks)]
    status = cluster.jobs / "mandelbrot.jar.status.txt"
    deadline = reactor.seconds() + PATIENCE
    with progress("mandelbrot", tasks) as done:
        while (count := sum(path.exists() for path in paths)) < tasks:
            done(count)
            cluster.check()
            text = status.read_text() if status.exists() else ""
            if text.startswith(("state: failed", "state: refused")) or reactor.seconds() > deadline:
                raise RjsError(f"the job did not succeed; its status:\n{text}")
            await sleep(reactor, LOOK)
        done(tasks)
    return paths


def _opened(cluster: LocalCluster, path: Path) -> tuple[bytes, Receipt]:
    """One answer's band and receipt, verified against the organisation root."""
    from rjs.answers.answer_jar import open_answer
    from rjs.limits import MIB

    with path.open("rb") as file:
        answer = open_answer(file, roots=[cluster.root()], at=datetime.now(UTC))
        with answer.bundle:
            return answer.bundle.read("out/band.ppm", 64 * MIB), answer.receipt


def _compare(picture: Image, alone: Image) -> None:
    from rjs.errors import RjsError

    if (picture.size, picture.tobytes()) != (alone.size, alone.tobytes()):
        raise RjsError(
            "the cluster's picture is not the one that a single process computes; please report this"
        )


def _print_json(answers: Sequence[tuple[bytes, Receipt]], seconds: float, alone: float, out: Path) -> None:
    tasks = [
        {"task": each.task, "cs": each.cs_name, "mflops": each.mflops, "seconds": each.wall_seconds}
        for _, each in answers
    ]
    figures = {"seconds": seconds, "seconds_alone": alone, "speed_up": alone / seconds}
    print_json({"tasks": tasks, **figures, "cores": os.cpu_count(), "picture": out})


def _tell(
    answers: Sequence[tuple[bytes, Receipt]], seconds: float, alone: float, out: Path, keep: Path | None
) -> None:
    rows = [
        [receipt.task, receipt.cs_name, round(receipt.mflops), receipt.wall_seconds] for _, receipt in answers
    ]
    click.echo()
    print_table(["TASK", "COMPUTE SERVER", "MFLOPS", "SECONDS"], rows)
    click.echo()
    click.echo(
        f"{seconds:.1f} s from upload to the last answer, {alone:.1f} s in one process alone: "
        f"speed-up {alone / seconds:.2f} (this machine has {os.cpu_count()} cores)"
    )
    click.echo(f"{out} equals, pixel for pixel, the picture of the single process")
    click.echo()
    program = sys.argv[0] if os.sep in sys.argv[0] else "rjs"
    if keep is not None:
        click.echo(f"state folders and logs are in {keep}; next, look at an answer:")
        click.echo(f"  {program} inspect {keep}/cluster/ws/home/demo/ans/*/0.jar")
    else:
        click.echo(
            "next, keep what it makes and look around in it, or send a job of your own (docs/tutorial.md):"
        )
        click.echo(f"  {program} demo --workers 2 --tasks 16 --keep rjs-demo")
    click.echo(f"  {program} --help")
