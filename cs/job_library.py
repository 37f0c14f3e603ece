"""What a Python job finds of ``rjs``: a folder with the package ``rjs`` in it, of which there is ``task`` alone.

Beside it a note says where this installation has the third-party packages that ``rjs.task`` needs for tokens: they
are loaded only then, and a job that brings its own uses these.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Final

import rjs
from cs.sandbox.plan import Bind
from rjs.files import make_private_folder, write_atomically

MODULES: Final = ("__init__.py", "task.py", "task_token.py", "task_door.py")
PACKAGES: Final = ("cryptography", "OpenSSL", "cffi", "_cffi_backend", "msgspec", "typing_extensions")
NOTE: Final = "packages.json"


INSIDE: Final = "/packages"
"""Where confined jobs have PACKAGES."""


def provide(folder: Path, *, confined: bool = False) -> Path:
    """Make ``folder`` hold what is to be found, as this installation has it; returns it. Raises OSError."""
    source, package = Path(rjs.__file__).parent, folder / "rjs"
    make_private_folder(package)
    for name in MODULES:
        write_atomically(package / name, (source / name).read_bytes())
    write_atomically(package / NOTE, json.dumps(_note(confined)).encode())
    return folder


def package_binds() -> tuple[Bind, ...]:
    """PACKAGES as confined jobs have them: each by itself, nothing else that is installed beside it."""
    return tuple(Bind(os.path.realpath(path), f"{INSIDE}/{path.name}") for path in _installed().values())


def _note(confined: bool) -> dict[str, str]:
    """For each of PACKAGES that is installed, the folder in which a job finds it."""
    return {name: INSIDE if confined else str(path.parent) for name, path in _installed().items()}


def _installed() -> dict[str, Path]:
    """Each of PACKAGES that is installed: its folder, or its file where it is one module."""
    found = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            found[name] = origin.parent if spec.submodule_search_locations else origin
    return found
