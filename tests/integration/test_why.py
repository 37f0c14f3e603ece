"""`rjs why` in real processes: it answers truly in each of the main situations, from an upload to its end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, Person, running_cluster, wait_for
from jobs import Gate, write_job

GATED = """
import sys, time
from pathlib import Path
from rjs import task

gate = Path(sys.argv[1])
task.progress(0.4, "fitting")
while not (gate / "open").exists():
    time.sleep(0.02)
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two compute servers that trust ada; bob is trusted by nobody."""
    with running_cluster(tmp_path_factory.mktemp("why"), ["cs1", "cs2"]) as made:
        made.add_user("bob")
        yield made


def asked(person: Person, *arguments: str) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = json.loads(person.rjs("why", *arguments, "--json").stdout)["reasons"]
    return reasons


def codes(person: Person, *arguments: str) -> list[str]:
    return [each["code"] for each in asked(person, *arguments)]


def becomes(cluster: Cluster, person: Person, code: str, *arguments: str) -> dict[str, Any]:
    """Waits until this is the most decisive reason; that one."""

    def first() -> dict[str, Any] | None:
        reasons = asked(person, *arguments)
        return reasons[0] if reasons and reasons[0]["code"] == code else None

    found = wait_for(first, story=lambda: f"{asked(person, *arguments)}\n{cluster.story()}")
    assert found is not None
    return found


def place(person: Person, folder: Path, script: str = "print(1)", **more: Any) -> tuple[str, str]:
    bundle = person.pack(write_job(folder, script, **more))
    return person.place(bundle), bundle.name


def test_nobody_is_able(cluster: Cluster, tmp_path: Path) -> None:
    """A signer whom nobody trusts, and needs that nobody meets: which compute servers, and what changes it."""
    bob = cluster.people["bob"]
    job, name = place(bob, tmp_path / "unknown")
    reason = becomes(cluster, bob, "not-taken", job[:12])
    (kind,) = [each for each in reason["servers"] if each["code"] == "not-trusted"]
    assert (kind["count"], sorted(kind["names"])) == (2, ["cs1", "cs2"])
    assert any("rjs trust add " in each for each in reason["change"])
    assert reason["sentence"] == bob.status(job)["job"]["reason"]
    assert f"reason: {reason['sentence']}\n" in bob.told(name)
    printed = bob.rjs("why", name).stdout
    assert printed.startswith(f"{job[:16]} unknown: waiting, 0 of 1 tasks answered\n\n1 task (0) waits: ")
    assert "\n  what would change it: an owner of such a compute server trusts the signer" in printed

    job, _ = place(cluster.ada, tmp_path / "huge", memory="1000 GiB")
    reason = becomes(cluster, cluster.ada, "not-taken", job)
    assert [each["code"] for each in reason["servers"]] == ["needs-memory"]
    cluster.ada.rjs("cancel", job)
    assert codes(cluster.ada, job) == ["cancelled"]
    assert asked(cluster.ada, job, "0")[0]["sentence"] == "cancelled by ada"


def test_the_owners_command_lets_it_run(cluster: Cluster, tmp_path: Path) -> None:
    """What would change it changes it: the command that is printed works as it stands, but for the folder."""
    bob = cluster.people["bob"]
    job, _ = place(bob, tmp_path / "trusting")
    change = becomes(cluster, bob, "not-taken", job)["change"]
    command = next(each for each in change if "rjs trust add" in each).partition("rjs ")[2]
    cluster.rjs(*command.replace("DIR", str(cluster["cs1"].folder)).split())
    bob.answers(job, tasks=1)
    done = becomes(cluster, bob, "committed", job, "0")
    assert f"(by cs1): ans/{job[:16]}/0.jar" in done["sentence"]


def test_uploads(cluster: Cluster, tmp_path: Path) -> None:
    """A refused upload by its name; a name that is none, another's job, and a task that is not there: status 1."""
    ada, bob = cluster.ada, cluster.people["bob"]
    (ada.jobs / "broken.jar").write_bytes(b"no bundle at all")
    arriving = becomes(cluster, ada, "may-be-arriving", "broken.jar")
    assert "it will be refused: " in arriving["sentence"]
    ada.refused("broken.jar")
    assert codes(ada, "broken.jar") == ["upload-refused"]
    assert ada.rjs("why", "broken.jar").stdout.startswith("broken.jar is no job yet\n\nit was refused: ")
    job, name = place(ada, tmp_path / "private")
    ada.answers(job, tasks=1)
    for words in ([job], [name]):
        assert bob.rjs("why", *words, status=1).stderr.startswith("refused: no-such-job: ")
    assert ada.rjs("why", job, "7", status=1).stderr.startswith("refused: no-such-task: ")
    assert ada.rjs("why", "../x.jar y", status=2).stderr


def test_busy_running_and_lost(cluster: Cluster, tmp_path: Path) -> None:
    """Tasks that run, with what they told; those that wait for them; a killed CS; a killed LUS; a failed task."""
    ada, gate = cluster.ada, Gate(tmp_path / "gate")
    job, _ = place(ada, tmp_path / "long", GATED, tasks=9, args=[str(gate.folder)])
    wait_for(lambda: len(cluster.running(job)) == 2, story=cluster.story)
    wait_for(lambda: "40%" in json.dumps(asked(ada, job, "0")), story=cluster.story)
    by_code = {each["code"]: each for each in asked(ada, job)}
    assert set(by_code) == {"in-turn", "cs-busy", "running"}
    assert [by_code[code]["tasks"] for code in ("in-turn", "cs-busy", "running")] == [5, 2, 2]
    assert {name for each in by_code["cs-busy"]["servers"] for name in each["names"]} == {"cs1", "cs2"}
    (running,) = asked(ada, job, "0")
    assert "it told: 40%, fitting" in running["sentence"]
    (ahead,) = asked(ada, job, "8")
    assert ahead["change"][0].startswith("before it: 4 of this job, and 4 that lookup servers have; ")

    lost = cluster.running(job)[0]
    lost.kill()
    tried = wait_for(
        lambda: [each for each in asked(ada, job, "0") if each["code"] == "tried-before"], story=cluster.story
    )
    assert f"lost 1 machines of at most 5 ({lost.name})" in tried[0]["sentence"]

    cluster["lus"].send(signal.SIGSTOP)
    silent = {each["code"]: each for each in asked(ada, job)}
    assert silent["no-word"]["sentence"] == "lookup server lus did not answer within 2 s"
    cluster["lus"].send(signal.SIGCONT)
    cluster["lus"].kill()
    away = becomes(cluster, ada, "lus-away", job)
    assert "lookup server lus, which has it, lost its connection" in away["sentence"]
    cluster["lus"].start()
    lost.start()
    gate.open()
    ada.answers(job, tasks=9)
    assert codes(ada, job) == ["committed"]

    job, _ = place(ada, tmp_path / "fails", "raise SystemExit(3)")
    failed = becomes(cluster, ada, "failed", job)
    assert failed["sentence"].startswith("task 0 failed 3 times (on cs")
    assert failed["sentence"].endswith("exit status 3")


def test_nobody_serves(cluster: Cluster, tmp_path: Path) -> None:
    """Without compute servers, then without a lookup server: the most that is missing is said."""
    job, name = place(cluster.ada, tmp_path / "alone", memory="1000 GiB")
    becomes(cluster, cluster.ada, "not-taken", job)
    for each in ("cs1", "cs2"):
        cluster[each].stop()
    becomes(cluster, cluster.ada, "no-cs", name)
    cluster["lus"].stop()
    reason = becomes(cluster, cluster.ada, "no-lus", job)
    assert (reason["sentence"], reason["tasks"]) == ("no lookup server is connected", 1)
    assert any("rjs lus run" in each for each in reason["change"])
    cluster.ada.rjs("cancel", job)
