"""What the escape suite shares: one account with its Python, one yard, and the proof that nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from escape_account import Account, ordinary_account
from escape_yard import WAYS, Way, Yard

from cs.spawner.messages import Wall

_PROBES = Path(__file__).parent / "probes"
_SHARED = [Path(folder) for folder in ("/tmp", "/dev/shm", "/var/tmp", "/run")]
_GONE = 10.0
"""Seconds in which the kernel ends what has been killed, on a machine that has other things to do."""


@pytest.fixture(scope="session")
def account() -> Iterator[Account]:
    """Somebody's account and interpreter."""
    with ordinary_account() as made:
        yield made


@pytest.fixture(scope="session")
def yard(account: Account) -> Yard:
    """Where attempts are made; ``/rjs`` inside is an empty folder here, as no probe calls for help."""
    probes, library = account.folder / "probes", account.folder / "library"
    shutil.copytree(_PROBES, probes, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["cc", "-O1", "-o", probes / "calls", probes / "calls.c"], check=True, timeout=60)
    for path in (probes, *probes.iterdir()):
        path.chmod(0o755)
    with account.acting():
        library.mkdir()
    return Yard(account, probes, (*system_walls(account), Wall(str(library), "/rjs")))


@pytest.fixture(scope="session", params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    """Each way into a cell."""
    assert request.param in WAYS
    return request.param  # type: ignore[no-any-return]  # one of WAYS


def system_walls(account: Account) -> tuple[Wall, ...]:
    """What a compute server of the account binds into each cell."""
    code = "import json; from cs.sandbox.boot import base_python; from cs.sandbox.system import system_binds"
    with account.start("-c", f"{code}; print(json.dumps(system_binds(base_python())))") as process:
        assert process.stdout is not None
        return tuple(Wall(*bind) for bind in json.load(process.stdout))


@pytest.fixture(autouse=True)
def nothing_left(yard: Yard) -> Iterator[None]:
    """After each test nothing of the account is there: process, mount, file, kernel object. Its work is removed."""
    before = _around(yard.account)
    yield
    _gone(yard.account)
    yard.clear()
    assert _around(yard.account) == before


def _gone(account: Account) -> None:
    deadline = time.monotonic() + _GONE
    while left := account.processes():
        if time.monotonic() > deadline:
            told = [(process.pid, process.cmdline()) for process in left]
            for process in left:
                process.kill()
            pytest.fail(f"processes are left: {told}")
        time.sleep(0.01)
    for process in psutil.Process().children():
        if process.status() == psutil.STATUS_ZOMBIE:
            os.waitpid(process.pid, os.WNOHANG)


def _around(account: Account) -> dict[str, object]:
    """What the account has on this machine."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return {
        "mounts": [line for line in mounts if str(account.folder) in line],
        "files": sorted(
            path for folder in _SHARED for path in folder.iterdir() if _owner(path) == account.uid
        ),
        "SysV": [
            line
            for table in ("shm", "sem", "msg")
            for line in Path(f"/proc/sysvipc/{table}").read_text().splitlines()[1:]
            if str(account.uid) in line.split()
        ],
        "ours": sorted(path.name for path in account.folder.iterdir() if path.name != "work"),
    }


def _owner(path: Path) -> int | None:
    """None for what is gone, and for all files where the account is that of whoever runs this."""
    with suppress(FileNotFoundError):
        return path.lstat().st_uid if os.geteuid() == 0 else None
    return None
