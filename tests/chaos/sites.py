"""The machines of a run: a WS, two LUSs and compute servers, each on a host of a LAN with its own disk and clock, and
everything that can be done to them.

Root only. Each state folder is a small tmpfs (a full disk is one that shrank to what is on it), wall clocks are
libfaketime's, a slow disk is ``preload.c`` before each fsync. A server that ends by itself is started again after a
second, as a service manager does.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
from cluster import RJS, STOP, Cluster, Person, Server, wait_for
from faults import Fault, Kind
from history import FaultBegan, FaultEnded, HistoryFile, ServerEnded, ServerStarted
from netns import Lan

from rjs.limits import MIB

DESK = "desk"
"""The host of the person who submits."""
LOOKUP_SERVERS = ("lus1", "lus2")
DISK = 4096 * MIB
"""Bytes of each machine's disk; only what is used takes memory."""
AGAIN = 1.0
"""Seconds until a server that ended by itself is started again."""
FAKETIME = Path("/usr/lib", f"{os.uname().machine}-linux-gnu", "faketime", "libfaketimeMT.so.1")
FAKETIME_LEAVES = ("faketime_shm_", "sem.faketime_sem_")
"""What a process that is killed leaves of libfaketime in shared memory, before its number."""
PERSON = "ada"


class Site(Cluster):
    """A cluster on a LAN, whose machines have disks and clocks of their own."""

    def __init__(self, folder: Path, lan: Lan) -> None:
        super().__init__(folder, lan)
        self.lan_of_all = lan
        self.faults = folder / "faults"
        self.faults.mkdir()
        self.shim = self.faults / "preload.so"
        source = Path(__file__).with_name("preload.c")
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", self.shim, source], check=True, timeout=60)

    def begin(self, compute_servers: Sequence[str]) -> Person:
        """Make all disks, members and processes; returns the submitter when every CS is registered somewhere."""
        for name in ("ws", *LOOKUP_SERVERS, *compute_servers):
            self._make_disk(name)
        self.found()
        person = self.add_user(PERSON)
        for name in LOOKUP_SERVERS:
            self.add_lus(name)
        for name in compute_servers:
            self.add_cs(name, person)
        wait_for(lambda: set(compute_servers) <= self._found_by(), story=self.story)
        return person

    def _found_by(self) -> set[str]:
        """The names of the CSs that one of the LUSs has a session with."""
        return set().union(*map(self.reachable, LOOKUP_SERVERS))

    def popen(self, host: str, argv: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:
        """Start a server with the host's clock and disk."""
        clock, disk = self.clock(host), self.disk_delay(host)
        for path, healthy in ((clock, "+0\n"), (disk, "0\n")):
            if not path.exists():
                path.write_text(healthy)
        environment = self._environment(None) | {
            "LD_PRELOAD": f"{self.shim} {FAKETIME}", "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
            "SLOW_DISK": str(disk), "RJS_DEBUG": "1",
        }  # fmt: skip
        return self.lan_of_all.popen(
            host,
            argv,
            cwd=self.work,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            **options,
        )

    def person_popen(self, person: Person, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a command of a person's, at the desk."""
        return self.lan_of_all.popen(
            DESK, [RJS, *arguments], cwd=self.work, env=self._environment(person.folder), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def clock(self, host: str) -> Path:
        """The file that says how wrong the host's wall clock is."""
        return self.faults / f"{host}.clock"

    def disk_delay(self, host: str) -> Path:
        """The file that says how slow the host's disk is, in microseconds."""
        return self.faults / f"{host}.delay"

    def _make_disk(self, name: str) -> None:
        folder = self.folder / name
        folder.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "rjs-chaos", str(folder))

    def remove_disks(self) -> None:
        """Nothing of the machines is left."""
        for folder in self.folder.iterdir():
            if folder.is_mount():
                _run("umount", "--lazy", str(folder))


@contextmanager
def site(folder: Path, compute_servers: Sequence[str]) -> Iterator[tuple[Site, Person]]:
    """A site that runs; nothing of it is left afterwards."""
    if not FAKETIME.exists() or not shutil.which("iptables"):
        raise RuntimeError("this needs the Debian packages faketime and iptables")
    with Lan(["ws", *LOOKUP_SERVERS, *compute_servers, DESK]) as lan:
        made = Site(folder, lan)
        try:
            yield made, made.begin(compute_servers)
        finally:
            made.kill_the_rest()
            made.remove_disks()


@attrs.define
class Machine:
    """One server and its host, under faults. All methods return at once."""

    site: Site
    server: Server
    history: HistoryFile
    faults: dict[str, Fault] = attrs.field(factory=dict)
    _wanted_end: bool = False
    _start_at: float = 0.0

    @property
    def name(self) -> str:
        """Of the server and of its host."""
        return self.server.name

    def look(self, now: float) -> None:
        """Note whether the server has ended; start one that should run."""
        process = self.server.process
        if process is not None and process.poll() is not None:
            self._start_at = now if self._wanted_end else now + AGAIN
            self._note_end(process.returncode)
        if self.server.process is None and now >= self._start_at and not self._is_down:
            self._start()

    def _note_end(self, status: int) -> None:
        self.history.tell(ServerEnded(server=self.name, status=status, wanted=self._wanted_end))
        assert self.server.process is not None
        for name in FAKETIME_LEAVES:
            Path("/dev/shm", f"{name}{self.server.process.pid}").unlink(missing_ok=True)
        self.server.process, self._wanted_end = None, False

    @property
    def _is_down(self) -> bool:
        fault = self.faults.get("process")
        return fault is not None and fault.kind in (Kind.KILL, Kind.RESTART)

    def _start(self) -> None:
        argv: list[str | Path] = [RJS, self.server.role, "run", self.server.folder]
        with self.server.log.open("ab") as log:
            self.server.process = self.site.popen(self.name, argv, stdout=log, stderr=log)
        self.history.tell(ServerStarted(server=self.name, pid=self.server.process.pid))

    def begin(self, fault: Fault) -> None:
        """Do it."""
        self.faults[fault.organ] = fault
        self.history.tell(FaultBegan(kind=fault.kind, host=self.name, amount=fault.amount))
        match fault.kind:
            case Kind.KILL:
                self._end(signal.SIGKILL)
            case Kind.RESTART:
                self._end(signal.SIGTERM)
            case Kind.STOP:
                self._signal(signal.SIGSTOP)
            case Kind.UNPLUG:
                self.site.lan_of_all.unplug(self.name)
            case Kind.PARTITION:
                self.site.lan_of_all.partition(self.name)
            case Kind.LOSS:
                for chain in ("INPUT", "OUTPUT"):
                    self._iptables("-A", chain, "-m", "statistic", "--mode", "random", "--probability",
                                   f"{fault.amount:.3f}", "-j", "DROP")  # fmt: skip
            case Kind.FULL_DISK:
                self._resize(0)
            case Kind.SLOW_DISK:
                self.site.disk_delay(self.name).write_text(f"{fault.amount * 1e6:.0f}\n")
            case Kind.CLOCK:
                self.site.clock(self.name).write_text(f"{fault.amount:+.0f}\n")

    def end(self, fault: Fault) -> None:
        """Undo it."""
        match fault.kind:
            case Kind.STOP:
                self._signal(signal.SIGCONT)
            case Kind.UNPLUG | Kind.PARTITION:
                self.site.lan_of_all.plug(self.name)
            case Kind.LOSS:
                self._iptables("-F")
            case Kind.FULL_DISK:
                self._resize(DISK)
            case Kind.SLOW_DISK:
                self.site.disk_delay(self.name).write_text("0\n")
            case Kind.CLOCK:
                self.site.clock(self.name).write_text("+0\n")
        del self.faults[fault.organ]
        self.history.tell(FaultEnded(kind=fault.kind, host=self.name))

    def stop(self) -> None:
        """The run is over: the server is told to end. ``stopped`` waits for that."""
        self._end(signal.SIGTERM)

    def stopped(self) -> None:
        """Returns when it has ended, in an orderly way or at any rate."""
        process = self.server.process
        if process is None:
            return
        try:
            process.wait(STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._note_end(process.returncode)

    def _end(self, number: signal.Signals) -> None:
        self._wanted_end = self.server.process is not None
        self._signal(number)

    def _signal(self, number: signal.Signals) -> None:
        if self.server.process is not None:
            self.server.process.send_signal(number)

    def _resize(self, size: int) -> None:
        """Give the disk this size, or, with 0, what is used of it."""
        folder = self.server.folder
        usage = os.statvfs(folder)
        used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
        # What is written at this very moment may need a few pages more than was used just now.
        for spare in range(0, 64 * 4096, 4096):
            with suppress(RuntimeError):
                _run("mount", "-o", f"remount,size={size or used + spare}", str(folder))
                return
        raise RuntimeError(f"{folder} cannot be made full")

    def _iptables(self, *arguments: str) -> None:
        self.site.lan_of_all.run(self.name, ["iptables", "-w", *arguments], check=True, timeout=10)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
