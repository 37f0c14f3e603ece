"""``rjs submit``: a job goes to the cluster."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import click

from rjs.cli.console import counted, json_option, print_json, progress, say
from rjs.cli.gathering import gather_job, job_stem, report, tell
from rjs.cli.group import person_folder
from rjs.cli.packing_options import Packing, packing_options
from rjs.cli.signing_options import Signing, signing_options
from rjs.errors import RefusedError
from rjs.limits import KIB, MIB

if TYPE_CHECKING:
    from rjs.identity.folder import IdentityFolder

LARGE: Final = 8 * MIB
"""Bytes of a bundle whose upload is worth a progress bar: seconds, on a line to a home."""


@click.command("submit")
@click.argument("path", type=click.Path(path_type=Path))
@packing_options
@signing_options
@json_option
def command(path: Path, packing: Packing, signing: Signing, as_json: bool) -> None:
    """Send a job to the cluster.

    PATH is a signed bundle (a .jar file), which is sent as it is, or anything that rjs pack takes: that is packed and
    signed with your key each time, so that it can be sent again and again. Prints the job's id.

    \b
    Example:
      rjs submit mandelbrot.jar
      rjs submit simulate.py --tasks 100
      rjs submit classes --main-class org.example.Main --tasks 20
    """
    if _is_bundle(path, packing):
        if packing.given or signing.is_given:
            raise click.UsageError("the options are for packing and signing; this bundle is signed already")
        sent = _send(path, path.name, _id_of(path))
        said: dict[str, object] = {}
    else:
        sent, said = _pack_and_send(path, packing, signing, as_json)
    if as_json:
        print_json({"job": sent.job, "tasks": sent.tasks, "known": bool(sent.known_as), **said})
        return
    watch = f"watch it with: rjs status {sent.job[:16]}"
    if sent.known_as:
        say(f"known already, and {sent.known_as}: {watch}")
        say(f"to run it again, sign it anew: rjs sign {shlex.quote(str(path))} --job")
    else:
        say(f"accepted: {counted(sent.tasks, 'task')}; {watch}")
    click.echo(sent.job)


@attrs.frozen
class _Sent:
    """A job at the web server; ``known_as``: its state, if it had been there before."""

    job: str
    tasks: int
    known_as: str = ""


def _id_of(path: Path) -> str:
    """The id of the bundle; empty for what is none, which the web server is to refuse."""
    from rjs.bundle.verify import open_bundle

    try:
        with path.open("rb") as file:
            return open_bundle(file, at=datetime.now(UTC)).bundle_id
    except RefusedError:
        return ""


def _is_bundle(path: Path, packing: Packing) -> bool:
    """Whether ``path`` is sent as it is: a JAR, unless options say to pack its classes."""
    return path.suffix == ".jar" and path.is_file() and not (packing.main_class or packing.class_path)


def _pack_and_send(
    path: Path, packing: Packing, signing: Signing, as_json: bool
) -> tuple[_Sent, dict[str, object]]:
    from rjs.packing import write_signed

    now = datetime.now(UTC)
    signer = signing.signer(now)
    files = gather_job(path, packing, ask=signing.ask)
    if not as_json:
        tell(files, str(path))
    with tempfile.TemporaryDirectory(prefix="rjs-") as folder:
        bundle = Path(folder) / "job.jar"
        job = write_signed(
            files, bundle, key=signer.key, chain=signer.chain, now=now, nonce=os.urandom(16),
            valid=timedelta(days=signing.days), cluster=signing.cluster_id,
        )  # fmt: skip
        return _send(bundle, _file_name(path, job)), report(files)


def _file_name(path: Path, job: str) -> str:
    """A name in ``jobs/`` of this job's own, so that its status file is too."""
    plain = re.sub(r"[^A-Za-z0-9._+@-]", "_", job_stem(path)).lstrip("._+@-")[:80]
    return f"{plain or 'job'}-{job[:8]}.jar"


def _send(bundle: Path, name: str, job: str = "") -> _Sent:
    from rjs.identity.folder import IdentityFolder
    from rjs.state import sole_cluster

    identity = IdentityFolder(sole_cluster(person_folder()) / "identity")
    size = bundle.stat().st_size
    if size < LARGE:
        return _sent(identity, bundle, name, None, job)
    with progress("uploading (KiB)", size // KIB) as told:
        return _sent(identity, bundle, name, lambda sent: told(sent // KIB), job)


def _sent(
    identity: IdentityFolder, bundle: Path, name: str, told: Callable[[int], None] | None, job: str
) -> _Sent:
    from rjs.client import run_client, submit
    from rjs.wire.messages import JobShown

    reply = run_client(lambda reactor: submit(reactor, identity, bundle, name, told, job))
    if isinstance(reply, JobShown):
        return _Sent(reply.job.job, reply.job.tasks, reply.job.state)
    return _Sent(reply.job, reply.tasks)
