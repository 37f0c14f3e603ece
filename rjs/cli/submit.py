"""``rjs submit``: a job goes to the cluster."""

from __future__ import annotations

import os
import re
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.group import person_folder


@click.command("submit")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--tasks", type=click.IntRange(1), help="Tasks of a script [1]; a folder says it in job.toml.")
@click.option("--name", help="Name of a script's job [the script's]; a folder says it in job.toml.")
@json_option
def command(path: Path, tasks: int | None, name: str | None, as_json: bool) -> None:
    """Send a job to the cluster.

    PATH is a signed bundle (a .jar file), a folder with a job.toml, or a Python script. A folder or script is packed
    and signed with your key each time, so that it can be sent again and again. Prints the job's id.

    \b
    Example:
      rjs submit mandelbrot.jar
      rjs submit simulate.py --tasks 100
    """
    if path.suffix == ".jar" and path.is_file():
        if tasks is not None or name is not None:
            raise click.UsageError("--tasks and --name are for a script; a bundle is signed already")
        job, count = _send(path, path.name)
    else:
        if path.is_dir() and (tasks is not None or name is not None):
            raise click.UsageError("--tasks and --name are for a script; a folder says both in its job.toml")
        job, count = _pack_and_send(path, tasks or 1, name)
    if as_json:
        print_json({"job": job, "tasks": count})
        return
    say(f"accepted: {count} tasks; watch it with: rjs status {job[:16]}")
    click.echo(job)


def _pack_and_send(path: Path, tasks: int, name: str | None) -> tuple[str, int]:
    from rjs.packing import gather, write_signed
    from rjs.state import signing_identity

    signer = signing_identity(person_folder())
    files = gather(path, tasks=tasks, name=name)
    for warning in files.warnings:
        say(f"warning: {warning}")
    with tempfile.TemporaryDirectory(prefix="rjs-") as folder:
        bundle = Path(folder) / "job.jar"
        job = write_signed(
            files, bundle, key=signer.key, chain=signer.chain, now=datetime.now(UTC), nonce=os.urandom(16),
            valid=timedelta(days=30),
        )  # fmt: skip
        return _send(bundle, _file_name(path, job))


def _file_name(path: Path, job: str) -> str:
    """A name in ``jobs/`` of this job's own, so that its status file is too."""
    stem = path.resolve().stem if path.is_file() else path.resolve().name
    plain = re.sub(r"[^A-Za-z0-9._+@-]", "_", stem).lstrip("._+@-")[:80]
    return f"{plain or 'job'}-{job[:8]}.jar"


def _send(bundle: Path, name: str) -> tuple[str, int]:
    from rjs.client import run_client, submit
    from rjs.identity.folder import IdentityFolder
    from rjs.state import sole_cluster

    identity = IdentityFolder(sole_cluster(person_folder()) / "identity")
    accepted = run_client(lambda reactor: submit(reactor, identity, bundle, name))
    return accepted.job, accepted.tasks
