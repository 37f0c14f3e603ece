"""What is said about the imports that nothing in a job's folder answers: one sentence a module."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs

from rjs.bundle.names import shown
from rjs.needs import Platform
from rjs.packing.imports import When
from rjs.packing.standard import ADDED, REMOVED, STANDARD, hint_about

_PLACES_SHOWN: Final = 3


def spelled(name: str) -> str:
    """Return a file's or module's name as a sentence may hold it: escaped where it could disturb a terminal."""
    return name if name.isprintable() else shown(name)[1:-1]


def place(file: str, line: int) -> str:
    """Return where something stands, as editors understand it: ``run.py:3``."""
    return f"{spelled(file)}:{line}"


@attrs.frozen
class _Missing:
    place: str
    when: When


class MissingModules:
    """The top-level modules that a job imports and has no file of.

    ``provided`` are those of its third-party packages, each with the platforms that have no such package.
    """

    def __init__(self, allowed: Collection[str], provided: Mapping[str, Sequence[Platform]]) -> None:
        self._allowed = frozenset(allowed)
        self._provided = provided
        self._found: dict[str, list[_Missing]] = {}

    def note(self, module: str, where: str, when: When) -> None:
        """Take down that ``module`` is imported at the place ``where``; modules that every CS has are no news."""
        every = module in STANDARD and module not in REMOVED and module not in ADDED
        everywhere = module in self._provided and not self._provided[module]
        if not every and not everywhere and module not in self._allowed:
            self._found.setdefault(module, []).append(_Missing(where, when))

    def report(self, path_changed: str | None, search: str) -> tuple[list[str], list[str]]:
        """Return faults and warnings; ``path_changed`` is where the job changes sys.path, ``search`` its folder.

        What is looked for where nobody can see it, or not certain to be imported, is no fault.
        """
        faults, warnings = [], []
        for module, found in sorted(self._found.items()):
            when = max(each.when for each in found)
            subject = _subject(module, [each.place for each in found if each.when is when])
            if module in self._provided:
                places = ", ".join(map(str, self._provided[module]))
                warnings.append(f"{subject} has no wheel for {places}; a task that imports it there fails")
            elif module in STANDARD:
                warnings += [] if when is When.GUARDED else [f"{subject} {_in_some_pythons(module)}"]
            elif when is When.GUARDED:
                warnings.append(f"{subject} is on no compute server; the job is prepared to go on without it")
            elif when is When.PERHAPS:
                warnings.append(f"{subject} is on no compute server; a task that imports it here fails")
            elif path_changed is not None:
                warnings.append(
                    f"{subject} is not in {search}; {path_changed} changes where Python looks, so it cannot be "
                    "seen whether the job has it"
                )
            else:
                faults.append(
                    f"{subject} is not in {search}, and compute servers have the standard library only; "
                    f"{hint_about(module)}, or catch ImportError, or pack with --allow-missing {spelled(module)}"
                )
        return faults, warnings


def _subject(module: str, places: Sequence[str]) -> str:
    """Name the module, where it is first imported, and where else."""
    first, *others = dict.fromkeys(places)
    more = len(others) - _PLACES_SHOWN
    also = ", ".join(others[:_PLACES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"{first}: {spelled(module)}{f' (also at {also})' if also else ''}"


def _in_some_pythons(module: str) -> str:
    if module in REMOVED:
        return f"is gone from Python {REMOVED[module]}, which a compute server may have"
    return f"is new in Python {ADDED[module]}, and a compute server may have 3.11"
