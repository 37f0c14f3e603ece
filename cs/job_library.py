"""What a Python job finds of ``rjs``: a folder with the package ``rjs`` in it, of which there is ``task`` alone.

Beside it a note says where this installation has the third-party packages that ``rjs.task`` needs for tokens: they
are loaded only then, and a job that brings its own uses these.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Final

import rjs
from rjs.files import make_private_folder, write_atomically

MODULES: Final = ("__init__.py", "task.py", "task_token.py", "task_door.py")
PACKAGES: Final = ("cryptography", "OpenSSL", "cffi", "_cffi_backend", "msgspec", "typing_extensions")
NOTE: Final = "packages.json"


def provide(folder: Path) -> Path:
    """Make ``folder`` hold what is to be found, as this installation has it; returns it. Raises OSError."""
    source, package = Path(rjs.__file__).parent, folder / "rjs"
    make_private_folder(package)
    for name in MODULES:
        write_atomically(package / name, (source / name).read_bytes())
    write_atomically(package / NOTE, json.dumps(_installed()).encode())
    return folder


def _installed() -> dict[str, str]:
    """Each of PACKAGES that is installed, and the folder that it lies in."""
    found = {}
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            found[name] = str(origin.parent.parent if spec.submodule_search_locations else origin.parent)
    return found
