"""``rjs inspect``: what a bundle or an answer holds, for somebody who has to decide about it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from rjs.cli.certificates import one_certificate
from rjs.cli.console import counted, json_option, print_json, print_table, say
from rjs.cli.described import described
from rjs.cli.options import at_option
from rjs.files import open_plain
from rjs.sizes import size_text


@click.command("inspect")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--trust",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="PEM",
    help="Certificate of the CA that must lead to the signer; for an answer, the organisation's root.",
)
@at_option
@json_option
def command(bundle: Path, trust: Path | None, at: datetime | None, as_json: bool) -> None:
    """Show what a bundle, an answer or any other signed JAR holds.

    Signature, dates and every file are checked first, and a file that fails is refused. Without --trust, whether to
    trust the signer is another question: see rjs verify.

    \b
    Example:
      rjs inspect mandelbrot.jar
      rjs inspect ans/1f0c5a7e9d3b2c48/0.jar --trust root.pem
    """
    roots = None if trust is None else [one_certificate(trust)]
    with open_plain(bundle) as file:
        found = described(file, at or datetime.now(UTC), roots)
    if as_json:
        print_json(found)
        return
    for heading, facts in found.items():
        if rows := list(_ROWS.get(heading, _plain)(facts)):
            print_table([heading, *[""] * (len(rows[0]) - 1)], rows)
            click.echo()
    if trust is None:
        say("The signature holds. It does not say whether to trust the signer: rjs verify and rjs trust do.")
    else:
        say(f"The signature holds, and {trust} leads to the signer.")


Row = Sequence[str | int]


def _plain(facts: Mapping[str, Any], prefix: str = "") -> Iterator[Row]:
    """Flatten nested facts into name and text, as ``exit.status``."""
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _plain(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            yield prefix + name, ", ".join(map(str, value)) or "-"
        else:
            yield prefix + name, "-" if value is None else str(value)


def _job(facts: Mapping[str, Any]) -> Iterator[Row]:
    told = {**facts, "args": shlex.join(facts["args"]) or None}
    first = told.pop("first_tasks")
    yield from _plain({name: value for name, value in told.items() if value not in (None, [], {})})
    if any(arguments != facts["args"] for arguments in first):
        for index, arguments in enumerate(first):
            yield f"task {index}", shlex.join(arguments)
        if facts["tasks"] > len(first):
            yield "", f"and {counted(facts['tasks'] - len(first), 'more task')}"


def _needs(facts: Mapping[str, Any]) -> Iterator[Row]:
    yield "memory", f"{size_text(facts['memory'])} at most"
    yield "disk", f"{size_text(facts['disk'])} at most"
    yield "wall_time", f"{facts['wall_time']:g} s at most"
    yield "cores", facts["cores"]
    yield "platforms", ", ".join(facts["platforms"]) or "any"
    for runtime in ("python", "java"):
        if facts[runtime] is not None:
            yield runtime, facts[runtime]


def _permissions(facts: Mapping[str, Any]) -> Iterator[Row]:
    places = ", ".join(facts["network"])
    yield "network", f"asks to reach {places}" if places else "none: asks to reach no other machine"


def _resources(facts: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for each in facts:
        jars = ", ".join(f"{jar['name']}{' (native)' if jar['native'] else ''}" for jar in each["jars"])
        files = f"{counted(len(each['files']), 'file')}, {size_text(each['size'])}" if each["files"] else ""
        entry = f"runs {each['entry']}" if each["entry"] else ""
        yield each["platform"], "; ".join(part for part in (files, jars, entry) if part) or "-"


def _answers(facts: Mapping[str, Any]) -> Iterator[Row]:
    if not facts["sealed"]:
        yield "sealed", "no: every server on their way can read them"
    for reader in facts["for"]:
        yield "sealed for", f"{reader['subject']} ({reader['key']})"


def _files(facts: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
    for each in facts:
        yield each["name"], each["size"], "executable" if each["executable"] else ""


_ROWS: Final[Mapping[str, Callable[[Any], Iterator[Row]]]] = {
    "job": _job,
    "needs": _needs,
    "permissions": _permissions,
    "resources": _resources,
    "answers": _answers,
    "files": _files,
}
