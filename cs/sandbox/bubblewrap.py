"""Words a plan for ``bwrap``, which raises the same walls where the system lets only that program do it."""

from __future__ import annotations

from collections.abc import Sequence

from cs.sandbox.plan import Plan


def bubblewrap_argv(
    bwrap: str, plan: Plan, command: Sequence[str], *, seccomp: int, status: int
) -> list[str]:
    """The command line that makes the cell and executes ``command`` as its pid 1, with an empty environment.

    Both numbers are of descriptors that ``bwrap`` inherits: ``seccomp`` is read to its end (``bpf.program()``),
    ``status`` is told ``{"child-pid": N}`` (bwrap's --json-status-fd). All other descriptors reach ``command``.
    """
    raise NotImplementedError
