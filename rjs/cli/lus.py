"""``rjs lus``: the lookup server of a LAN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from rjs.cli.console import json_option, print_json, print_table, say
from rjs.cli.server import certificate_words, clock_words, offer_words, run_server, state_folder, status_of


@click.command("run")
@state_folder
def run(folder: Path) -> int:
    """Run the lookup server until it is told to stop.

    Stop it with Ctrl-C or SIGTERM. Compute servers keep what they run and what they have to answer.

    \b
    Example:
      rjs lus run ~/rjs-lus
    """
    return run_server("lus", folder)


@click.command("status")
@state_folder
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show the compute servers that this lookup server knows.

    MFLOPS is what each states of itself; RANKED AS is less where its tasks took longer than that speed explains.
    SANDBOX is how well each confines jobs.

    \b
    Example:
      rjs lus status ~/rjs-lus
    """
    from rjs.identity.names import Role

    document = status_of(Role.LUS, folder)
    if as_json:
        print_json(document)
        return
    ws = document["ws"]
    how = "connected" if ws["connected"] else f"not connected: {ws['trouble']}"
    say(f"web server {', '.join(ws['addresses'])}: {how}")
    say(f"certificate {certificate_words(document['certificate'])}")
    say(f"clock: {clock_words(document['clock'])}")
    say(f"task leases: {document['leases']}, of them waiting: {document['waiting']}")
    columns = ["address", "mflops", "ranked_mflops", "state", "age_ms", "name", "sandbox", "offer", "task"]
    headings = [
        "ADDRESS",
        "MFLOPS",
        "RANKED AS",
        "STATE",
        "AGE ms",
        "NAME",
        "SANDBOX",
        "OFFERS",
        "RUNNING TASK",
    ]
    rows = [{**server, **_offered(server["offer"])} for server in document["servers"]]
    print_table(headings, [[row[column] for column in columns] for row in rows])


def _offered(offer: Mapping[str, Any]) -> dict[str, str]:
    """The cells of the table that are about what a compute server offers."""
    return {"offer": offer_words(offer), "sandbox": offer.get("sandbox") or "none"}
