"""``rjs doctor`` against real folders and servers: each seeded fault is named, with what mends it, and no other."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from cluster import LOOPBACK, RJS, Cluster, free_port, running_cluster, wait_for
from netns import Lan

from rjs.doctor import examine, examine_operator
from rjs.doctor.finding import Finding, Level
from rjs.doctor.look import doors, multicast
from rjs.identity.keys import new_key, save_chain, save_private
from rjs.identity.testing import Organisation
from rjs.wall_time import utc_now

pytestmark = pytest.mark.integration

DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose operator's folder is on another machine, as far as its servers can see."""
    folder = tmp_path_factory.mktemp("c")
    with running_cluster(folder, ["cs1"]) as made:
        yield made


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less patience with a LAN that is this machine's own loopback."""
    monkeypatch.setattr(multicast, "LISTEN", 0.2)
    monkeypatch.setattr(multicast, "BROWSE", 0.1)
    monkeypatch.setattr(doors, "PATIENCE", 1.0)


def doctor(cluster: Cluster, *arguments: str | Path, home: Path | None = None) -> dict[str, Any]:
    """What the command prints with --json; its exit status says the same."""
    argv = [str(each) for each in (RJS, "doctor", *arguments, "--json")]
    environment = os.environ | {"RJS_HOME": str(home or cluster.folder / "nobody")}
    done = subprocess.run(
        argv,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (1 if told["faults"] else 0)
    return told


def faults(told: dict[str, Any]) -> set[str]:
    """The codes of all faults in what the command printed."""
    return {each["code"] for each in told["findings"] if each["level"] == "fault"}


def of_code(told: dict[str, Any], code: str) -> dict[str, Any]:
    """The finding with this code."""
    found: dict[str, Any] = next(each for each in told["findings"] if each["code"] == code)
    return found


# --- all is well ------------------------------------------------------------------------------------------


def test_a_healthy_cluster_has_no_fault(cluster: Cluster) -> None:
    """Each role and a user are well; a canary ran and its answer was verified."""
    with operator_away(cluster), ThreadPoolExecutor() as pool:
        runs = {name: pool.submit(doctor, cluster, cluster[name].folder) for name in cluster.servers}
        told = {name: run.result() for name, run in runs.items()}
    assert "superseded" not in cluster["ws"].log.read_text()
    told["ada"] = doctor(cluster, "--ans", cluster.ada.ans, home=cluster.ada.folder)
    assert {name: faults(each) for name, each in told.items()} == {name: set() for name in told}
    assert of_code(told["cs1"], "no-sandbox")["level"] == "notice"
    assert of_code(told["ws"], "canary-not-sent")
    canary = told["ada"]["findings"][-1]
    assert canary["subject"] == "canary" and "ran on cs1" in canary["sentence"], canary
    assert "verified" in canary["sentence"]


def test_for_people(cluster: Cluster) -> None:
    """Marks that need no colour, faults last with commands that can be copied; usage is 2."""
    text = cluster.rjs("doctor", "--no-canary", cluster["ws"].folder, status=1).stdout
    table, _, summary = text.partition("\n\n")
    assert "\nok     state folder " in table and "\nFAULT  break-in " in table
    assert summary.startswith(
        "1 fault:\n  ca-beside-ws (break-in): move the folder to another machine or a stick"
    )
    assert f"\n      rjs ca passphrase {cluster.folder / 'ca'}\n" in summary
    cluster.rjs("doctor", "--nonsense", status=2)


@contextmanager
def operator_away(cluster: Cluster) -> Iterator[None]:
    """The operator's folder on a stick."""
    stick = cluster.folder / "stick"
    stick.mkdir(mode=0o700)
    (cluster.folder / "ca").rename(stick / "ca")
    try:
        yield
    finally:
        (stick / "ca").rename(cluster.folder / "ca")
        stick.rmdir()


def state_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file and folder, with what changes when it is touched."""
    found = {str(each): each.lstat() for each in [folder, *folder.rglob("*")]}
    return {name: (each.st_mode, each.st_ctime_ns, each.st_size) for name, each in found.items()}


# --- faults of a folder, in a copy of it whose server does not run ----------------------------------------


@attrs.frozen
class Seed:
    """A fault: in whose folder, how it is made, what it is called, and a part of what mends it."""

    whose: str
    plant: Callable[[Path, Path], object]
    code: str
    remedy: str
    later: dt.timedelta = dt.timedelta(0)
    also: frozenset[str] = frozenset()


def identity_of(folder: Path) -> Path:
    """Keys and certificates of a member."""
    return next(folder.glob("clusters/*/identity"))


def nothing(folder: Path, outside: Path) -> None:
    """Time alone does it."""


def exposed(folder: Path, outside: Path) -> None:
    (identity_of(folder) / "answer.key").chmod(0o644)


def other_key(folder: Path, outside: Path) -> None:
    (identity_of(folder) / "answer.key").unlink()
    save_private(identity_of(folder) / "answer.key", new_key())


def other_root(folder: Path, outside: Path) -> None:
    save_chain(identity_of(folder) / "root.pem", [Organisation(utc_now()).root])


def no_member(folder: Path, outside: Path) -> None:
    (identity_of(folder) / "member.json").write_text("{")


def typo(folder: Path, outside: Path) -> None:
    with (folder / "config.toml").open("a") as file:
        file.write("memroy = 4\n")


def no_config(folder: Path, outside: Path) -> None:
    (folder / "config.toml").unlink()


def set_to(line: str) -> Callable[[Path, Path], None]:
    def plant(folder: Path, outside: Path) -> None:
        name = line.partition(" ")[0]
        lines = (folder / "config.toml").read_text().splitlines()
        kept = [each for each in lines if not each.startswith(f"{name} ")]
        (folder / "config.toml").write_text("\n".join([*kept, line, ""]))

    return plant


def trust_text(text: str, mode: int = 0o600) -> Callable[[Path, Path], None]:
    def plant(folder: Path, outside: Path) -> None:
        path = next(folder.glob("clusters/*")) / "trust.toml"
        path.write_text(text or path.read_text())
        path.chmod(mode)

    return plant


def trust_ended(folder: Path, outside: Path) -> None:
    path = next(folder.glob("clusters/*")) / "trust.toml"
    path.write_text(path.read_text() + "until = 2026-01-02T00:00:00+00:00\n")


def garbage(name: str) -> Callable[[Path, Path], None]:
    def plant(folder: Path, outside: Path) -> None:
        cluster = next(folder.glob("clusters/*"))
        (cluster / name).write_bytes(b"SQLite format 3\0" + b"\xff" * 8192)
        for more in ("-wal", "-shm"):
            (cluster / f"{name}{more}").unlink(missing_ok=True)

    return plant


def pipe(name: str) -> Callable[[Path, Path], None]:
    def plant(folder: Path, outside: Path) -> None:
        path = next(folder.glob("clusters/*")) / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return plant


def opened(folder: Path, outside: Path) -> None:
    folder.chmod(0o755)


def foreign(folder: Path, outside: Path) -> None:
    (folder / "planted").touch()
    os.chown(folder / "planted", 65534, 65534)


def no_signing(folder: Path, outside: Path) -> None:
    (identity_of(folder) / "signing.pem").unlink()


def ws_at(address: str) -> Callable[[Path, Path], None]:
    def plant(folder: Path, outside: Path) -> None:
        path = identity_of(folder) / "member.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ws": [address]}))

    return plant


def closed_home(folder: Path, outside: Path) -> None:
    (folder / "home" / "ada" / "ans").chmod(0o500)


def no_ans(folder: Path, outside: Path) -> None:
    shutil.rmtree(folder / "home" / "ada" / "ans")


def ca_beside(folder: Path, outside: Path) -> None:
    shutil.copytree(outside / "ca", folder.parent / "operator")


SEEDS = {
    "expired": Seed("cs1", nothing, "certificate-expired", "rjs cert renew", 3 * DAY),
    "beyond grace": Seed("cs1", nothing, "certificate-beyond-grace", "rjs ca invite CADIR", 40 * DAY),
    "not yet valid": Seed("cs1", nothing, "certificate-not-yet-valid", "timedatectl", -2 * DAY),
    "key that all can read": Seed("cs1", exposed, "key-exposed", "chmod 600"),
    "key of another certificate": Seed("cs1", other_key, "key-mismatch", "from a copy"),
    "root of another cluster": Seed(
        "cs1", other_root, "other-cluster", "root.pem and member.json", also=frozenset({"root-mismatch"})
    ),
    "damaged membership": Seed("cs1", no_member, "membership-damaged", "from a copy"),
    "typo in the settings": Seed("cs1", typo, "config-wrong", "config.toml"),
    "a proxy that is no address": Seed("lus", set_to('proxy = "proxy:3128"'), "config-wrong", "config.toml"),
    "no settings": Seed("cs1", no_config, "config-missing", "touch"),
    "no word on the sandbox": Seed("cs1", set_to('unconfined = ""'), "unconfined-not-accepted", '"i accept"'),
    "java that is not there": Seed("cs1", set_to('java = "/opt/no/java"'), "java-missing", '"none"'),
    "address that is not ours": Seed("cs1", set_to('listen = "192.0.2.1"'), "listen-address", "listen"),
    "interface that is not here": Seed("cs1", set_to('interfaces = ["192.0.2.1"]'), "no-network", "interfaces"),
    "nobody trusted": Seed("cs1", trust_text("# none\n"), "trust-empty", "rjs trust add"),
    "trust that is damaged": Seed("cs1", trust_text("[[grant]]\nspki = 1\n"), "trust-unreadable", "mend the file"),
    "trust that all can write": Seed("cs1", trust_text("", 0o666), "trust-writable", "chmod go-w"),
    "trust that ended": Seed("cs1", trust_ended, "trust-ended", "rjs trust add"),
    "list of the revoked damaged": Seed("cs1", garbage("revocations"), "revocations-damaged", "mv "),
    "database damaged": Seed("cs1", garbage("ledger.sqlite"), "database-damaged", "restore"),
    "database that is a pipe": Seed("cs1", pipe("ledger.sqlite"), "database-damaged", "restore"),
    "folder that all can enter": Seed("cs1", opened, "folder-open", "chmod 700"),
    "somebody else's file": Seed("cs1", foreign, "foreign-files", "chown"),
    "nobody at the address": Seed("lus", ws_at(f"{LOOPBACK}:1"), "door-refused", "config.toml"),
    "a name that is none": Seed("lus", ws_at("no-such-host.invalid:9000"), "door-no-name", "DNS"),
    "a proxy that is none": Seed("lus", set_to('proxy = "http://u:secret@127.0.0.1:1"'), "proxy-fails", "proxy in"),
    "home that cannot be written": Seed("ws", closed_home, "home-not-writable", "chmod u+rwx"),
    "home that lacks a folder": Seed("ws", no_ans, "home-incomplete", "mkdir"),
    "operator's folder beside the web server": Seed("ws", ca_beside, "ca-beside-ws", "rjs ca passphrase"),
    "signing key not certified": Seed("ada", no_signing, "signing-not-certified", "rjs ca issue CADIR"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEDS)
@pytest.mark.usefixtures("hurried")
def test_a_seeded_fault_is_named(cluster: Cluster, tmp_path: Path, name: str) -> None:
    """The fault that was planted is named, with its remedy, and no other is."""
    seed = SEEDS[name]
    folder = copy_of(cluster, seed.whose, tmp_path)
    seed.plant(folder, cluster.folder)
    found = faults_in(folder, seed.later)
    assert {each.code for each in found} == {seed.code} | seed.also, found
    told = next(each for each in found if each.code == seed.code)
    assert seed.remedy in " ".join([told.remedy, *told.commands])
    assert "secret" not in told.sentence


@pytest.mark.usefixtures("hurried")
def test_an_unharmed_copy_has_no_fault(cluster: Cluster, tmp_path: Path) -> None:
    """Without a seed there is nothing: a stopped server is no fault. No file is made, changed or touched."""
    for whose in ("ws", "lus", "cs1", "ada"):
        folder = copy_of(cluster, whose, tmp_path)
        before = state_of(folder)
        assert faults_in(folder) == []
        assert state_of(folder) == before


def copy_of(cluster: Cluster, whose: str, to: Path) -> Path:
    """The folder of a server or person, as if its process had ended well."""
    source = cluster.people[whose].folder if whose in cluster.people else cluster[whose].folder
    target = to / whose / "folder"
    target.parent.mkdir(mode=0o700)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("status.sock", "*.sqlite*", "*.jar"))
    target.chmod(0o700)
    if whose == "ws":
        set_to("port = 0")(target, to)  # its own is taken: by the web server whose folder this is a copy of
    return target


def faults_in(folder: Path, later: dt.timedelta = dt.timedelta(0)) -> list[Finding]:
    """Every fault that is found in the folder so much later."""
    _, found = examine(folder, lambda: utc_now() + later)
    return [each for each in found if each.level is Level.FAULT]


def codes(findings: Sequence[Finding]) -> set[str]:
    return {each.code for each in findings}


@pytest.mark.usefixtures("hurried")
def test_what_cannot_be_read_keeps_nothing_else_from_being_told(cluster: Cluster, tmp_path: Path) -> None:
    """A pipe where a file should be is named and not waited for; a hostile name reaches no terminal as it is."""
    folder = copy_of(cluster, "cs1", tmp_path)
    pipe("revocations")(folder, tmp_path)
    member = identity_of(folder) / "member.json"
    member.write_text(json.dumps(json.loads(member.read_text()) | {"common_name": "a\x1b[2Jb"}))
    found = examine(folder)[1]
    assert [each.subject for each in found if each.code == "not-seen"] == ["revocations"]
    assert {"trust store", "clock"} <= {each.subject for each in found}
    shown = cluster.rjs("doctor", "--no-canary", folder).stdout
    assert "\x1b" not in shown and "a\\x1b[2Jb" in shown


@pytest.mark.usefixtures("hurried")
def test_a_port_that_somebody_has(cluster: Cluster, tmp_path: Path) -> None:
    """The server could not start."""
    folder = copy_of(cluster, "cs1", tmp_path)
    with socket.create_server((LOOPBACK, 0)) as other:
        set_to(f"port = {other.getsockname()[1]}")(folder, tmp_path)
        (found,) = faults_in(folder)
    assert found.code == "port-taken" and "ss -ltnp" in found.commands[0]


@pytest.mark.usefixtures("hurried")
def test_a_folder_that_another_process_holds(cluster: Cluster, tmp_path: Path) -> None:
    """It is named by its number; one that has died holds nothing."""
    folder = copy_of(cluster, "cs1", tmp_path)
    assert (
        "is gone" not in examine(folder)[1][0].sentence
    )  # the lock of the copied one names a process that lives
    with (folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (found,) = faults_in(folder)
    assert found.code == "folder-held" and found.commands == (f"kill {os.getpid()}",)
    (folder / "lock").write_text("4194999\n")
    assert codes(examine(folder)[1]) >= {"not-running"} and faults_in(folder) == []
    assert "4194999, is gone" in examine(folder)[1][0].sentence


@pytest.mark.usefixtures("hurried")
def test_a_disk_that_is_full_and_one_that_is_read_only(cluster: Cluster, tmp_path: Path) -> None:
    """Bytes, inodes, and no writing at all."""
    folder = copy_of(cluster, "cs1", tmp_path)
    with small_disk(tmp_path / "disk", "size=4m,nr_inodes=300") as disk:
        moved = Path(shutil.copytree(folder, disk / "cs"))
        moved.chmod(0o700)
        found = faults_in(moved)
        assert codes(found) == {"disk-full", "inodes-exhausted"} and "du -xhd1" in found[0].commands[0]
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "disk-read-only" in codes(faults_in(moved))


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[Path]:
    """A file system of its own at ``path``."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.usefixtures("hurried")
def test_another_account_is_told_what_it_cannot_see(cluster: Cluster, tmp_path: Path) -> None:
    """Nothing is guessed: the account to ask is named where that can be seen, and no fault is made of a right."""
    (tmp_path / "cs").mkdir(mode=0o700)
    with as_nobody():
        assert codes(examine(tmp_path / "cs")[1]) == {"not-seen"}  # not even whose it is
    for each in (tmp_path, *tmp_path.parents):
        if "pytest-of-" in str(each):  # pytest's own, one more where tests run beside each other
            each.chmod(0o755)
    with as_nobody():
        (found,) = examine(tmp_path / "cs")[1]
        assert found.code == "other-account" and found.commands[0].startswith("sudo -u root rjs doctor /")
        assert codes(examine_operator(tmp_path / "cs")) == {"ca-unreadable"}


@contextmanager
def as_nobody() -> Iterator[None]:
    """As an account without rights, for this process's own eyes."""
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_operators_folder(cluster: Cluster, tmp_path: Path) -> None:
    """Keys that all can read are a fault, plain keys a notice, keys under a passphrase well."""
    folder = Path(shutil.copytree(cluster.folder / "ca", tmp_path / "ca"))
    assert [each.code for each in examine_operator(folder)] == ["ca-keys-plain"]
    (folder / "root.key").chmod(0o644)
    (found,) = examine_operator(folder)
    assert found.code == "ca-keys-exposed" and found.commands[0] == f"chmod 600 {folder / 'root.key'}"
    (folder / "root.key").chmod(0o600)
    (tmp_path / "word").write_text("correct horse battery staple\n")
    (tmp_path / "word").chmod(0o600)
    cluster.rjs("ca", "passphrase", folder, "--new-passphrase-file", tmp_path / "word")
    assert [each.code for each in examine_operator(folder)] == [""]
    assert faults(doctor(cluster, "--ca", tmp_path)) == {"ca-unreadable"}


@pytest.mark.usefixtures("hurried")
def test_doors_that_are_not_ours(cluster: Cluster, tmp_path: Path) -> None:
    """Another role, another program, one that says nothing: each is told from the others."""
    lookup = cluster["lus"].document()["port"]
    assert door(cluster, tmp_path / "role", lookup) == {"door-wrong-role"}
    with socket.create_server((LOOPBACK, 0)) as mute:
        assert door(cluster, tmp_path / "mute", mute.getsockname()[1]) == {"door-silent"}
    web = [sys.executable, "-m", "http.server", "--bind", LOOPBACK, str(port := free_port())]
    with subprocess.Popen(web, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: listens(port))
        assert door(cluster, tmp_path / "web", port) == {"door-not-ours"}
        process.kill()


def door(cluster: Cluster, to: Path, port: int) -> set[str]:
    """The faults of a person who was told this port."""
    to.mkdir()
    folder = copy_of(cluster, "ada", to)
    ws_at(f"{LOOPBACK}:{port}")(folder, to)
    return codes(faults_in(folder))


def listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection((LOOPBACK, port), 1).close()
        return True
    return False


@pytest.mark.usefixtures("hurried")
def test_a_door_of_another_cluster(cluster: Cluster, tmp_path: Path) -> None:
    """An address at which another organisation's web server answers."""
    (tmp_path / "o").mkdir()
    other = Cluster(tmp_path / "o")
    try:
        other.found()
        assert door(cluster, tmp_path / "ada", other.port) == {"door-other-cluster"}
    finally:
        other.stop()


# --- faults of servers that run ---------------------------------------------------------------------------


@pytest.mark.usefixtures("hurried")
def test_a_stale_list_of_what_is_revoked(cluster: Cluster) -> None:
    """A running compute server whose newest list has ended starts nothing, and its owner is told why."""
    found = faults_in(cluster["cs1"].folder, dt.timedelta(hours=25))
    assert codes(found) == {"revocations-stale"}
    assert "web server" in found[0].remedy


def test_no_owner_trusts_the_signer(cluster: Cluster) -> None:
    """The canary waits, is cancelled, and the command that an owner types is there."""
    bob = cluster.people.get("bob") or cluster.add_user("bob")
    told = doctor(cluster, "--wait", "3", home=bob.folder)
    assert faults(told) == {"canary-untrusted"}
    assert f"rjs trust add {bob.certificate} --cs CS_DIR" in of_code(told, "canary-untrusted")["commands"]
    (line,) = json.loads(bob.rjs("status", "--json").stdout)
    assert line["state"] == "cancelled"


def test_an_authority_that_is_dead(cluster: Cluster) -> None:
    """The web server says why nobody joins or renews."""
    ws = cluster["ws"]
    key = identity_of(ws.folder) / "authority" / "intermediate.key"
    key.rename(key.with_suffix(".away"))
    try:
        kill_authority(cluster)
        wait_for(lambda: not ws.document()["authority"]["issues"])
        told = doctor(cluster, ws.folder)
        assert "authority-dead" in faults(told)
        assert "identity/authority" in of_code(told, "authority-dead")["remedy"]
        assert "ca-beside-ws" in faults(told)  # the operator's folder lies beside it in this test
    finally:
        key.with_suffix(".away").rename(key)
    wait_for(lambda: bool(ws.document()["authority"]["issues"]))


def kill_authority(cluster: Cluster) -> None:
    (child,) = [each for each in cluster["ws"].below() if "ws.authority.main" in " ".join(each.cmdline())]
    os.kill(child.pid, signal.SIGKILL)


@pytest.mark.usefixtures("hurried")
def test_what_stops_is_missed(cluster: Cluster) -> None:
    """Without a CS, the canary and the LUS say so; without a WS, everybody's doors do."""
    cluster["cs1"].stop()
    wait_for(lambda: cluster.reachable() == set())
    told = doctor(cluster, "--wait", "2", home=cluster.ada.folder)
    assert faults(told) == {"canary-no-cs"}
    assert codes(faults_in(cluster["lus"].folder)) == {"no-cs"}
    cluster["ws"].stop()
    try:
        wait_for(lambda: not cluster["lus"].document()["ws"]["connected"])
        assert codes(faults_in(cluster["lus"].folder)) == {"no-cs", "ws-away", "door-refused"}
        assert codes(faults_in(cluster.ada.folder)) == {"door-refused"}
        assert "not-running" in codes(examine(cluster["ws"].folder)[1])
    finally:
        cluster["ws"].start()
        cluster["cs1"].start()
    cluster.registered()


# --- faults of a network ----------------------------------------------------------------------------------


def test_firewalls_cables_and_ports(cluster: Cluster, tmp_path: Path) -> None:
    """On four machines: a port that a firewall closes, multicast that cannot come in or go out, a cable that is out,
    a program that has port 5353 to itself."""
    with Lan(["ws", "in", "out", "taken"]) as lan:
        rule(lan, "ws", "-A INPUT -p tcp --dport 9000 -j DROP")
        rule(lan, "in", "-A INPUT -p udp --dport 5353 -j DROP")
        rule(lan, "out", "-A OUTPUT -p udp --dport 5353 -j DROP")
        holder = lan.popen(
            "taken", [sys.executable, "-c", _TAKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert holder.stdout is not None and holder.stdout.readline()
        lan.unplug("out")
        runs = {
            host: start_doctor(lan, host, lookup_folder(cluster, lan, host, tmp_path)) for host in _EXPECTED
        }
        told = {host: json.loads(run.communicate(timeout=60)[0]) for host, run in runs.items()}
        holder.communicate(b"\n", timeout=10)
    assert {host: faults(each) for host, each in told.items()} == _EXPECTED
    assert "--add-port=9000/tcp" in of_code(told["in"], "door-timeout")["commands"][0]
    assert "--add-service=mdns" in of_code(told["in"], "multicast-blocked-in")["commands"][0]


_EXPECTED = {
    "in": {"door-timeout", "multicast-blocked-in"},
    "out": {"door-no-route", "multicast-blocked-out"},
    "taken": {"door-timeout", "mdns-port-taken"},
}
_TAKER = (
    "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 5353)); "
    "print('bound', flush=True); sys.stdin.readline()"
)


def rule(lan: Lan, host: str, words: str) -> None:
    lan.run(host, ["iptables", *words.split()], check=True)


def lookup_folder(cluster: Cluster, lan: Lan, host: str, to: Path) -> Path:
    """A stopped lookup server's folder on a machine of this LAN, whose web server is the machine ``ws``."""
    (to / host).mkdir()
    folder = copy_of(cluster, "lus", to / host)
    ws_at(f"{lan.address('ws')}:9000")(folder, to)
    set_to(f'interfaces = ["{lan.address(host)}"]')(folder, to)
    return folder


def start_doctor(lan: Lan, host: str, folder: Path) -> subprocess.Popen[bytes]:
    return lan.popen(
        host, [RJS, "doctor", folder, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
