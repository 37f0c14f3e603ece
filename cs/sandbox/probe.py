"""Finds by trying whether this machine can confine jobs, and which way; where it cannot, what would change that.

Versions and settings are read only to explain a failure: what holds is known by a cell that was made, and by attempts
from inside to get at what its walls keep out (``inside``).
"""

from __future__ import annotations

import enum
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import attrs

from cs.sandbox import inside
from cs.sandbox.bpf import program
from cs.sandbox.bubblewrap import bubblewrap_argv
from cs.sandbox.plan import COVERED, Plan, PlanError
from cs.sandbox.system import system_binds

_PROBE_SECONDS: Final = 20
"""For one cell, which takes 0.1 s: a desktop that starts up is slow."""

_TMP_BYTES: Final = 1 << 20
_ROOT: Final = str(Path(__file__).resolve().parents[2])
_TRIAL: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); from cs.sandbox import trial; trial.main(sys.argv[1:])"
)
_PYTHON_OPTIONS: Final = ("-I", "-S", "-B")


class Level(enum.Enum):
    """How much of a job is held back."""

    NONE = "none"
    NAMESPACES = "namespaces"


@attrs.frozen
class Confinement:
    """How jobs are confined here. ``lacking``: where they are not, each reason, with what to do about it."""

    way: Literal["own", "bubblewrap", ""]
    level: Level
    lacking: tuple[str, ...] = ()


def probe() -> Confinement:
    """The first way that holds here: our own calls to the kernel, then bubblewrap. Takes 0.1 s, a minute at most."""
    lacking: list[str] = []
    faults = faults_of_own_way()
    if not faults:
        return Confinement("own", Level.NAMESPACES)
    lacking += (f"our own calls make no cell: {fault}" for fault in faults)
    bwrap = find_bubblewrap()
    if bwrap is None:
        lacking.append(
            "bubblewrap is not installed: `apt install bubblewrap`, or the same of your system's, may suffice"
        )
    else:
        faults = faults_of_bubblewrap(bwrap)
        if not faults:
            return Confinement("bubblewrap", Level.NAMESPACES)
        lacking += (f"bubblewrap makes no cell: {fault}" for fault in faults)
    return Confinement("", Level.NONE, (*lacking, *remedies()))


def find_bubblewrap() -> str | None:
    """The path of ``bwrap``; of several on the PATH the system's own, as that one may be allowed more."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return shutil.which("bwrap", path=os.pathsep.join(sorted(folders, key="/usr/bin".__ne__)))


def faults_of_own_way() -> tuple[str, ...]:
    """What keeps cells by our own calls from being made, or from being tight."""
    plan = _plan()
    argv = [_python(), *_PYTHON_OPTIONS, "-c", _TRIAL, _ROOT]
    return _faults([*argv, json.dumps(plan), _expected(plan), str(_PROBE_SECONDS)])


def faults_of_bubblewrap(bwrap: str) -> tuple[str, ...]:
    """What keeps the cells of the program ``bwrap`` from being made, or from being tight."""
    plan = _plan()
    text = Path(inside.__file__).read_text(encoding="utf-8")
    command = [_python(), *_PYTHON_OPTIONS, "-c", text, _expected(plan)]
    try:
        with tempfile.TemporaryFile() as calls, open(os.devnull, "wb") as nowhere:
            calls.write(program())
            calls.seek(0)
            passed = (calls.fileno(), nowhere.fileno())
            argv = bubblewrap_argv(bwrap, plan, command, seccomp=passed[0], status=passed[1])
            return _faults(argv, passed)
    except PlanError as error:
        return (str(error),)


def _plan() -> Plan:
    return Plan(system_binds(_python()), _TMP_BYTES)


def _python() -> str:
    """The interpreter that jobs get, by the path at which it is found inside."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _expected(plan: Plan) -> str:
    targets = [bind.target for bind in plan.binds] + list(COVERED)
    return json.dumps([sorted({target.split("/")[1] for target in targets}), plan.tmp_bytes])


def _faults(argv: list[str], passed: tuple[int, ...] = ()) -> tuple[str, ...]:
    """What a cell says of itself, or why there was none."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=passed,
            env={},
            cwd="/",
            timeout=2 * _PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return (f"it could not be tried: {error}",)
    said = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
    try:
        found = json.loads(done.stdout)
    except ValueError:
        return (said.splitlines()[-1] if said else f"it ended with status {done.returncode} and no word",)
    return tuple(found)


def remedies(system: Path = Path("/proc")) -> tuple[str, ...]:
    """What in the machine's settings keeps an account from making cells, with what to do; ``system`` is its /proc."""
    return tuple(_remedies(system))


def _remedies(system: Path) -> Iterator[str]:
    settings = system / "sys"
    if _read(settings / "user/max_user_namespaces") == "0":
        yield (
            "user.max_user_namespaces is 0: `sudo sysctl user.max_user_namespaces=15000`, and the same setting in a "
            "file in /etc/sysctl.d to keep it"
        )
    if _read(settings / "kernel/unprivileged_userns_clone") == "0":
        yield (
            "kernel.unprivileged_userns_clone is 0: `sudo sysctl kernel.unprivileged_userns_clone=1`, and the same "
            "setting in a file in /etc/sysctl.d to keep it"
        )
    if _read(settings / "kernel/apparmor_restrict_unprivileged_userns") == "1":
        yield (
            "AppArmor lets only programs with a profile make user namespaces: `sudo apt install bubblewrap "
            "apparmor-profiles`, then `sudo ln -s /usr/share/apparmor/extra-profiles/bwrap-userns-restrict "
            "/etc/apparmor.d/` and `sudo systemctl reload apparmor`"
        )
    if not (settings / "kernel/seccomp").exists():
        yield "the kernel filters no system calls: start one that is built with CONFIG_SECCOMP_FILTER"
    if "\nSeccomp:\t2\n" in _read(system / "self/status"):
        yield (
            "a filter of system calls is around this server already, by a container or a service's settings such as "
            "RestrictNamespaces: start the server outside of it, or allow unshare and mount there"
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
