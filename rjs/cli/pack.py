"""``rjs pack``: a folder or script becomes a signed bundle."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.group import person_folder

if TYPE_CHECKING:
    from rjs.ids import BundleId, ClusterId
    from rjs.packing import JobFiles

FILES_NAMED = 10
"""Files named one by one for a reason; of more, only the number is said. ``--json`` names all."""

LINES_SHOWN = 40
"""Lines of the table of what was taken and why, and of warnings."""


@click.command("pack")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="The bundle [PATH's name.jar]."
)
@click.option("--unsigned", is_flag=True, help="Leave the signing to jarsigner.")
@click.option("--sign-with", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Folder with signing.key and signing.pem [your own].")  # fmt: skip
@click.option("--valid", type=click.IntRange(1, 3650), default=30, show_default=True, metavar="DAYS",
              help="Days the job may run within; never longer than your certificate.")  # fmt: skip
@click.option("--cluster", metavar="ID", help="Allow the job in this cluster only (16 hex digits).")
@click.option("--tasks", type=click.IntRange(1), help="Tasks of a script [1]; a folder says it in job.toml.")
@click.option("--name", help="Name of a script's job [the script's]; a folder says it in job.toml.")
@click.option("--reached-only", is_flag=True, help="Of a folder, only what its entry imports [all of it].")
@click.option("--include", multiple=True, metavar="GLOB",
              help="Take these files too, such as 'data/**/*.csv'; for a script or --reached-only.")  # fmt: skip
@click.option("--allow-missing", multiple=True, metavar="MODULE",
              help="Let the job import MODULE though no compute server has it.")  # fmt: skip
@json_option
def command(
    path: Path,
    out: Path | None,
    unsigned: bool,
    sign_with: Path | None,
    valid: int,
    cluster: str | None,
    tasks: int | None,
    name: str | None,
    reached_only: bool,
    include: tuple[str, ...],
    allow_missing: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make a signed bundle from a folder or a script.

    PATH is a folder with a job.toml, which is taken whole, or one Python script, with the modules beside it that it
    imports. The bundle's id, by which the cluster knows the job, is printed on stdout; what was taken and why, what
    was left out, and warnings, on stderr.

    \b
    Example:
      rjs pack examples/mandelbrot -o mandelbrot.jar
      rjs pack simulate.py --tasks 100 --include 'data/*.csv'
    """
    if path.is_dir() and (tasks is not None or name is not None):
        raise click.UsageError("--tasks and --name are for a script; a folder says both in its job.toml")
    if unsigned and sign_with is not None:
        raise click.UsageError("--unsigned and --sign-with exclude each other")
    from rjs.packing import gather, write_unsigned

    target = out or Path(f"{path.resolve().stem if path.is_file() else path.resolve().name}.jar")
    files = gather(
        path, without=target, tasks=tasks or 1, name=name, include=include, reached_only=reached_only,
        allow_missing=allow_missing,
    )  # fmt: skip
    _warn(files.warnings)
    now, term = datetime.now(UTC), timedelta(days=valid)
    bundle_id = None
    if unsigned:
        write_unsigned(files, target, now=now, nonce=os.urandom(16), valid=term, cluster=_cluster(cluster))
    else:
        bundle_id = _sign(files, target, sign_with or person_folder(), now, term, _cluster(cluster))
    if as_json:
        print_json(_report(files, target, bundle_id))
        return
    _tell(files, target)
    if bundle_id is not None:
        click.echo(bundle_id)


def _cluster(text: str | None) -> ClusterId | None:
    from rjs.ids import ClusterId

    return None if text is None else ClusterId(text)


def _sign(
    files: JobFiles, target: Path, folder: Path, now: datetime, term: timedelta, cluster: ClusterId | None
) -> BundleId:
    from rjs.packing import write_signed
    from rjs.state import signing_identity

    signer = signing_identity(folder)
    return write_signed(
        files,
        target,
        key=signer.key,
        chain=signer.chain,
        now=now,
        nonce=os.urandom(16),
        valid=term,
        cluster=cluster,
    )


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings[:LINES_SHOWN]:
        say(f"warning: {warning}")
    if len(warnings) > LINES_SHOWN:
        say(f"and {len(warnings) - LINES_SHOWN} more warnings; --json lists all")


def _report(files: JobFiles, target: Path, bundle_id: BundleId | None) -> dict[str, Any]:
    taken = [
        {"name": file.name, "size": file.size, "executable": file.executable, "why": file.why}
        for file in files.files
    ]
    left = {"left_out": files.left_out, "warnings": files.warnings}
    return {"bundle": target, "id": bundle_id, "files": taken, **left}


def _tell(files: JobFiles, target: Path) -> None:
    """Say what was taken and why, and what was not: nothing is left out silently."""
    say(f"{target}: {len(files.files)} files, {files.size} bytes, {files.descriptor.tasks} tasks")
    by_reason: dict[str, list[str]] = {}
    for file in files.files:
        by_reason.setdefault(file.why, []).append(file.name)
    shown = list(by_reason.items())[:LINES_SHOWN]
    width = max(len(why) for why, _ in shown)
    for why, names in shown:
        say(f"  {why:{width}}  {_some(names)}")
    rest = sum(map(len, by_reason.values())) - sum(len(names) for _, names in shown)
    if rest:
        say(f"  and {rest} more files; --json names all")
    if files.left_out:
        say(f"left out: {_some(files.left_out)}")


def _some(names: Sequence[str]) -> str:
    more = len(names) - FILES_NAMED
    return ", ".join(names[:FILES_NAMED]) + (f" and {more} more" if more > 0 else "")
