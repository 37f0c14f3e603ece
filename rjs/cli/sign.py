"""``rjs sign``: a JAR that exists gets a new signature."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.signing_options import Signing, signing_options


@click.command("sign")
@click.argument("jar", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
              help="The signed JAR [JAR itself].")  # fmt: skip
@click.option("--job", is_flag=True, help="It is a job: state its name, a fresh nonce and its period.")
@signing_options
@json_option
def command(jar: Path, out: Path | None, job: bool, signing: Signing, as_json: bool) -> None:
    """Sign a JAR that exists.

    Files stay as they are compressed, and the manifest's attributes are kept; older signatures go. What no verifier
    would accept, such as a Class-Path, is not signed. With --job the JAR must hold a job (a job.toml, a JNLP
    descriptor or a Main-Class); its id, by which the cluster knows the job, is printed on stdout.

    \b
    Example:
      rjs sign build/simulate.jar --job -o simulate.jar
      rjs sign library.jar --pkcs12 ada.p12
      rjs sign library.jar --key ada.key --certificate ada-chain.pem
    """
    if not job and (signing.valid is not None or signing.cluster is not None):
        raise click.UsageError("--valid and --cluster say when and where a job may run; add --job")
    from rjs.packing.resigned import JobTerm, sign_jar_file

    now = datetime.now(UTC)
    signer = signing.signer(now)
    term = JobTerm(timedelta(days=signing.days), signing.cluster_id) if job else None
    target = out or jar
    bundle_id = sign_jar_file(
        jar, target, key=signer.key, chain=signer.chain, now=now, nonce=os.urandom(16), term=term
    )
    if as_json:
        print_json({"jar": target, "id": bundle_id})
        return
    say(f"signed {target} as {signer.subject}")
    click.echo(bundle_id)
