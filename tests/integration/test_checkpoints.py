"""Checkpoints, with real processes: a simulation that is driven from machine to machine ends like any other."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Server, running_cluster, wait_for
from jobs import write_job

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SIMULATION = """
import hashlib, json, time
from pathlib import Path
from rjs import task

def save():
    new = task.checkpoint_folder / ".new"
    new.write_text(json.dumps(state))
    new.rename(kept)

steps, gate = int(task.arguments[0]), Path(task.arguments[1])
kept = task.checkpoint_folder / "state.json"
state = json.loads(kept.read_text()) if kept.exists() else {"step": 0, "value": f"seed {task.index}", "begun": []}
state["begun"].append(state["step"])
while state["step"] < steps or not gate.exists():
    time.sleep(0.05)
    if state["step"] < steps:
        state["value"] = hashlib.sha256(state["value"].encode()).hexdigest()
        state["step"] += 1
    save()
    if state["step"] % 3 == 0:
        task.checkpoint()
(task.output_folder / "result.json").write_text(json.dumps(state))
"""
"""It checkpoints every third step by itself; what it reached since is taken when it has to leave. It does not end
before the gate is open."""

STEPS, TASKS = 300, 2
KILLS = 4
"""Times that a machine dies, all tasks together: five of one would fail it."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        yield made


def value(task: int) -> str:
    """What an undisturbed simulation ends with."""
    value = f"seed {task}"
    for _ in range(STEPS):
        value = hashlib.sha256(value.encode()).hexdigest()
    return value


def killed(cluster: Cluster, server: Server) -> None:
    """Its process dies, with everything below it, and it is started anew."""
    server.kill()
    server.start()


def stopped(cluster: Cluster, server: Server) -> None:
    """It is told to stop, and is started anew."""
    server.stop()
    server.start()


def distrusted(cluster: Cluster, server: Server) -> None:
    """Its owner takes back the trust, and gives it again when the task is gone."""
    path = next(server.folder.glob("clusters/*/trust.toml"))
    trust = path.read_text()
    path.write_text("# nobody\n")
    wait_for(lambda: server.document()["state"] == "free", story=cluster.story)
    path.write_text(trust)


def test_ten_disturbances_change_the_time_not_the_outcome(cluster: Cluster, tmp_path: Path) -> None:
    """A simulation that loses its machine ten times, at random points, ends as an undisturbed one, and no task began
    from zero but once; of what was kept nothing is left when the job has ended."""
    chance = random.Random(6)
    ways = [*[killed] * KILLS, *[stopped] * 3, *[distrusted] * 3]
    chance.shuffle(ways)
    gate = tmp_path / "open"
    folder = write_job(tmp_path / "simulation", SIMULATION, tasks=TASKS, args=[str(STEPS), str(gate)])
    job = cluster.ada.place(cluster.ada.pack(folder))
    disturbed = set()
    for way in ways:
        for _ in range(chance.randint(1, 3)):
            wait_for_another(cluster)
        running = wait_for(lambda: cluster.running(job), story=cluster.story)
        server = running[chance.choice(sorted(running))]
        disturbed.add(server.name)
        way(cluster, server)
    gate.touch()
    answers = cluster.ada.answers(job, TASKS)
    results = [json.loads(answers[task].files["out/result.json"]) for task in range(TASKS)]
    assert [each["value"] for each in results] == [value(task) for task in range(TASKS)]
    begun = [each["begun"] for each in results]
    assert [(each[0], each.count(0)) for each in begun] == [(0, 1)] * TASKS, begun
    assert sum(map(len, begun)) > TASKS + 5, begun
    assert len(disturbed) > 1
    wait_for(lambda: not kept(cluster), story=cluster.story)
    cluster.quiet()


LEAVING = """
import signal, sys, time
from rjs import task

def leave(number, frame):
    (task.checkpoint_folder / "state").write_text("told to leave")
    sys.exit(0)

kept = task.checkpoint_folder / "state"
if kept.exists():
    (task.output_folder / "state").write_text(kept.read_text())
else:
    signal.signal(signal.SIGTERM, leave)
    task.progress(0.5, "ready")
    time.sleep(600)
"""


def test_a_confined_task_that_leaves(tmp_path: Path) -> None:
    """In its cell too a task is told to leave, may write what it reached, and its next attempt finds it."""
    (tmp_path / "c").mkdir()
    with running_cluster(tmp_path / "c", ["cs1"], confined=True) as cluster:
        cs, job = (
            cluster["cs1"],
            cluster.ada.place(cluster.ada.pack(write_job(tmp_path / "leaving", LEAVING))),
        )
        wait_for(lambda: "ready" in json.dumps(cluster.ada.status(job)), story=cluster.story)
        stopped(cluster, cs)
        (answer,) = cluster.ada.answers(job, 1).values()
        assert answer.files["out/state"] == b"told to leave"
        wait_for(lambda: not kept(cluster), story=cluster.story)


def wait_for_another(cluster: Cluster) -> None:
    """Waits until the WS keeps a checkpoint that it does not keep now."""
    seen = kept(cluster)
    wait_for(lambda: kept(cluster) - seen, story=cluster.story)


def kept(cluster: Cluster) -> set[str]:
    """The files of the checkpoints that the WS keeps."""
    return {path.name for path in cluster["ws"].folder.glob("clusters/*/checkpoints/*.jar")}
