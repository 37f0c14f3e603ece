"""Cells for tests: raised by an ordinary account as well as by the one that runs the tests, if that is root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attr
import attrs
import pytest

from cs.sandbox import system
from cs.sandbox.plan import Bind, Plan

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
ACCOUNTS = ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]
TMP_BYTES = 1 << 20

_RAISE = """\
import json, os, sys
sys.path.append(sys.argv[1])
from cs.sandbox import walls
from cs.sandbox.plan import Bind, Plan
walls.seal_program()
binds, tmp_bytes, hostname = json.loads(sys.argv[2])
reading, report = os.pipe()
if os.fork() == 0:
    os.close(reading)
    walls.fork_confined(Plan(tuple(Bind(*bind) for bind in binds), tmp_bytes, hostname), report)
    exec(sys.argv[3])
    sys.stdout.flush()
    os._exit(0)
os.close(report)
os.wait()
with os.fdopen(reading) as file:
    sys.stderr.write(file.read())
"""


@attrs.frozen
class Ground:
    """Where cells are raised: an account, a folder that is its own, and a copy of the code that it may read."""

    account: str
    folder: Path
    library: Path
    python: str = "/usr/bin/python3"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What makes a command run as the account."""
        return NOBODY if self.account == "ordinary" and os.geteuid() == 0 else ()

    def plan(self, *binds: Bind) -> Plan:
        """A cell with the system's Python and ``binds``."""
        return Plan((*system.system_binds(self.python), *binds), TMP_BYTES)

    def run(self, code: str, plan: Plan, wrapper: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run ``code`` in pid 1 of a cell; standard error is what was reported. Waits for the cell's end."""
        argv = [*self.prefix, *wrapper, self.python, "-I", "-S", "-B", "-c", _RAISE, str(self.library)]
        return self.run_command([*argv, json.dumps(plan), code])

    def inside(self, code: str, *binds: Bind) -> str:
        """What ``code`` prints in a cell whose walls stand."""
        done = self.run(code, self.plan(*binds))
        assert done.stderr.strip().isdigit(), done.stderr
        return done.stdout.strip()

    def run_command(self, argv: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as it is, with an empty environment and bounded time."""
        return subprocess.run(argv, capture_output=True, text=True, cwd="/", env={}, timeout=60, check=False)

    def make(self, name: str, text: str = "") -> Path:
        """A folder of the account's own, or a file with ``text``."""
        path = self.folder / name
        path.write_text(text) if text else path.mkdir()
        if self.prefix:
            os.chown(path, 65534, 65534)
        return path


@pytest.fixture(scope="session")
def library() -> Iterator[Path]:
    """A copy of what raises walls, and of attrs, where every account can read them."""
    with tempfile.TemporaryDirectory(prefix="rjs-library-") as folder:
        source = Path(system.__file__).parents[1]
        for name in ("__init__.py", "sandbox"):
            copy = shutil.copy2 if name.endswith(".py") else shutil.copytree
            (Path(folder) / "cs").mkdir(exist_ok=True)
            copy(source / name, Path(folder) / "cs" / name)
        for package in (attr, attrs):  # what the probe needs besides
            assert package.__file__ is not None
            shutil.copytree(Path(package.__file__).parent, Path(folder) / package.__name__)
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(params=ACCOUNTS)
def ground(request: pytest.FixtureRequest, library: Path) -> Iterator[Ground]:
    """Each account that can be had here."""
    with tempfile.TemporaryDirectory(prefix="rjs-cell-") as folder:
        found = Ground(request.param, Path(folder), library)
        if found.prefix:
            os.chown(folder, 65534, 65534)
        yield found
