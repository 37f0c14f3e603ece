"""A cluster of real, separate processes of the installed ``rjs``: what the integration tests share.

    with running_cluster(folder, ["cs1", "cs2"]) as cluster:
        job = cluster.ada.place(cluster.ada.pack(job_folder))
        answers = cluster.ada.answers(job)
        cluster["cs1"].kill()
        cluster["cs1"].start()

Everything is made by the commands that a person would type. Servers stay on loopback unless they stand on the
hosts of a ``Lan``. The end of the block fails when a server does not end well, logged a traceback, or when any
process that ever used the folder is left.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import attrs
import psutil
from netns import Lan

from rjs.answers.answer_jar import Receipt, open_answer
from rjs.errors import UnreachableError
from rjs.identity.keys import load_chain
from rjs.limits import MIB
from rjs.status import read_status

RJS = Path(sys.executable).with_name("rjs")
LOOPBACK = "127.0.0.1"
PATIENCE = 60.0
"""Seconds that a busy machine may take for what takes a second on an idle one."""
STOP = 20.0
"""Seconds in which a server ends when it is told to."""
LOOK = 0.03
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = range(20_000 + 1_000 * (WORKER % 12), 21_000 + 1_000 * (WORKER % 12))
"""Below the ports that the kernel gives to callers, others for each worker: a WS that restarts finds its own free."""

T = TypeVar("T")


def wait_for(ask: Callable[[], T], within: float = PATIENCE, story: Callable[[], object] = str) -> T:
    """The first true answer to ``ask``. Fails with ``story()`` when there is none in time."""
    deadline = time.monotonic() + within
    while True:
        answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"waited {within} s in vain\n{story()}"
        time.sleep(LOOK)


class Server:
    """One server: its state folder, its process when it runs, and its log over all its lives."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name
        self.role = name.rstrip("0123456789")
        self.folder = cluster.folder / name
        self.log = cluster.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers for its status."""
        assert self.process is None
        with self.log.open("ab") as log:
            self.process = self.cluster.popen(
                self.name, [RJS, self.role, "run", self.folder], stdout=log, stderr=log
            )
        wait_for(self.serves, story=self.tail)

    def serves(self) -> bool:
        """Whether this very process answers. Fails when it has ended."""
        assert self.process is not None and self.process.poll() is None, self.tail()
        with suppress(UnreachableError):
            return bool(self.document())
        return False

    def document(self) -> dict[str, Any]:
        """What ``rjs lus status --json`` and the like print."""
        document: dict[str, Any] = read_status(self.folder)
        return document

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server's own process."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Tell it to stop: it ends in time, with status 0, and leaves no process."""
        assert self.process is not None
        below = self.below()
        self.process.send_signal(number)
        assert self.process.wait(STOP) == 0, self.tail()
        self.process = None
        gone(below, self.tail)

    def kill(self) -> None:
        """``kill -9``; returns when every process below it is gone too."""
        assert self.process is not None
        below = self.below()
        self.process.kill()
        self.process.wait(STOP)
        self.process = None
        gone(below, self.tail)

    def below(self) -> list[psutil.Process]:
        """Every process that the server or a child of it started."""
        assert self.process is not None
        return psutil.Process(self.process.pid).children(recursive=True)

    def tail(self) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"--- {self.name}\n{text[-6000:]}"


class Person:
    """Somebody with an account, a signing key, and a folder of his or her own."""

    def __init__(self, cluster: Cluster, account: str) -> None:
        self.cluster = cluster
        self.account = account
        self.folder = cluster.folder / f"person-{account}"
        self.home = cluster["ws"].folder / "home" / account
        self.jobs = self.home / "jobs"
        self.ans = self.home / "ans"
        self._packed = 0

    @property
    def identity(self) -> Path:
        """Where keys and certificates are."""
        return next(self.folder.glob("clusters/*/identity"))

    @property
    def certificate(self) -> Path:
        """The signing certificate that owners are asked to trust."""
        return self.identity / "signing.pem"

    def rjs(self, *arguments: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command; fails when it does not end with ``status``."""
        return self.cluster.rjs(*arguments, status=status, home=self.folder)

    def pack(self, job: Path, *options: str) -> Path:
        """A signed bundle of a job, outside ``jobs/``."""
        self._packed += 1
        bundle = self.folder / f"{job.stem}-{self._packed}.jar"
        self.rjs("pack", job, "-o", bundle, *options)
        return bundle

    def place(self, bundle: Path) -> str:
        """Put a bundle into ``jobs/`` whole; the job's id, from its status file."""
        self.drop(bundle, bundle.name)
        return self.accepted(bundle.name)

    def drop(self, bundle: Path, name: str) -> None:
        """Put a file into ``jobs/``: copied under a hidden name, then renamed."""
        hidden = self.jobs / f".{name}.upload"
        shutil.copyfile(bundle, hidden)
        hidden.rename(self.jobs / name)

    def accepted(self, name: str) -> str:
        """Waits until the WS accepted the upload, and all files that belong to it; the job's id."""

        def judged() -> str:
            text = self.told(name)
            return "" if text.startswith("state: waiting\nreason: set-incomplete") else text

        text = wait_for(judged, story=self.cluster.story)
        assert "job: " in text, text
        return text.partition("job: ")[2].split()[0]

    def refused(self, name: str) -> str:
        """Waits until the WS has spoken on the upload, which must be a refusal; its code and sentence."""
        text = wait_for(lambda: self.told(name), story=self.cluster.story)
        assert text.startswith("state: refused\nrefused: "), text
        return text.partition("\nrefused: ")[2].strip()

    def told(self, name: str) -> str:
        """The upload's status file; empty while there is none."""
        with suppress(FileNotFoundError):
            return (self.jobs / f"{name}.status.txt").read_text()
        return ""

    def status(self, job: str) -> dict[str, Any]:
        """What ``rjs status JOB --json`` prints."""
        shown: dict[str, Any] = json.loads(self.rjs("status", job, "--json").stdout)
        return shown

    def wait_until(self, job: str, state: str, within: float = PATIENCE) -> dict[str, Any]:
        """Waits for the job's state; its status then."""
        name = next(each.name for each in self.jobs.glob("*.status.txt") if job in each.read_text())
        path = self.jobs / name
        wait_for(lambda: path.read_text().startswith(f"state: {state}\n"), within, self.cluster.story)
        shown = self.status(job)
        assert shown["job"]["state"] == state
        return shown

    def delivered(self, job: str) -> dict[int, Path]:
        """The answers that are in ``ans/`` now, by task."""
        return {int(path.stem): path for path in (self.ans / job[:16]).glob("*.jar")}

    def answers(self, job: str, tasks: int, within: float = PATIENCE) -> dict[int, Answered]:
        """Waits for exactly one answer of each task, each verified against the organisation's root."""
        wait_for(lambda: len(self.delivered(job)) >= tasks, within, self.cluster.story)
        found = self.delivered(job)
        assert sorted(found) == list(range(tasks))
        wait_for(lambda: set((self.ans / job[:16]).iterdir()) == set(found.values()))
        return {task: self.cluster.opened(path, job, task) for task, path in found.items()}


@attrs.frozen
class Answered:
    """A verified answer: its receipt, and its files by name."""

    receipt: Receipt
    files: dict[str, bytes]


class Cluster:
    """A WS, one LUS and CSs below ``folder``; on the hosts of ``lan`` (named as the servers) if one is given.

    Unless it is ``confined``, jobs reach the files of the test that sent them: gates, and what they are to report.
    """

    def __init__(self, folder: Path, lan: Lan | None = None, *, confined: bool = False) -> None:
        self.folder = folder
        self.confined = confined
        self.lan = lan
        self.servers: dict[str, Server] = {}
        self.people: dict[str, Person] = {}
        self.port = free_port()
        self.work = folder / "elsewhere"
        self.work.mkdir()

    def __getitem__(self, name: str) -> Server:
        return self.servers[name]

    @property
    def ada(self) -> Person:
        """The person whose key every CS trusts."""
        return self.people["ada"]

    @property
    def address(self) -> str:
        """Where the WS is."""
        return f"{self.lan.address('ws') if self.lan else LOOPBACK}:{self.port}"

    @property
    def root(self) -> Path:
        """The organisation's root certificate."""
        return self.folder / "ca" / "root.pem"

    @property
    def compute_servers(self) -> list[Server]:
        """All CSs."""
        return [server for server in self.servers.values() if server.role == "cs"]

    # --- making -------------------------------------------------------------------------------------

    def found(self, *settings: str) -> None:
        """Make the organisation and its WS with these lines in its ``config.toml``, and start that."""
        self.rjs("ca", "init", self.folder / "ca", "--organisation", "Institute of Tests")
        listen = "" if self.lan else LOOPBACK
        where = ["--listen", listen, "--port", str(self.port), "--address", self.address]
        self.servers["ws"] = ws = Server(self, "ws")
        self.rjs("ws", "init", ws.folder, "--ca", self.folder / "ca", "--name", "ws", *where)
        with (ws.folder / "config.toml").open("a") as config:
            config.writelines(f"{line}\n" for line in settings)
        ws.start()

    def add_lus(self, name: str = "lus", settings: Sequence[str] = ()) -> None:
        """Let a LUS join, and start it; ``settings`` are more of ``NAME=VALUE``."""
        self._join(name, *_given(settings)).start()

    def add_cs(self, name: str, *trusted: Person, settings: Sequence[str] = ()) -> None:
        """Let a CS join that trusts these people, and start it; ``settings`` are more of ``NAME=VALUE``."""
        sandbox = ["sandbox=auto"] if self.confined else ["sandbox=none", "unconfined=i accept"]
        server = self._join(name, *_given([*sandbox, *settings]))
        for person in trusted:
            self.trust(name, person)
        server.start()

    def trust(self, name: str, person: Person) -> None:
        """The owner of a CS trusts a person."""
        self.rjs("trust", "add", person.certificate, "--cs", self[name].folder)

    def add_user(self, account: str) -> Person:
        """Let a person join; the signing key is certified by the operator."""
        self.people[account] = person = Person(self, account)
        person.rjs("join", self.invitation("user", account))
        person.rjs("ca", "issue", self.folder / "ca", person.identity / "signing-request.pem")
        return person

    def invitation(self, role: str, name: str) -> str:
        """A new invitation."""
        made = self.rjs(
            "ca", "invite", self.folder / "ca", "--ws", self.address, "--role", role, "--name", name
        )
        return made.stdout.strip()

    def _join(self, name: str, *settings: str) -> Server:
        server = Server(self, name)
        place = ["--set", "port=0"]
        if not self.lan:
            place += ["--set", f'interfaces=["{LOOPBACK}"]', "--set", f"listen={LOOPBACK}"]
        invitation = self.invitation(server.role, name)
        self.rjs("join", invitation, server.folder, *place, *settings, host=name)
        self.servers[name] = server
        return server

    # --- using --------------------------------------------------------------------------------------

    def rjs(
        self, *arguments: str | Path, status: int = 0, home: Path | None = None, host: str = "ws"
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the installed ``rjs`` from a folder with nothing in it."""
        argv = [str(each) for each in (RJS, *arguments)]
        options: dict[str, Any] = {
            "cwd": self.work, "env": self._environment(home), "stdin": subprocess.DEVNULL,
            "capture_output": True, "text": True, "timeout": PATIENCE, "check": False,
        }  # fmt: skip
        done = self.lan.run(host, argv, **options) if self.lan else subprocess.run(argv, **options)
        assert done.returncode == status, f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def popen(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own; this cluster's end must not find it alive."""
        options |= {
            "cwd": self.work, "env": self._environment(None), "stdin": subprocess.DEVNULL,
            "start_new_session": True,
        }  # fmt: skip
        if self.lan:
            return self.lan.popen(host, argv, **options)
        return subprocess.Popen([str(each) for each in argv], **options)

    def _environment(self, home: Path | None) -> dict[str, str]:
        """The caller's environment, in which no home and no Python path lead elsewhere."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return environment | {"RJS_HOME": str(home or self.folder / "nobody")}

    def registered(self, *names: str, lus: str = "lus", within: float = PATIENCE) -> None:
        """Waits until the LUS knows these CSs (all that run, unless named), each free or busy."""
        wanted = set(names) or {server.name for server in self.compute_servers if server.process}
        wait_for(lambda: wanted <= self.reachable(lus), within, self.story)

    def reachable(self, lus: str = "lus") -> set[str]:
        """The names of the CSs that the LUS has a session with."""
        with suppress(UnreachableError):
            servers = self[lus].document()["servers"]
            return {each["name"] for each in servers if each["state"] in ("free", "busy")}
        return set()

    def running(self, job: str) -> dict[int, Server]:
        """Which CS runs which task of a job now."""
        found = {}
        for server in self.compute_servers:
            document = server.document()
            if document["state"] == "running" and document["task"].startswith(job[:16] + "/"):
                found[int(document["task"].partition("/")[2])] = server
        return found

    def quiet(self) -> None:
        """Waits until no CS runs anything, holds an answer or has a file of a task."""
        wait_for(lambda: all(map(_is_quiet, self.compute_servers)), story=self.story)

    def opened(self, path: Path, job: str, task: int) -> Answered:
        """A delivered answer, verified; fails when it is not the answer of that task."""
        with path.open("rb") as file:
            answer = open_answer(file, roots=load_chain(self.root), at=datetime.now(UTC))
            with answer.bundle as bundle:
                assert (answer.receipt.bundle_id, answer.receipt.task) == (job, task)
                files = {name: bundle.read(name, 64 * MIB) for name in bundle.entries}
                return Answered(answer.receipt, files)

    def story(self) -> str:
        """The end of every log, for a test that failed."""
        return "\n".join(server.tail() for server in self.servers.values())

    def stop(self) -> None:
        """Stop what runs, CSs first."""
        for server in reversed(self.servers.values()):
            if server.process is not None:
                server.stop()

    def check_the_end(self) -> None:
        """Nothing is left, and no server met a defect of ours."""
        wait_for(lambda: not using(self.folder), STOP, lambda: using(self.folder))
        assert list(self.folder.glob("*/status.sock")) == []
        assert list(self.folder.glob("ws/home/**/*.part")) == []
        if self.lan is None:
            with socket.socket() as door:
                assert door.connect_ex((LOOPBACK, self.port)) != 0
        for server in self.servers.values():
            assert "Traceback" not in server.log.read_text(errors="replace"), server.tail()

    def kill_the_rest(self) -> None:
        """After a failure: leave no process of ours."""
        for server in self.servers.values():
            if server.process is not None:
                server.process.kill()
                server.process.wait()
        for process in using(self.folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def _given(settings: Sequence[str]) -> list[str]:
    return [each for setting in settings for each in ("--set", setting)]


def _is_quiet(server: Server) -> bool:
    if server.process is None:
        return True
    document = server.document()
    left = [path for path in server.folder.glob("clusters/*/work/**/*") if not path.is_dir()]
    return document["state"] == "free" and document["answers_waiting"] == 0 and not left


@contextmanager
def running_cluster(
    folder: Path,
    compute_servers: Iterable[str] = ("cs1", "cs2", "cs3"),
    lan: Lan | None = None,
    ws_settings: Sequence[str] = (),
    lus_settings: Sequence[str] = (),
    *,
    confined: bool = False,
) -> Iterator[Cluster]:
    """A cluster with one LUS, these CSs, and ada, whom all of them trust; stopped and inspected at the end."""
    cluster = Cluster(folder, lan, confined=confined)
    try:
        cluster.found(*ws_settings)
        cluster.add_lus(settings=lus_settings)
        ada = cluster.add_user("ada")
        for name in compute_servers:
            cluster.add_cs(name, ada)
        cluster.registered()
        yield cluster
        cluster.stop()
        cluster.check_the_end()
    finally:
        cluster.kill_the_rest()


def gone(processes: Iterable[psutil.Process], story: Callable[[], object] = str) -> None:
    """Waits until these processes are gone; a zombie is."""
    wait_for(lambda: not any(map(_lives, processes)), STOP, story)


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def using(folder: Path) -> list[psutil.Process]:
    """Every process with a working folder, an argument or an open file below ``folder``."""
    return [each for each in psutil.process_iter() if each.pid != os.getpid() and _uses(each, f"{folder}/")]


def _uses(process: psutil.Process, prefix: str) -> bool:
    with suppress(psutil.Error, OSError):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        paths = [f"{process.cwd()}/", *process.cmdline(), *(file.path for file in process.open_files())]
        return any(prefix in path for path in paths)
    return False


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago, and that the kernel gives to no caller."""
    for _ in range(100):
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind((LOOPBACK, port))
                return port
    raise AssertionError("no free port")
