"""How a server starts a module of its own in a fresh interpreter.

Such a child (the spawner, the benchmark, the token authority) must load exactly this copy of the code, installed or
not, and nothing that the environment or the current folder suggests.
"""

from __future__ import annotations

import sys
from pathlib import Path

_ROOT = str(Path(__file__).resolve().parent.parent)
_BOOT = """\
import importlib, sys
root, module, *arguments = sys.argv[1:]
root in sys.path or sys.path.insert(0, root)
sys.exit(importlib.import_module(module).main(arguments))
"""


def module_argv(module: str, *arguments: str) -> list[str]:
    """The command line that calls ``module.main(arguments)`` isolated (``-I``) and exits with what it returns."""
    return [sys.executable, "-I", "-c", _BOOT, _ROOT, module, *arguments]
