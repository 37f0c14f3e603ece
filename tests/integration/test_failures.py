"""What ends badly ends visibly: failed tasks, limits, cancelling, jobs that nobody can run, other people's jobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cluster import Cluster, running_cluster, wait_for
from jobs import Gate, write_job

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c")) as made:
        made.add_user("bob")
        yield made


TROUBLES = """
import os, signal, sys, time

def eat():
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1 << 20)))

task = int(os.environ["RJS_TASK_INDEX"])
print("I am task", task, file=sys.stderr, flush=True)
if task == 0:
    sys.exit("line one\\nthe end of the story")
if task == 1:
    time.sleep(300)
if task == 2:
    eat()
if task == 3:
    os.kill(os.getpid(), signal.SIGSEGV)
if task == 4:
    os.symlink("/etc/passwd", os.environ["RJS_OUTPUT"] + "/passwd")
print("well done")
"""


@pytest.fixture(scope="module")
def troubled(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The status of a job whose tasks end in every bad way, but the last one, once all have ended."""
    folder = write_job(
        tmp_path_factory.mktemp("jobs") / "troubles", TROUBLES, tasks=6, memory="64 MiB", wall_time="4 s"
    )
    job = cluster.ada.place(cluster.ada.pack(folder))
    shown = cluster.ada.wait_until(job, "failed")
    cluster.quiet()
    return shown


TASKS = {
    0: "exit status 1\nI am task 0\nline one\nthe end of the story",
    1: "killed: used ",
    2: "killed: used ",
    3: "ended by signal 11",
    4: "its outputs cannot become an answer: output-kind: out/'passwd' is not a plain file of its own",
}


REMEDIES = {
    1: " s; raise needs.wall_time, or make the tasks shorter",
    2: " of 64.0 MiB of memory after ",
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_fails_after_three_attempts(troubled: dict[str, Any], task: int) -> None:
    """Three attempts on three CSs; then status names them, exit status, signal or limit, and the end of stderr."""
    line = troubled["tasks"][task]
    assert (line["state"], line["attempts"]) == ("failed", 3)
    where, _, last = line["detail"].partition("; the last time: ")
    assert where.startswith("failed 3 times (on cs")
    assert sorted(where.removeprefix("failed 3 times (on ").rstrip(")").split(", ")) == ["cs1", "cs2", "cs3"]
    assert last.startswith(TASKS[task])
    assert REMEDIES.get(task, "") in last


def test_one_task_failing_costs_the_others_nothing(cluster: Cluster, troubled: dict[str, Any]) -> None:
    """The task beside the failing ones has its answer, and the counts say what became of each."""
    job = troubled["job"]
    assert (job["tasks"], job["committed"], job["failed"], job["waiting"], job["running"]) == (6, 1, 5, 0, 0)
    (task, path), *others = cluster.ada.delivered(job["job"]).items()
    assert (task, others) == (5, [])
    assert cluster.opened(path, job["job"], 5).files["stdout.txt"] == b"well done\n"


def test_the_status_file_tells_the_same(cluster: Cluster, troubled: dict[str, Any]) -> None:
    """Who has only scp reads in jobs/ what went wrong."""
    told = cluster.ada.told(next(cluster.ada.jobs.glob("troubles-*.jar")).name)
    assert told.startswith("state: failed\n")
    for task in TASKS:
        assert f"\ntask {task}: failed; " in told


def test_the_table_tells_the_same(cluster: Cluster, troubled: dict[str, Any]) -> None:
    """`rjs status JOB` prints the end of stderr for people too."""
    printed = cluster.ada.rjs("status", troubled["job"]["job"][:12]).stdout
    assert " exit status 1\n" in printed
    assert "the end of task 0's stderr:\n  I am task 0\n" in printed
    assert "\n  the end of the story\n" in printed


SLEEPS = """
import os, subprocess, sys
from pathlib import Path

children = [subprocess.Popen(["sleep", "300"], start_new_session=True) for _ in range(2)]
for pid in (os.getpid(), *(child.pid for child in children)):
    (Path(sys.argv[1]) / f"0.{pid}").touch()
children[0].wait()
"""


def test_cancelling_stops_what_runs(cluster: Cluster, tmp_path: Path) -> None:
    """`rjs cancel` ends every process of the running task, also in sessions of their own, and the waiting tasks."""
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(
        cluster.ada.pack(write_job(tmp_path / "sleeps", SLEEPS, tasks=8, args=[str(gate.folder)]))
    )
    gate.wait_for_arrivals(9)
    processes = gate.arrivals()
    assert all(map(psutil.pid_exists, processes))
    cluster.ada.rjs("cancel", job[:16])
    cluster.quiet()
    assert not any(map(psutil.pid_exists, processes))
    shown = cluster.ada.wait_until(job, "cancelled")
    assert (shown["job"]["cancelled"], shown["job"]["committed"]) == (8, 0)
    assert {task["detail"] for task in shown["tasks"]} == {"cancelled by ada"}
    assert len(gate.arrivals()) == 9
    assert cluster.ada.rjs("cancel", job, status=1).stderr.startswith("refused: already-ended: ")


def test_a_job_too_large_for_every_machine_waits_and_says_so(cluster: Cluster, tmp_path: Path) -> None:
    """It needs more memory than any CS gives: it waits, names that and the most there is, and can be cancelled."""
    bundle = cluster.ada.pack(write_job(tmp_path / "huge", "print(1)", memory="1000 GiB"))
    job = cluster.ada.place(bundle)
    wait_for(lambda: "reason: " in cluster.ada.told(bundle.name), story=cluster.story)
    shown = cluster.ada.status(job)["job"]
    assert (shown["state"], shown["waiting"]) == ("waiting", 1)
    assert "at best: it needs 1,024,000 MiB of memory, " in shown["reason"]
    assert shown["reason"] in cluster.ada.told(bundle.name)
    cluster.ada.rjs("cancel", job)


def test_people_see_their_own_jobs_only(cluster: Cluster, tmp_path: Path) -> None:
    """Another person's job is neither listed nor shown nor cancelled, and does not differ from one that never was."""
    bob = cluster.people["bob"]
    bundle = cluster.ada.pack(write_job(tmp_path / "private", "print(1)", memory="1000 GiB"))
    job = cluster.ada.place(bundle)
    assert job in [each["job"] for each in json.loads(cluster.ada.rjs("status", "--json").stdout)]
    assert json.loads(bob.rjs("status", "--json").stdout) == []
    for question in (["status", job], ["cancel", job]):
        refusals = {
            bob.rjs(*question[:-1], each, status=1).stderr.replace(each, "JOB") for each in (job, "f" * 64)
        }
        assert len(refusals) == 1
        assert refusals.pop().startswith("refused: no-such-job: ")
    assert cluster.ada.status(job)["job"]["state"] == "waiting"
    cluster.ada.rjs("cancel", job)


def test_the_command_in_a_refusal_lets_the_job_run(cluster: Cluster, tmp_path: Path) -> None:
    """An owner finds what was refused, whose it was, and a command that works as it stands; then the job runs."""
    folder = write_job(tmp_path / "calls", "print(1)")
    with (folder / "job.toml").open("a") as toml:
        toml.write('[permissions]\nnetwork = ["data.example.org:443"]\n')
    bundle = cluster.ada.pack(folder)
    job = cluster.ada.place(bundle)
    wait_for(lambda: "permission-not-granted: " in cluster.ada.told(bundle.name), story=cluster.story)
    cs = cluster["cs1"].folder
    refused = json.loads(cluster.rjs("cs", "status", cs, "--json").stdout)["refused"]
    (ours,) = [each for each in refused if each["job"] == job]
    assert (ours["name"], ours["code"]) == ("calls", "permission-not-granted")
    assert "CN=ada" in ours["signer"]
    assert f"({ours['name']}), signed by {ours['signer']}\n" in cluster.rjs("cs", "status", cs).stdout
    _, command = ours["sentence"].split("; the owner can change that with: rjs ")
    assert "before, it did so until you take it back" in cluster.rjs(*shlex.split(command)).stderr
    cluster.ada.answers(job, tasks=1)
    cluster.trust("cs1", cluster.ada)


def test_a_job_that_waits_for_servers_says_so(cluster: Cluster, tmp_path: Path) -> None:
    """Without a lookup server, status and status file say that; once there is one, the job runs."""
    cluster["lus"].stop()
    bundle = cluster.ada.pack(write_job(tmp_path / "alone", "print(1)"))
    job = cluster.ada.place(bundle)
    wait_for(
        lambda: "reason: no lookup server is connected\n" in cluster.ada.told(bundle.name),
        story=cluster.story,
    )
    assert cluster.ada.status(job)["job"]["reason"] == "no lookup server is connected"
    cluster["lus"].start()
    cluster.ada.answers(job, tasks=1)
    wait_for(lambda: "state: done\n" in cluster.ada.told(bundle.name), story=cluster.story)
    assert "reason: " not in cluster.ada.told(bundle.name)
