"""Starting, stopping and asking: what an operator and a shell script rely on."""

from __future__ import annotations

import json
import platform
import signal
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from cluster import RJS, Cluster, running_cluster, wait_for
from jobs import Gate, write_job, write_mandelbrot

from rjs.cli.commands import COMMANDS, Branch, Leaf

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "number"),
    [("cs1", signal.SIGTERM), ("lus", signal.SIGTERM), ("ws", signal.SIGTERM), ("cs1", signal.SIGINT)],
)
def test_a_server_ends_when_it_is_told_to(
    cluster: Cluster, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    """In mid-task, a server ends within its time with status 0 and leaves no process; started again, all go on."""
    cluster.registered()
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "picture", tasks=4, gate=gate)))
    gate.wait_for_arrivals(2)
    cluster[name].stop(number)
    assert not (cluster[name].folder / "status.sock").exists()
    cluster[name].start()
    gate.open()
    cluster.ada.answers(job, tasks=4)
    shown = cluster.ada.wait_until(job, "done")
    assert [task["attempts"] for task in shown["tasks"]] == [0, 0, 0, 0]
    cluster.quiet()


STUBBORN = """
import os, signal, sys
from pathlib import Path

for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    os.fork()
(Path(sys.argv[1]) / f"0.{os.getpid()}").touch()
while True:
    signal.pause()
"""


def test_a_stubborn_task_ends_with_its_compute_server(cluster: Cluster, tmp_path: Path) -> None:
    """A CS that stops takes along processes that ignore every signal that can be ignored; the task goes elsewhere."""
    cluster.registered()
    gate = Gate(tmp_path / "gate")
    folder = write_job(tmp_path / "stubborn", STUBBORN, args=[str(gate.folder)])
    job = cluster.ada.place(cluster.ada.pack(folder))
    gate.wait_for_arrivals(3)
    processes = [psutil.Process(pid) for pid in gate.arrivals()]
    wait_for(lambda: cluster.running(job))
    (where,) = cluster.running(job).values()
    where.stop()
    assert not any(process.is_running() for process in processes)
    gate.wait_for_arrivals(6)
    cluster.ada.rjs("cancel", job)
    where.start()
    cluster.quiet()
    cluster.registered()


def test_one_process_a_state_folder(cluster: Cluster) -> None:
    """A second server on the same folder is told which process holds it, and harms nothing."""
    for server in cluster.servers.values():
        assert server.process is not None
        told = cluster.rjs(server.role, "run", server.folder, status=1).stderr
        assert f"is in use by process {server.process.pid}" in told
        assert server.serves()


def test_a_compute_server_does_not_run_without_its_owners_word(cluster: Cluster, tmp_path: Path) -> None:
    """Where jobs are not confined a CS runs only if its owner accepted that; the refusal says why and what to set."""
    folder = tmp_path / "cs"
    cluster.rjs("join", cluster.invitation("cs", "careful"), folder, "--set", "sandbox=none")
    told = cluster.rjs("cs", "run", folder, status=1).stderr
    assert 'sandbox = "none"' in told and 'unconfined = "i accept"' in told
    assert str(folder / "config.toml") in told
    told = cluster.rjs("cs", "run", tmp_path / "nothing", status=1).stderr
    assert "is not a server's state folder" in told


def test_local_doors_are_private(cluster: Cluster) -> None:
    """State folders and the sockets in them are for the account that runs the server, keys too."""
    for server in cluster.servers.values():
        assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((server.folder / "status.sock").stat().st_mode) == 0o600
    keys = [path for path in cluster.folder.rglob("*.key") if path.is_file()]
    assert len(keys) >= 7
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_an_invitation_is_used_once(cluster: Cluster, tmp_path: Path) -> None:
    """Whoever comes second with the same line is refused, with a sentence."""
    invitation = cluster.invitation("cs", "once")
    cluster.rjs("join", invitation, tmp_path / "first")
    told = cluster.rjs("join", invitation, tmp_path / "second", status=1).stderr
    assert told.startswith("refused: ")
    assert not list((tmp_path / "second").rglob("member.json"))


def test_status_of_servers(cluster: Cluster) -> None:
    """`rjs ws status`, `rjs lus status` and `rjs cs status` print what they know, for people and as JSON."""
    cluster.registered()
    facts = cluster.rjs("ws", "status", cluster["ws"].folder).stdout.splitlines()
    assert {"lookup servers  lus", "its separation"} <= {facts[2].strip(), facts[7][:14]}
    told = json.loads(cluster.rjs("ws", "status", cluster["ws"].folder, "--json").stdout)
    assert (told["lus"], sum(told["job_states"].values())) == (["lus"], told["jobs"])
    table = cluster.rjs("lus", "status", cluster["lus"].folder).stdout
    assert {"cs1", "cs2"} <= set(table.split())
    listed = json.loads(cluster.rjs("lus", "status", cluster["lus"].folder, "--json").stdout)
    assert {each["name"] for each in listed["servers"]} == {"cs1", "cs2"}
    assert all(each["mflops"] > 0 and each["age_ms"] < 5000 for each in listed["servers"])
    shown = json.loads(cluster.rjs("cs", "status", cluster["cs1"].folder, "--json").stdout)
    offer = next(each["offer"] for each in listed["servers"] if each["name"] == "cs1")
    assert offer["platform"] == shown["offer"]["platform"] in table
    assert f"python {platform.python_version()}" in table
    assert offer["memory"] > 0 and offer["cores"] > 0
    assert (shown["name"], shown["confined"], shown["lus"]) == ("cs1", False, "lus")


def test_exit_statuses(cluster: Cluster, tmp_path: Path) -> None:
    """0 done, 1 refused or failed, 2 wrong usage, 3 cannot reach a server."""
    ada = cluster.ada
    assert ada.rjs("status", "f" * 64, status=1).stderr.startswith("refused: no-such-job: ")
    ada.rjs("status", "--no-such-option", status=2)
    ada.rjs("submit", tmp_path / "missing.jar", status=2)
    cluster.rjs("status", status=1)  # a person who has joined nothing
    cluster["ws"].stop()
    for command in (["status"], ["status", "f" * 64], ["cancel", "f" * 64]):
        assert f"nobody listens at {cluster.address}" in ada.rjs(*command, status=3).stderr
    cluster["ws"].start()
    ada.rjs("status")
    cluster["lus"].stop()
    lus = cluster["lus"].folder
    assert f"; start it: rjs lus run {lus}\n" in cluster.rjs("lus", "status", lus, status=3).stderr
    cluster["lus"].start()


@pytest.mark.long
def test_a_command_gives_up_on_a_server_that_hangs(cluster: Cluster) -> None:
    """A WS that accepts connections and says nothing costs a bounded time, and ends with status 3."""
    cluster["ws"].send(signal.SIGSTOP)
    began = time.monotonic()
    cluster.ada.rjs("status", status=3)
    assert time.monotonic() - began < 30
    cluster["ws"].send(signal.SIGCONT)
    wait_for(lambda: cluster.ada.rjs("status").returncode == 0)


def leaves(table: Mapping[str, Leaf | Branch]) -> Iterator[tuple[str, ...]]:
    """Every command that does something, by its words."""
    for name, row in table.items():
        if isinstance(row, Branch):
            yield from ((name, *words) for words in leaves(row.table))
        else:
            yield (name,)


def test_every_help_shows_an_example(tmp_path: Path) -> None:
    """Every command of the installed program explains itself and shows how it is called."""
    for command in leaves(COMMANDS):
        argv: list[str | Path] = [RJS, *command, "--help"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert f"Example:\n    rjs {' '.join(command)}" in done.stdout
