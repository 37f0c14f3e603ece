"""From PATH and the packing options to the files of a bundle, by what PATH is; and the report on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rjs.cli.certificates import holders_certificate
from rjs.cli.console import counted, say
from rjs.cli.own import own_encryption_certificate
from rjs.cli.packing_options import Packing

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.identity.keys import AskPassphrase
    from rjs.packing import JobFiles, Requirements

FILES_NAMED: Final = 10
"""Files named one by one for a reason; of more, only the number is said. ``--json`` names all."""

LINES_SHOWN: Final = 40
"""Lines of the table of what was taken and why, and of warnings."""


class Kind(Enum):
    """What PATH is, in words for people."""

    FOLDER = "a folder with a job.toml, which says it itself"
    SCRIPT = "a Python script"
    JAVA = "Java classes"
    NATIVE = "native executables"
    COMMAND = "an installed command"


_WHEELS: Final = frozenset({"platform", "python", "find_links", "index_url"})
_PYTHON: Final = frozenset({"include", "reached_only", "allow_missing", "requirement"}) | _WHEELS
_SEALED: Final = frozenset({"encrypt", "encrypt_for"})
_MADE: Final = frozenset({"tasks", "name", "include"}) | _SEALED
"""What everything takes for which a job.toml is made."""

_TAKES: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.FOLDER: _PYTHON | _SEALED,  # the packer says which lines to add
    Kind.SCRIPT: _PYTHON | _MADE,
    Kind.JAVA: _MADE | {"allow_missing", "main_class", "class_path"},
    Kind.NATIVE: _MADE | {"native"},
    Kind.COMMAND: (_PYTHON | _MADE | {"entry_point"}) - {"include", "reached_only"},
}


def gather_job(
    path: Path, packing: Packing, *, without: Path | None = None, ask: AskPassphrase | None = None
) -> JobFiles:
    """Give what the bundle of ``path`` holds; ``without`` is the bundle itself. Warnings are said at once.

    ``ask`` gives the passphrase of one's own keys, should one's encryption certificate have to be made anew.

    Raises click.UsageError for options that this kind of PATH does not take, else like ``rjs.packing``.
    """
    from rjs.packing.recipients import sealed_for

    kind = kind_of(path, packing)
    packing.require_only(_TAKES[kind], kind.value)
    if kind is not Kind.COMMAND and not packing.requirement and (lost := _WHEELS.intersection(packing.given)):
        raise click.UsageError(
            f"--{min(lost).replace('_', '-')} is for packages; name them with --requirement"
        )
    files = sealed_for(_GATHER[kind](path, packing, without), _recipients(packing, ask), path)
    _warn(files.warnings)
    return files


def _recipients(packing: Packing, ask: AskPassphrase | None) -> list[x509.Certificate]:
    """Whom the answers are to be sealed for: oneself first, where that was said."""
    own = [own_encryption_certificate(ask)] if packing.encrypt else []
    return own + [holders_certificate(each) for each in packing.encrypt_for]


def kind_of(path: Path, packing: Packing) -> Kind:
    """Say what ``path`` is: a name, where options say so, else what lies there."""
    from rjs.packing.java import is_java_folder

    if packing.native:
        return Kind.NATIVE
    if packing.entry_point:
        return Kind.COMMAND
    if not path.exists():
        raise click.UsageError(f"there is no {path}; only --native and --entry-point take a name")
    if packing.main_class or packing.class_path or path.suffix == ".jar":
        return Kind.JAVA
    if not path.is_dir():
        return Kind.SCRIPT
    return Kind.JAVA if is_java_folder(path) else Kind.FOLDER


def job_stem(path: Path) -> str:
    """What files of this job are called: like PATH, without its suffix."""
    return path.resolve().stem if path.is_file() else path.resolve().name


def _python(path: Path, packing: Packing, without: Path | None) -> JobFiles:
    from rjs.packing import gather

    return gather(
        path, without=without, tasks=packing.tasks or 1, name=packing.name, include=packing.include,
        reached_only=packing.reached_only, allow_missing=packing.allow_missing,
        requirements=_requirements(packing) if packing.requirement else None,
    )  # fmt: skip


def _command(path: Path, packing: Packing, without: Path | None) -> JobFiles:
    from rjs.packing import gather_entry_point

    return gather_entry_point(
        str(path), tasks=packing.tasks or 1, name=packing.name, allow_missing=packing.allow_missing,
        requirements=_requirements(packing),
    )  # fmt: skip


def _requirements(packing: Packing) -> Requirements:
    from rjs.packing import Requirements, read_requirements

    specs = [
        each
        for text in packing.requirement
        for each in (read_requirements(Path(text)) if Path(text).is_file() else (text,))
    ]
    return Requirements(
        tuple(specs), packing.platform, packing.python or "", packing.find_links, packing.index_url
    )


def _java(path: Path, packing: Packing, without: Path | None) -> JobFiles:
    from rjs.packing.java import gather_java
    from rjs.packing.jdeps import find_jdeps

    return gather_java(
        path, jdeps=find_jdeps(os.environ), class_path=packing.class_path, main_class=packing.main_class,
        include=packing.include, tasks=packing.tasks or 1, name=packing.name, allow_missing=packing.allow_missing,
    )  # fmt: skip


def _native(path: Path, packing: Packing, without: Path | None) -> JobFiles:
    from rjs.packing.native import gather_native

    return gather_native(
        path, packing.native, include=packing.include, tasks=packing.tasks or 1, name=packing.name
    )


_GATHER: Final[Mapping[Kind, Callable[[Path, Packing, Path | None], JobFiles]]] = {
    Kind.FOLDER: _python,
    Kind.SCRIPT: _python,
    Kind.JAVA: _java,
    Kind.NATIVE: _native,
    Kind.COMMAND: _command,
}


def report(files: JobFiles) -> dict[str, Any]:
    """Everything about the gathered files, for programs."""
    taken = [
        {"name": file.name, "size": file.size, "executable": file.executable, "why": file.why}
        for file in files.files
    ]
    return {"files": taken, "left_out": files.left_out, "warnings": files.warnings}


def tell(files: JobFiles, what: str) -> None:
    """Say what was taken and why, and what was not: nothing is left out silently."""
    amounts = (
        counted(len(files.files), "file"),
        counted(files.size, "byte"),
        counted(files.descriptor.tasks, "task"),
    )
    say(f"{what}: {', '.join(amounts)}")
    by_reason: dict[str, list[str]] = {}
    for file in files.files:
        by_reason.setdefault(file.why, []).append(file.name)
    shown = list(by_reason.items())[:LINES_SHOWN]
    width = max(len(why) for why, _ in shown)
    for why, names in shown:
        say(f"  {why:{width}}  {_some(names)}")
    rest = sum(map(len, by_reason.values())) - sum(len(names) for _, names in shown)
    if rest:
        say(f"  and {counted(rest, 'more file')}; --json names all")
    if files.left_out:
        say(f"left out: {_some(files.left_out)}")


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings[:LINES_SHOWN]:
        say(f"warning: {warning}")
    if len(warnings) > LINES_SHOWN:
        say(f"and {len(warnings) - LINES_SHOWN} more warnings; --json lists all")


def _some(names: Sequence[str]) -> str:
    more = len(names) - FILES_NAMED
    return ", ".join(names[:FILES_NAMED]) + (f" and {more} more" if more > 0 else "")
