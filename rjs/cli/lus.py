"""``rjs lus``: the lookup server of a LAN."""

from __future__ import annotations

from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, print_table, say
from rjs.cli.group import role_entry
from rjs.cli.ws import state_folder


@click.command("run")
@state_folder
def run(folder: Path) -> int:
    """Run the lookup server until it is told to stop.

    Stop it with Ctrl-C or SIGTERM. Compute servers keep what they run and what they have to answer.

    \b
    Example:
      rjs lus run ~/rjs-lus
    """
    status = role_entry("lus.run")(folder)
    assert isinstance(status, int)
    return status


@click.command("status")
@state_folder
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show the compute servers that this lookup server knows.

    \b
    Example:
      rjs lus status ~/rjs-lus
    """
    from rjs.identity.names import Role
    from rjs.state import member_of
    from rjs.status import read_status

    member_of(folder, Role.LUS)
    document = read_status(folder)
    if as_json:
        print_json(document)
        return
    ws = document["ws"]
    how = "connected" if ws["connected"] else f"not connected: {ws['trouble']}"
    say(f"web server {', '.join(ws['addresses'])}: {how}")
    say(f"task leases: {document['leases']}, of them waiting: {document['waiting']}")
    columns = ["address", "mflops", "state", "age_ms", "name", "task"]
    headings = ["ADDRESS", "MFLOPS", "STATE", "AGE ms", "NAME", "RUNNING TASK"]
    print_table(headings, [[server[column] for column in columns] for server in document["servers"]])
