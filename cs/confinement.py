"""A prepared attempt as its sandbox sees it: how paths look from inside, what is there, and what is run. Pure.

Whoever words a command line or an environment asks ``view_of`` for every path: a confined task knows no path of the
host's, an unconfined one knows no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import attrs

from cs.prepared import Prepared
from cs.spawner.messages import Sandbox, Script, Wall

WORK: Final = Path("/work")
DOORS: Final = Path("/doors")
LIBRARY: Final = Path("/rjs")
WHEELS: Final = Path("/wheels")


@attrs.frozen
class View:
    """Where folders of the host are for a task; all others are where they are."""

    places: tuple[tuple[Path, Path], ...] = ()

    def path(self, host: Path) -> Path:
        """How a task calls the host's path."""
        for outside, inside in self.places:
            if host == outside or outside in host.parents:
                return inside / host.relative_to(outside)
        return host


def view_of(prepared: Prepared) -> View:
    """What the attempt's task sees."""
    if prepared.walls is None:
        return View()
    return View(tuple((source, target) for source, target, _ in _own_places(prepared)))


def sandbox_of(prepared: Prepared, memory: int) -> Sandbox | None:
    """The cell that it runs in, where jobs are confined; the same one for all tasks of its bundle, as long as what
    they see is the same. ``memory`` in bytes is what a task may use of it, its files in memory included."""
    if prepared.walls is None:
        return None
    descriptor, view = prepared.descriptor, view_of(prepared)
    own = [Wall(str(source), str(target), writable) for source, target, writable in _own_places(prepared)]
    machine = (*prepared.walls.system, *prepared.walls.packages)
    return Sandbox(
        key=prepared.attempt.job,
        binds=(*(Wall(*bind) for bind in machine), *own),
        tmp_bytes=memory,
        way=prepared.walls.way,
        fresh=descriptor.isolated,
        network=bool(descriptor.permissions.network),
        preload=descriptor.preload,
        python_paths=tuple(str(view.path(path)) for path in prepared.paths),
    )


def script_of(prepared: Prepared) -> Script | None:
    """What a confined Python job's cell is to run itself, without starting an interpreter."""
    if prepared.walls is None or prepared.descriptor.runtime != "python":
        return None
    entry = prepared.descriptor.entry
    if ":" not in entry:
        entry = str(view_of(prepared).path(prepared.workplace.job / entry))
    return Script(entry, prepared.arguments)


def _own_places(prepared: Prepared) -> Iterator[tuple[Path, Path, bool]]:
    """What a task sees beside the machine: where it is, where it is inside, and whether the task may write there."""
    yield prepared.workplace.task, WORK, True
    if prepared.library is not None:
        yield prepared.library, LIBRARY, False
    for number, path in enumerate(prepared.paths):
        yield path, WHEELS / str(number), False
    if prepared.door is not None:
        yield prepared.door.parent, DOORS, False
