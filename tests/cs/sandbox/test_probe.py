"""Which cells can be made is found by making them; what is missing is said with its remedy, for each cause sown."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cs.sandbox import bpf, inside, probe
from cs.sandbox.bubblewrap import bubblewrap_argv
from cs.sandbox.plan import COVERED
from cs.sandbox.probe import Confinement, Level, remedies

if TYPE_CHECKING:
    from tests.cs.sandbox.conftest import Ground

IN_NEW_NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c")
NO_NAMESPACES = (*IN_NEW_NAMESPACES, 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"', "sh")
COVERED_PROC = (*IN_NEW_NAMESPACES, 'mount -t tmpfs none /proc/irq && exec "$@"', "sh")
NO_PROGRAMS = ("env", "PATH=/nowhere")
FILTER = """\
import os, sys
sys.path.append(sys.argv.pop(1))
from cs.sandbox import bpf, linux
linux.forgo_privileges()
linux.filter_calls(bpf.program())
os.execvp(sys.argv[1], sys.argv[1:])
"""
PROBE = """\
import json, sys
sys.path.append(sys.argv[1])
from cs.sandbox.probe import probe
found = probe()
print(json.dumps([found.way, found.level.value, found.lacking]))
"""

ordinary = pytest.mark.parametrize("ground", ["ordinary"], indirect=True)


def probe_as(ground: Ground, *wrapper: str) -> Confinement:
    """What the probe finds for an account, below a command that takes something from it."""
    argv = [*ground.prefix, *wrapper, ground.python, "-I", "-S", "-B", "-c", PROBE, str(ground.library)]
    done = ground.run_command(argv)
    assert done.stderr == ""
    way, level, lacking = json.loads(done.stdout)
    return Confinement(way, Level(level), tuple(lacking))


def says(found: Confinement, words: str) -> bool:
    return any(words in sentence for sentence in found.lacking)


def test_our_own_calls_are_the_first_choice(ground: Ground) -> None:
    """Where they hold, nothing is lacking."""
    assert probe_as(ground) == Confinement("own", Level.NAMESPACES)


def test_the_python_of_the_tests_can_be_confined() -> None:
    """Wherever it was installed, a job's interpreter starts in a cell."""
    assert probe.faults_of_own_way() == ()


@ordinary
def test_bubblewrap_is_the_second_choice(ground: Ground) -> None:
    """Its cells are as tight; it is taken where our own calls fail."""
    code = PROBE.replace("found =", "probe.__globals__['faults_of_own_way'] = lambda: ('sown',)\nfound =")
    done = ground.run_command(
        [*ground.prefix, ground.python, "-I", "-S", "-B", "-c", code, str(ground.library)]
    )
    assert (done.stderr, json.loads(done.stdout)) == ("", ["bubblewrap", "namespaces", []])


def test_a_machine_without_user_namespaces_says_so(ground: Ground) -> None:
    """With the setting that forbids them, and the command that changes it."""
    found = probe_as(ground, *NO_NAMESPACES)
    assert (found.way, found.level) == ("", Level.NONE)
    assert says(
        found, "our own calls make no cell: the kernel makes no namespaces for this account: No space left"
    )
    assert says(found, "bubblewrap makes no cell: bwrap: ")
    assert says(found, "user.max_user_namespaces is 0: `sudo sysctl user.max_user_namespaces=")


def test_an_absent_bubblewrap_is_named(ground: Ground) -> None:
    """Where our own calls fail; where they hold, nobody misses it."""
    found = probe_as(ground, *NO_NAMESPACES, *NO_PROGRAMS)
    assert says(found, "bubblewrap is not installed: `apt install bubblewrap`")
    assert probe_as(ground, *NO_PROGRAMS) == Confinement("own", Level.NAMESPACES)


def test_a_filter_around_the_server_is_named(ground: Ground) -> None:
    """A container's, or that of a service's settings: no setting of the machine's would help."""
    sow = (ground.python, "-I", "-S", "-B", "-c", FILTER, str(ground.library))
    found = probe_as(ground, *sow)
    assert (found.way, found.level) == ("", Level.NONE)
    assert says(found, "the kernel makes no namespaces for this account: Operation not permitted")
    assert says(found, "a filter of system calls is around this server already")


def test_a_covered_proc_is_named(ground: Ground) -> None:
    """As in most containers."""
    found = probe_as(ground, *COVERED_PROC)
    assert (found.way, found.level) == ("", Level.NONE)
    assert says(found, "our own calls make no cell: the kernel mounts no new /proc here")
    assert says(found, "systempaths=unconfined")


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces is 0"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "sudo apt install bubblewrap"),
    ],
)
def test_settings_of_the_machine_have_their_remedies(
    tmp_path: Path, setting: str, value: str, words: str
) -> None:
    """Each only where it stands in the way."""
    (tmp_path / "sys/kernel/seccomp").mkdir(parents=True)
    (tmp_path / "sys/user").mkdir()
    (tmp_path / "sys" / setting).write_text(f"{value}\n")
    (sentence,) = remedies(tmp_path)
    assert words in sentence
    (tmp_path / "sys" / setting).write_text("1\n" if value == "0" else "0\n")
    assert remedies(tmp_path) == ()


def test_a_kernel_without_filters_is_named(tmp_path: Path) -> None:
    """There is nothing to set: it takes another kernel."""
    (tmp_path / "sys").mkdir()
    (sentence,) = remedies(tmp_path)
    assert "CONFIG_SECCOMP_FILTER" in sentence


def look_inside(ground: Ground, change: dict[str, list[str]]) -> list[str]:
    """What the look from inside says of a cell of bubblewrap's with some words of its command line replaced."""
    plan = ground.plan()
    roots = sorted({bind.target.split("/")[1] for bind in plan.binds} | {place[1:] for place in COVERED})
    python = os.path.realpath(ground.python)
    text = Path(inside.__file__).read_text(encoding="utf-8")
    command = [python, "-I", "-S", "-B", "-c", text, json.dumps([roots, plan.tmp_bytes])]
    with tempfile.TemporaryFile() as calls, Path(os.devnull).open("wb") as nowhere:
        calls.write(bpf.program())
        calls.seek(0)
        numbers = {"seccomp": calls.fileno(), "status": nowhere.fileno()}
        argv = bubblewrap_argv("/usr/bin/bwrap", plan, command, **numbers)
        for old, new in change.items():
            first = old.format(**numbers).split()
            place = next(i for i in range(len(argv)) if argv[i : i + len(first)] == first)
            argv[place : place + len(first)] = new
        done = subprocess.run(
            [*ground.prefix, *argv], pass_fds=tuple(numbers.values()), capture_output=True, env={}, timeout=60
        )
    assert done.stderr == b""
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


ALL_BUT_NETWORK = ["--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup"]
ALL_BUT_PROCESSES = ["--unshare-ipc", "--unshare-net", "--unshare-uts", "--unshare-cgroup"]


@ordinary
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"--seccomp {seccomp}": []}, "no filter of system calls is on"),
        ({"--seccomp {seccomp}": []}, "the system call unshare is not refused"),
        ({"--seccomp {seccomp}": []}, "sockets of the family netlink can be made"),
        ({"--unshare-all": ALL_BUT_NETWORK}, "interfaces of the machine are seen"),
        ({"--unshare-all": ALL_BUT_PROCESSES, "--as-pid-1": []}, "processes of the machine are seen"),
        ({"--cap-drop ALL": ["--cap-add", "CAP_NET_ADMIN"]}, "a capability is left (CapEff)"),
        ({"--hostname rjs": []}, "the machine's own name is seen"),
        ({"--uid 1000": ["--uid", "0"]}, "its account is not 1000"),
        ({"--new-session": []}, "its session is the server's"),
        ({"--remount-ro / ": []}, "/new can be written"),
        ({"--remount-ro /proc": []}, "/proc is writable"),
        ({"--ro-bind /usr /usr": ["--bind", "/usr", "/usr"]}, "/usr is writable"),
        (
            {"--ro-bind /usr /usr": ["--ro-bind", "/usr", "/usr", "--ro-bind", "/var", "/var"]},
            "are seen: var",
        ),
        ({"--ro-bind /usr /usr": ["--dev-bind", "/usr", "/usr"]}, "devices count at /usr"),
        ({"--size 1048576 --tmpfs /tmp": ["--tmpfs", "/tmp"]}, "the size of /tmp has no bound"),
        (
            {"--dev-bind /dev/null /dev/null": ["--ro-bind", "/dev/null", "/dev/null"]},
            "/dev/null cannot be used",
        ),
    ],
)
def test_the_look_from_inside_misses_no_wall(
    ground: Ground, change: dict[str, list[str]], expected: str
) -> None:
    """A cell without one of its walls is told from a whole one."""
    assert any(expected in sentence for sentence in look_inside(ground, change))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root owns the machine's devices")
def test_roots_own_cells_by_bubblewrap_are_refused() -> None:
    """Inside they could change the mode of the machine's devices, which bubblewrap binds writable."""
    faults = probe.faults_of_bubblewrap("/usr/bin/bwrap")
    assert "the mode of the machine's /dev/null can be changed: do not run the server as root" in faults


def test_a_program_that_is_no_bubblewrap_is_a_fault() -> None:
    """Whatever stands at that path: a sentence, no exception."""
    assert probe.faults_of_bubblewrap("/usr/bin/false") == ("it ended with status 1 and no word",)
    (sentence,) = probe.faults_of_bubblewrap("/nowhere/bwrap")
    assert "it could not be tried" in sentence
