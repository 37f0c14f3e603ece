"""The command line and the environment of an attempt, whatever its runtime. Pure: nothing is looked at or started."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from cs.confinement import view_of
from cs.network_proxy_clients import environment as proxy_variables
from cs.prepared import Prepared
from cs.runtimes.java import java_argv
from cs.runtimes.native import native_argv
from cs.runtimes.python import python_argv_of
from rjs.identity.job_tokens import job_name

_ARGV: Final[Mapping[str, Callable[[Prepared], list[str]]]] = {
    "python": python_argv_of,
    "java": java_argv,
    "native": native_argv,
}

_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What numerical libraries ask how many threads to start; untold, they take every core of the owner's."""


@attrs.frozen
class Command:
    """``argv[0]`` is the path of the program. ``environment`` is complete: nothing of the server's is inherited,
    so that no ``JAVA_TOOL_OPTIONS`` or ``LD_PRELOAD`` of the owner's reaches a job."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def command_of(prepared: Prepared) -> Command:
    """How the attempt is started, in the job's folder as working folder. All paths are as its task sees them.

    Raises RefusedError where its runtime cannot start it: a stable code, and what would change it.
    """
    argv = _ARGV[prepared.descriptor.runtime](prepared)
    place, view = prepared.workplace, view_of(prepared)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(view.path(place.job)),
        "TMPDIR": str(view.path(place.temporary)),
        "RJS_NAME": job_name(prepared.attempt).uri(),
        "RJS_TASK_INDEX": str(prepared.attempt.task),
        "RJS_TASK_COUNT": str(prepared.descriptor.tasks),
        "RJS_OUTPUT": str(view.path(place.out)),
        "RJS_CHECKPOINT": str(view.path(place.checkpoint)),
        **dict.fromkeys(_THREADS, str(max(1, prepared.descriptor.needs.cores))),
        **proxy_variables(prepared),
    }
    if prepared.door is not None:
        environment["RJS_DOOR"] = str(view.path(prepared.door))
    if prepared.library is not None and prepared.descriptor.runtime == "python":
        environment["PYTHONPATH"] = str(view.path(prepared.library))
    return Command(tuple(argv), environment)
