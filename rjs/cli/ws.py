"""``rjs ws``: the web server, which holds homes, jobs and answers."""

from __future__ import annotations

from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.group import role_entry
from rjs.cli.options import wrong_usage
from rjs.cli.passphrases import Passphrases, passphrase_option
from rjs.cli.server import run_server, state_folder


@click.command("init")
@state_folder
@click.option("--ca", "cadir", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              metavar="CADIR", help="The operator's folder, which certifies this web server.")  # fmt: skip
@click.option("--name", help="Its name for people [this machine's].")
@click.option("--address", "addresses", multiple=True, metavar="HOST:PORT",
              help="Where members reach it [this machine's name and the port].")  # fmt: skip
@click.option("--listen", default="", metavar="ADDRESS", help="Address to listen on [every one].")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="TCP port to listen on [that of --address, else 9000]."
)
@passphrase_option
@json_option
def init(
    folder: Path,
    cadir: Path,
    name: str | None,
    addresses: tuple[str, ...],
    listen: str,
    port: int | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Found a web server in a new state folder.

    \b
    Example:
      rjs ws init ~/rjs-ws --ca ~/rjs-ca --address cluster.example.org:9000
    """
    with wrong_usage("identity.address"):
        member = role_entry("ws.init")(
            folder, cadir, name=name or "", addresses=addresses, listen=listen, port=port,
            ask=Passphrases(passphrase_file),
        )  # fmt: skip
    if as_json:
        print_json({"name": member.name.uri(), "cluster": member.cluster, "addresses": member.ws})
        return
    say(f"founded the web server {member.common_name} of cluster {member.cluster} in {folder}")
    if port is not None and not any(address.endswith(f":{port}") for address in member.ws):
        say(f"it listens on port {port}, and is to be reached at {', '.join(member.ws)}: forward that to it")
    say(f"next: rjs ws run {folder}")
    say(f"then: rjs ca invite {cadir} --ws {member.ws[0]} --role lus")


@click.command("run")
@state_folder
def run(folder: Path) -> int:
    """Run the web server until it is told to stop.

    Stop it with Ctrl-C or SIGTERM. What it accepted survives any end.

    \b
    Example:
      rjs ws run ~/rjs-ws
    """
    return run_server("ws", folder)
