"""``rjs ws backup`` and ``restore``, of real servers: what was acknowledged is still there, and comes once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster
from jobs import Gate, band, write_mandelbrot

pytestmark = pytest.mark.integration

TASKS = 6


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        yield made


def test_a_web_server_is_restored(cluster: Cluster, tmp_path: Path) -> None:
    """A backup is made while tasks run; later ones end; then the state folder is lost but for the homes. What was
    answered before or after the backup is not computed again, and what was not is."""
    gate, ws, file = Gate(tmp_path / "gate"), cluster["ws"], tmp_path / "backup.tar"
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot", TASKS, gate)))
    gate.wait_for_arrivals(2)
    gate.open(0)
    cluster.ada.answers(job, tasks=1)
    cluster.rjs("ws", "backup", ws.folder, file)
    gate.open(1)
    cluster.ada.answers(job, tasks=2)
    before = {task: path.read_bytes() for task, path in cluster.ada.delivered(job).items()}
    ws.kill()
    (_, aside), *_ = [
        (each, each.rename(tmp_path / "damaged")) for each in (ws.folder / "clusters").iterdir()
    ]
    assert not list((ws.folder / "clusters").iterdir()) and aside.exists()

    shown = json.loads(cluster.rjs("ws", "restore", ws.folder, file, "--json").stdout)
    assert (shown["jobs"], shown["found"], shown["lost"], shown["aside"]) == (1, 1, 0, None)
    assert shown["generation"] > 1
    ws.start()
    gate.open()
    answers = cluster.ada.answers(job, TASKS)
    assert all(answers[task].files["out/band.ppm"] == band(task, TASKS) for task in range(TASKS))
    assert {task: cluster.ada.delivered(job)[task].read_bytes() for task in before} == before
    assert all(len(gate.arrivals(task)) == 1 for task in before)
    assert cluster.ada.wait_until(job, "done")["job"]["committed"] == TASKS
    cluster.quiet()


def test_a_restore_puts_aside_what_was_there(cluster: Cluster, tmp_path: Path) -> None:
    """Of the same server, stopped; what only grows stays: an invitation that was used since is not good again."""
    ws, file = cluster["ws"], tmp_path / "backup.tar"
    used = cluster.invitation("user", "grace")
    cluster.rjs("ws", "backup", ws.folder, file)
    cluster.rjs("join", used, home=cluster.folder / "person-grace")
    ws.stop()
    first = cluster.rjs("ws", "restore", ws.folder, file).stderr
    assert "what was there before is in" in first
    shutil.rmtree(next(ws.folder.glob("before-restore-*")))
    ws.start()
    said = cluster.rjs("join", used, home=cluster.folder / "person-mallory", status=1).stderr
    assert "used" in said
    ws.stop()
    again = json.loads(cluster.rjs("ws", "restore", ws.folder, file, "--json").stdout)
    assert again["aside"] is not None
    shutil.rmtree(next(ws.folder.glob("before-restore-*")))
    ws.start()


def test_a_restore_that_was_killed_forgets_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Killed when the state before was aside and the new one not in its place: run again, it finds what grew."""
    ws, file = cluster["ws"], tmp_path / "backup.tar"
    used = cluster.invitation("user", "hedy")
    cluster.rjs("ws", "backup", ws.folder, file)
    cluster.rjs("join", used, home=cluster.folder / "person-hedy")
    ws.stop()
    aside = ws.folder / "before-restore-20260101T000000"
    aside.mkdir(mode=0o700)
    for each in (ws.folder / "clusters").iterdir():
        each.rename(aside / each.name)
    cluster.rjs("ws", "restore", ws.folder, file)
    ws.start()
    assert "used" in cluster.rjs("join", used, home=cluster.folder / "person-eve", status=1).stderr
    shutil.rmtree(aside)


def test_what_cannot_be_restored_changes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """A server that runs, another cluster's, somebody's files, half a backup: refused, and all is as it was."""
    ws, file, half = cluster["ws"], tmp_path / "backup.tar", tmp_path / "half.tar"
    cluster.rjs("ws", "backup", ws.folder, file)
    assert "in use by" in cluster.rjs("ws", "restore", ws.folder, file, status=1).stderr
    assert ws.serves()
    half.write_bytes(file.read_bytes()[:-20_000])
    new = tmp_path / "new"
    assert "cut off" in cluster.rjs("ws", "restore", new, half, status=1).stderr
    assert cluster["lus"].folder.exists()
    lus = tmp_path / "lus"
    shutil.copytree(cluster["lus"].folder, lus, ignore=lambda *_: {"status.sock", "lock"})
    files = tmp_path / "files"
    files.mkdir()
    (files / "letter").touch()
    assert "holds other files" in cluster.rjs("ws", "restore", files, file, status=1).stderr
    assert [path.name for path in files.iterdir()] == ["letter"]
    cluster.rjs("ws", "restore", new, file)
    assert (new / "clusters").exists()
