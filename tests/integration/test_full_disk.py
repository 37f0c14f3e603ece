"""Disks that are full: said in words, nothing new is taken in, nothing is lost, and all goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from cluster import Cluster, Server, running_cluster, wait_for
from jobs import Gate, band, write_job, write_mandelbrot

from rjs.errors import UnreachableError
from rjs.limits import DISK_RESERVE, GIB, MIB

pytestmark = pytest.mark.integration

TASKS = 4
DISK = "64 MiB"
QUICK = "import os; open(os.environ['RJS_OUTPUT'] + '/x', 'w').close()\n"


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A disk of ``size`` bytes at ``path``, until the end of the block."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def fill(folder: Path, left: int) -> Path:
    """A file of ours that leaves so many bytes, or fewer, of the disk."""
    filler = folder / "filler"
    with filler.open("ab") as file:
        for _ in range(100):
            space = os.statvfs(folder)
            if (free := space.f_bavail * space.f_frsize) <= left:
                return filler
            with suppress(OSError):  # its server took some of it meanwhile
                os.posix_fallocate(file.fileno(), file.tell(), free - left)
            file.seek(0, os.SEEK_END)
    raise AssertionError(f"{free} bytes are still free")


def fault(server: Server) -> str:
    """What the server says of its disk."""
    found: str = server.document()["disk"]["fault"]
    return found


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose web server and compute server have small disks of their own."""
    folder = tmp_path / "c"
    folder.mkdir()
    with (
        small_disk(folder / "ws", DISK_RESERVE + 40 * MIB),
        small_disk(folder / "cs1", GIB),  # a task is given half of what is free, in steps of 256 MiB
        running_cluster(folder, ["cs1"]) as made,
    ):
        yield made


def test_a_web_server_outlives_a_full_disk(cluster: Cluster, tmp_path: Path) -> None:
    """First it takes no new jobs, then it cannot commit an answer and begins anew; with room, every task has its one
    answer, computed once, and the job that waited is accepted."""
    gate, ws, ada = Gate(tmp_path / "gate"), cluster["ws"], cluster.ada
    job = ada.place(ada.pack(write_mandelbrot(tmp_path / "mandelbrot", TASKS, gate, disk=DISK)))
    gate.wait_for_arrivals(1)
    filler = fill(ws.folder, DISK_RESERVE - MIB)
    wait_for(lambda: fault(ws) == "disk-low", story=ws.tail)
    bundle = ada.pack(write_job(tmp_path / "quick", QUICK, disk=DISK))
    assert "disk-low" in ada.rjs("submit", bundle, status=1).stderr
    ada.drop(bundle, "quick.jar")
    gate.open(0)
    ada.answers(job, tasks=1)

    assert ws.process is not None
    pid = ws.process.pid
    fill(ws.folder, 0)
    gate.open(1)
    wait_for(
        lambda: "does not serve yet" in cluster.rjs("ws", "revoked", ws.folder).stderr or not _serves(ws), 30
    )
    assert ws.process.poll() is None and ws.process.pid == pid
    filler.unlink()
    wait_for(lambda: _serves(ws), story=ws.tail)
    gate.open()
    answers = ada.answers(job, TASKS)
    assert all(answers[task].files["out/band.ppm"] == band(task, TASKS) for task in range(TASKS))
    assert all(len(gate.arrivals(task)) == 1 for task in range(TASKS))
    ada.answers(ada.accepted("quick.jar"), tasks=1)


def _serves(server: Server) -> bool:
    return server.serves() and fault(server) == ""


def _says(server: Server) -> str:
    try:
        return fault(server)
    except UnreachableError as error:
        return str(error)


def test_a_compute_server_with_a_full_disk_takes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """It says why, and takes tasks again once there is room; the job waits and does not fail."""
    cs, ada = cluster["cs1"], cluster.ada
    filler = fill(cs.folder, 0)
    wait_for(lambda: fault(cs).startswith("disk-"), story=cs.tail)
    job = ada.place(ada.pack(write_job(tmp_path / "quick", QUICK, disk=DISK)))
    assert ada.status(job)["job"]["committed"] == 0
    filler.unlink()
    ada.answers(job, tasks=1)
    assert fault(cs) == ""
