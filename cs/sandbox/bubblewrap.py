"""Words a plan for ``bwrap``, which raises the same walls where the system lets only that program do it.

The differences to ``walls``: the number of files in memory has no bound, no secure bits are set (nothing is there for
them to hold back), and a source is looked up by its path once more, by ``bwrap``. Devices it cannot bind read-only,
so root's own cells could change their modes: ``probe`` finds that out and takes this way for ordinary accounts only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from cs.sandbox.plan import DEVICE_LINKS, DEVICES, MASKED, UID, Bind, Plan, PlanError, check


def bubblewrap_argv(
    bwrap: str, plan: Plan, command: Sequence[str], *, seccomp: int, status: int
) -> list[str]:
    """The command line that makes the cell and executes ``command`` as its pid 1, with an empty environment.

    Both numbers are of descriptors that ``bwrap`` inherits: ``seccomp`` is read to its end (``bpf.program()``),
    ``status`` is told ``{"child-pid": N}`` (bwrap's --json-status-fd). All other descriptors reach ``command``.
    Starts nothing; looks at what the sources are. Raises PlanError where a source is not there, or where a job would
    write through a link.
    """
    check(plan)
    return [
        bwrap,
        *(
            "--unshare-all",
            "--unshare-user",
            "--uid",
            str(UID),
            "--gid",
            str(UID),
            "--hostname",
            plan.hostname,
        ),
        *("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL", "--clearenv"),
        *(word for bind in plan.binds for word in _bind(bind)),
        *_devices(),
        *_memory("/tmp", plan.tmp_bytes),
        *_memory("/dev/shm", plan.tmp_bytes),
        *_proc(),
        *("--remount-ro", "/", "--chdir", "/"),
        *("--seccomp", str(seccomp), "--json-status-fd", str(status), "--", *command),
    ]


def _bind(bind: Bind) -> list[str]:
    if not os.path.lexists(bind.source):
        raise PlanError(f"{bind.source!r}, which a cell needs, is not there")
    if not os.path.islink(bind.source):
        return ["--bind" if bind.writable else "--ro-bind", bind.source, bind.target]
    if bind.writable:
        raise PlanError(f"{bind.source!r} is a symbolic link: a job writes only where no link leads")
    return ["--symlink", os.readlink(bind.source), bind.target]


def _devices() -> Iterator[str]:
    for name in DEVICES:
        yield from ("--dev-bind", f"/dev/{name}", f"/dev/{name}")
    for name, target in DEVICE_LINKS.items():
        yield from ("--symlink", target, f"/dev/{name}")


def _memory(target: str, size: int) -> tuple[str, ...]:
    return "--perms", "1777", "--size", str(size), "--tmpfs", target


def _proc() -> Iterator[str]:
    """A /proc of its own, which is read-only but for what ``bwrap`` itself covers; and what we cover."""
    yield from ("--proc", "/proc")
    for name in MASKED:
        path = f"/proc/{name}"
        if os.path.isdir(path):
            yield from ("--perms", "0555", "--tmpfs", path, "--remount-ro", path)
        elif os.path.exists(path):
            yield from ("--ro-bind", "/dev/null", path)
    yield from ("--remount-ro", "/proc")
