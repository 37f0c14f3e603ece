"""An ordinary account with a Python of its own, for spawners that are to be attacked from inside.

Started by root, the suite uses a number that nobody has: the kernel asks for no line in /etc/passwd. Started by
anyone else, it is that account. Its interpreter is the system's, in an environment with just what a spawner loads.
"""

from __future__ import annotations

import importlib.metadata
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import psutil

import cs
import rjs
from cs.spawner.linux import adopt_orphans

SYSTEM_PYTHON = Path("/usr/bin/python3")
_UNUSED = range(61_184, 65_520)  # systemd's range for services that have no account: nobody else is in it
_LOADED_BY_A_SPAWNER = ("msgspec", "attrs")


@attrs.frozen
class Account:
    """Somebody's account on this machine, ``python`` of an environment with our packages, and a folder for all."""

    uid: int
    gid: int
    python: Path
    folder: Path

    @contextmanager
    def acting(self) -> Iterator[None]:
        """What the calling thread does with files meanwhile, it does with this account's rights."""
        before = os.geteuid(), os.getegid()
        os.setegid(self.gid)
        os.seteuid(self.uid)
        try:
            yield
        finally:
            os.seteuid(before[0])
            os.setegid(before[1])

    def start(self, *arguments: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
        """Its Python with ``arguments``, and nothing of ours but the descriptors named; stdout is a pipe."""
        return self.execute([self.python, "-I", *arguments], Path("/"), pass_fds=pass_fds)

    def execute(
        self, argv: Sequence[str | Path], folder: Path, *, pass_fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        """Any program of it."""
        root = os.geteuid() == 0
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env={},
            cwd=folder,
            start_new_session=True,
            pass_fds=pass_fds,
            user=self.uid if root else None,
            group=self.gid if root else None,
            extra_groups=() if root else None,
        )

    def processes(self) -> list[psutil.Process]:
        """All of its living processes below this one, oldest first; a zombie does not live."""
        found = []
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.uids().real == self.uid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return sorted(found, key=lambda each: each.pid)


@contextmanager
def ordinary_account() -> Iterator[Account]:
    """The account, with its folder and interpreter, which are removed afterwards. Raises RuntimeError."""
    adopt_orphans()  # whatever loses its parents is still below this process
    with tempfile.TemporaryDirectory(prefix="rjs-escape-") as made:
        folder = Path(made).resolve()
        folder.chmod(0o755)
        python = _environment(folder / "environment")
        if os.geteuid() == 0:
            uid = _unused_number()
            os.chown(folder, uid, uid)
            yield Account(uid, uid, python, folder)
        else:
            yield Account(os.getuid(), os.getgid(), python, folder)


def _unused_number() -> int:
    used = {entry.pw_uid for entry in pwd.getpwall()}
    used |= {process.info["uids"].real for process in psutil.process_iter(["uids"]) if process.info["uids"]}
    start = os.getpid() % len(_UNUSED)
    free: list[int] = [uid for uid in (*_UNUSED[start:], *_UNUSED[:start]) if uid not in used]
    return free[0]


def _environment(folder: Path) -> Path:
    """A virtual environment of the system's Python: our packages as they are installed here, and what they need."""
    if not SYSTEM_PYTHON.exists():
        raise RuntimeError(f"the escape suite needs {SYSTEM_PYTHON}: apt-get install python3")
    subprocess.run([SYSTEM_PYTHON, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    packages = next((folder / "lib").glob("python3*")) / "site-packages"
    for package in (cs, rjs):
        source = Path(package.__path__[0])
        shutil.copytree(source, packages / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    wanted = [f"{name}=={importlib.metadata.version(name)}" for name in _LOADED_BY_A_SPAWNER]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "--disable-pip-version-check",
    ]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--ignore-installed", *wanted], check=True, timeout=100
    )
    for path in (folder, *folder.rglob("*")):  # whatever the umask of who runs this
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
    return folder / "bin" / "python"
