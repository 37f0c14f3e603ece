"""A server that dies at any named point between "received" and "acknowledged" changes the time, not the outcome."""

from __future__ import annotations

import ast
import hashlib
import itertools
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from aftermath import aftermath
from checker import check
from cluster import Cluster, Person, Server, wait_for
from history import Accepted, AnswerSeen, Began, Cancelled, HistoryFile, ServerEnded, Submitting
from load import sign
from payload import LARGE, read_log, value_of

from rjs import crash_points
from rjs.crash_points import POINTS

ROOT = Path(crash_points.__file__).parents[1]
ARMED = Path(__file__).with_name("armed.py")
SERVERS = {"ws": "ws", "lus": "lus", "cs": "cs1"}
TASKS = 2

CLIENT = {"ws.upload.received", "ws.upload.verified", "ws.upload.kept", "ws.upload.journalled"}
"""Points that are passed while the client waits for its reply; other jobs come as files."""
LARGE_ANSWER = {"ws.answer.staged"}
FAILS_FIRST = {
    "ws.end.received",
    "ws.end.journalled",
    "lus.end.received",
    "lus.end.relayed",
    "cs.end.reported",
}
CANCELS = {"ws.cancel.journalled"}


def rounds() -> list[tuple[str, ...]]:
    """The points at which servers die under one job: at most one of each server, and all of them under some job."""
    found: list[tuple[str, ...]] = []
    for fails in (False, True):
        points = [each for each in POINTS if each not in CANCELS and (each in FAILS_FIRST) == fails]
        of = [[each for each in points if each.partition(".")[0] == role] for role in SERVERS]
        found += [tuple(filter(None, each)) for each in itertools.zip_longest(*of)]
    return found


def test_a_server_dies_at_every_point() -> None:
    """Each point is met under one job, or while a job is cancelled; no job has two points of one server."""
    assert Counter(itertools.chain(CANCELS, *rounds())) == Counter(POINTS.keys())
    for points in rounds():
        assert len({each.partition(".")[0] for each in points}) == len(points)


def test_the_code_has_exactly_these_points() -> None:
    """Each point of the table is passed in one place, under its server's roof, and no other is."""
    found = Counter(itertools.chain.from_iterable(map(passed, ("ws", "lus", "cs", "rjs"))))
    assert found == Counter(POINTS.keys())
    for package in SERVERS:
        assert {name.partition(".")[0] for name in passed(package)} == {package}


def test_nothing_that_is_installed_can_arm_a_point() -> None:
    """No code calls ``arm``, and the module reads nothing from outside the process."""
    for path in sources("ws", "lus", "cs", "rjs"):
        if path != Path(crash_points.__file__):
            text = path.read_text()
            assert "crash_points import" not in text or "import crash_point\n" in text, path
            assert "rjs.crash_points" not in text.replace("from rjs.crash_points import crash_point\n", ""), (
                path
            )
    assert imported(Path(crash_points.__file__)) == {"os", "signal", "sys", "pathlib", "types", "typing"}
    with pytest.raises(KeyError):
        crash_points.arm("ws.upload.nowhere")


def test_the_page_lists_the_points() -> None:
    """``python -m rjs.crash_points docs/chaos.md`` has nothing to change."""
    page = (Path(__file__).parents[2] / "docs" / "chaos.md").read_text()
    assert f"{crash_points.BEGIN}\n{crash_points.table()}\n{crash_points.END}" in page


def sources(*packages: str) -> Iterator[Path]:
    """The modules of these packages."""
    return itertools.chain.from_iterable((ROOT / package).rglob("*.py") for package in packages)


def passed(package: str) -> list[str]:
    """The points that a package's modules pass."""
    nodes = itertools.chain.from_iterable(ast.walk(ast.parse(path.read_text())) for path in sources(package))
    calls = (node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    return [str(ast.literal_eval(call.args[0])) for call in calls if ast.unparse(call.func) == "crash_point"]


def imported(path: Path) -> set[str]:
    """The modules that a module imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return (plain | named) - {"__future__"}


# --- with real processes ---------------------------------------------------------------------------------


class ArmedCluster(Cluster):
    """A cluster whose servers can be told to die at a point."""

    def popen(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        """Start a server so that it can be armed."""
        _, *arguments = argv
        return super().popen(host, [sys.executable, "-P", ARMED, self.order(host), *arguments], **options)

    def order(self, host: str) -> Path:
        """The file that names the point."""
        return self.folder / f"{host}.point"

    def arm(self, server: Server, point: str) -> None:
        """Returns when the server is armed."""
        order = self.order(server.name)
        order.write_text(point)
        server.send(signal.SIGUSR2)
        wait_for(lambda: not order.exists(), story=server.tail)


@attrs.define
class Stage:
    """The cluster of all these tests, and the one history of what happens in it."""

    cluster: ArmedCluster
    history: HistoryFile
    log: Path
    jobs: dict[str, str] = attrs.field(factory=dict)

    @property
    def ada(self) -> Person:
        """Who submits."""
        return self.cluster.ada

    def sign(self, points: Collection[str], mark: str) -> tuple[Path, str]:
        """A job for these points."""
        large = not LARGE_ANSWER.isdisjoint(points)
        values = next(each for each in itertools.count(len(self.jobs)) if is_large(each) == large)
        name = f"job-{len(self.jobs)}"
        bundle, job = sign(self.ada, name, tasks=TASKS, log=self.log, values=values, mark=mark)
        self.jobs[job[:16]] = job
        way = "file" if CLIENT.isdisjoint(points) else "client"
        self.history.tell(Submitting(job=job, tasks=TASKS, values=values, way=way))
        return bundle, job

    def died(self, server: Server) -> None:
        """Waits until the server has died by its own hand, with every process below it, and starts it anew."""
        assert server.process is not None
        assert server.process.wait(30) == -signal.SIGKILL, server.tail()
        self.history.tell(ServerEnded(server=server.name, status=-signal.SIGKILL, wanted=True))
        server.process = None
        server.start()

    def all_died(self, servers: Collection[Server]) -> None:
        """The same of all of these, in whatever order they come to their points."""
        left = list(servers)
        while left:
            dead = wait_for(lambda: [each for each in left if has_ended(each)], 60, self.cluster.story)
            for each in dead:
                self.died(each)
                left.remove(each)

    def finish(self, job: str) -> None:
        """Waits until the job is done; each answer is seen."""
        self.history.tell(Accepted(job=job))
        for task, answer in self.ada.answers(job, TASKS).items():
            self.history.tell(AnswerSeen(job=job, task=task, sha256=digest(self.ada.delivered(job)[task])))
            assert answer.receipt.task == task
        self.ada.wait_until(job, "done")


def has_ended(server: Server) -> bool:
    """Whether its process is gone."""
    return server.process is not None and server.process.poll() is not None


def is_large(values: int) -> bool:
    """Whether every answer with these values is too large to travel along with its offer."""
    return all(len(value_of(values, task)) > LARGE // 2 for task in range(TASKS))


def digest(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One WS, one LUS, one CS: whoever dies is missed. Nothing that all these deaths left breaks a promise."""
    folder = tmp_path_factory.mktemp("c")
    cluster = ArmedCluster(folder)
    history = HistoryFile(folder / "history.jsonl")
    log = folder / "tasks.log"
    log.touch()
    try:
        cluster.found()
        cluster.add_lus()
        cluster.add_cs("cs1", cluster.add_user("ada"))
        cluster.registered()
        history.tell(Began(seed=0, compute_servers=("cs1",)))
        made = Stage(cluster, history, log)
        yield made
        cluster.stop()
        cluster.check_the_end()
        history.tell_all(read_log(log, made.jobs))
        history.tell_all(aftermath(cluster, cluster.ada))
        assert check(history.events) == []
    finally:
        history.close()
        cluster.kill_the_rest()


@pytest.mark.integration
@pytest.mark.parametrize("points", rounds(), ids="+".join)
def test_servers_die_at_points(stage: Stage, points: tuple[str, ...], tmp_path: Path) -> None:
    """They die there, and their next processes see to it that the job ends right."""
    servers = {each: stage.cluster[SERVERS[each.partition(".")[0]]] for each in points}
    fails = not FAILS_FIRST.isdisjoint(points)
    bundle, job = stage.sign(points, f"once:{tmp_path}/failed" if fails else "")
    stage.cluster.registered()
    for point, server in servers.items():
        stage.cluster.arm(server, point)
    if CLIENT.isdisjoint(points):
        stage.ada.drop(bundle, bundle.name)
    else:
        ws = servers.pop(next(iter(CLIENT.intersection(points))))
        stage.ada.rjs("submit", bundle, status=3)
        stage.died(ws)
        stage.ada.rjs("submit", bundle)
    stage.all_died(servers.values())
    stage.finish(job)


@pytest.mark.integration
@pytest.mark.parametrize("point", sorted(CANCELS))
def test_a_server_dies_cancelling(stage: Stage, point: str, tmp_path: Path) -> None:
    """Who asked hears nothing; the job is cancelled all the same, and asking again says so."""
    gate = tmp_path / "open"
    bundle, job = stage.sign((point,), f"gate:{gate}")
    assert stage.ada.place(bundle) == job
    wait_for(lambda: stage.cluster.running(job))
    stage.cluster.arm(stage.cluster["ws"], point)
    stage.ada.rjs("cancel", job, status=3)
    stage.died(stage.cluster["ws"])
    again = stage.ada.rjs("cancel", job, status=1)
    assert "already-ended" in again.stderr
    stage.history.tell(Cancelled(job=job))
    gate.touch()
    stage.cluster.quiet()
