"""``rjs pack``: a folder, a script, Java classes or native executables become a signed bundle."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.console import json_option, print_json
from rjs.cli.gathering import gather_job, job_stem, report, tell
from rjs.cli.packing_options import Packing, packing_options
from rjs.cli.signing_options import Signing, signing_options

if TYPE_CHECKING:
    from rjs.ids import BundleId
    from rjs.packing import JobFiles


@click.command("pack")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="The bundle [PATH's name.jar]."
)
@click.option("--unsigned", is_flag=True, help="Leave the signing to rjs sign or jarsigner.")
@packing_options
@signing_options
@json_option
def command(
    path: Path, out: Path | None, unsigned: bool, packing: Packing, signing: Signing, as_json: bool
) -> None:
    """Make a signed bundle from a folder, a script, classes or executables.

    PATH is a folder with a job.toml, which is taken whole; one Python script, with the modules beside it that it
    imports; a folder of Java classes or a .jar, of which what the main class reaches is taken; with --entry-point,
    the command of an installed package; or, with --native, the job's name or a folder of files that go along. The
    bundle's id, by which the cluster knows the job, is printed on stdout; what was taken and why, what was left out,
    and warnings, on stderr.

    \b
    Example:
      rjs pack examples/mandelbrot -o mandelbrot.jar
      rjs pack simulate.py --tasks 100 --include 'data/*.csv'
      rjs pack simulate.py -r 'numpy>=2' --platform linux-x86_64 --platform linux-aarch64
      rjs pack build/classes --main-class org.example.Main --class-path lib/math.jar
      rjs pack simulate --native linux-x86_64=build/sim --native macos-aarch64=mac/sim
    """
    if unsigned and signing.names_signer:
        raise click.UsageError("--unsigned and a signer exclude each other")
    target = out or Path(f"{job_stem(path)}.jar")
    if path.is_file() and target.resolve() == path.resolve():
        raise click.UsageError(f"the bundle would take the place of {path}; name another file with --out")
    files = gather_job(path, packing, without=target, ask=signing.ask)
    bundle_id = _write(files, target, signing, unsigned)
    if as_json:
        print_json({"bundle": target, "id": bundle_id, **report(files)})
        return
    tell(files, str(target))
    if bundle_id is not None:
        click.echo(bundle_id)


def _write(files: JobFiles, target: Path, signing: Signing, unsigned: bool) -> BundleId | None:
    from rjs.packing import write_signed, write_unsigned

    now, term, nonce = datetime.now(UTC), timedelta(days=signing.days), os.urandom(16)
    if unsigned:
        write_unsigned(files, target, now=now, nonce=nonce, valid=term, cluster=signing.cluster_id)
        return None
    signer = signing.signer(now)
    return write_signed(
        files, target, key=signer.key, chain=signer.chain, now=now, nonce=nonce, valid=term,
        cluster=signing.cluster_id,
    )  # fmt: skip
