"""How our own Python processes of the sandbox are started: as a job's Python is, and nothing else in them."""

from __future__ import annotations

import sys
from typing import Final

_FLAGS: Final = ("-s", "-S", "-B")
_BOOT: Final = """\
import sys
at_start = frozenset(sys.modules)
sys.path[0], name, *arguments = sys.argv[1:]
main = __import__(name, fromlist=["main"]).main
del sys.path[0]
program = main(arguments)
run = sys.modules["cs.sandbox.script"].run
for name in [name for name in sys.modules if name.partition(".")[0] == "cs"]:
    del sys.modules[name]
run(program, at_start)
"""
"""``main`` returns in a task's process only: what that is to run, with nothing of ours left but this frame."""


def base_python() -> str:
    """The interpreter that this one was installed with, beside whatever virtual environment: a job's Python."""
    return str(getattr(sys, "_base_executable", sys.executable))


def boot_argv(root: str, module: str, *arguments: str) -> list[str]:
    """The command line that calls ``module.main(arguments)``, with our code below ``root``."""
    return [base_python(), *_FLAGS, "-c", _BOOT, root, module, *arguments]
