"""``rjs cs``: the compute server of a desktop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from rjs.cli.console import json_option, print_json, print_table, safe_text
from rjs.cli.server import (
    certificate_words,
    clock_words,
    network_words,
    offer_words,
    run_server,
    state_folder,
    status_of,
)
from rjs.limits import MIB


@click.command("run")
@state_folder
def run(folder: Path) -> int:
    """Run the compute server until it is told to stop.

    Stop it with Ctrl-C or SIGTERM: the running task goes back and every process of it ends.

    \b
    Example:
      rjs cs run ~/rjs-cs
    """
    return run_server("cs", folder)


@click.command("status")
@state_folder
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show what this compute server is doing.

    \b
    Example:
      rjs cs status ~/rjs-cs
    """
    from rjs.identity.names import Role

    document = status_of(Role.CS, folder)
    if as_json:
        print_json(document)
        return
    refused, aside = document.pop("refused"), document.pop("quarantine", [])  # a server of before an upgrade
    document["offer"] = offer_words(document["offer"])
    document["certificate"] = certificate_words(document["certificate"])
    document["clock"] = clock_words(document["clock"])
    document["revocations"] = _revocations(document["revocations"])
    document["disk"] = document["disk"]["sentence"] or f"{document['disk']['free'] // MIB:,} MiB free"
    document["network"] = network_words(document.get("network", {}))
    document["lacking"] = "; ".join(document.get("lacking", ())) or None
    luses = document["lookup_servers"].items()
    document["lookup_servers"] = "; ".join(f"{each}: {said or 'no trouble'}" for each, said in luses) or None
    rows = [[key.replace("_", " "), _words(value)] for key, value in document.items() if key != "boot"]
    print_table(["COMPUTE SERVER", ""], rows)
    if refused:
        click.echo("\nrefused lately:")
    for each in refused:
        whose = f", signed by {each['signer']}" if each["signer"] else ""
        click.echo(safe_text(f"{each['when']}  job {each['job'][:16]} ({each['name']}){whose}"))
        click.echo(safe_text(f"  {each['code']}: {each['sentence']}"))
    if aside:
        click.echo(
            safe_text(f"\n{len(aside)} set aside as damaged, in clusters/*/quarantine/ below {folder}:")
        )
    for each in aside:
        click.echo(safe_text(f"{each['what']}: {each['why'] or 'nobody wrote down why'}"))


def _revocations(told: dict[str, Any]) -> str:
    if not told["number"]:
        return "no list has come yet"
    stale = ", which is stale: nothing new starts" if told["stale"] else ""
    return f"list {told['number']} with {told['entries']} entries, good until {told['until']}{stale}"


def _words(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)
