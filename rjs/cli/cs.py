"""``rjs cs``: the compute server of a desktop."""

from __future__ import annotations

from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, print_table
from rjs.cli.group import role_entry
from rjs.cli.ws import state_folder


@click.command("run")
@state_folder
def run(folder: Path) -> int:
    """Run the compute server until it is told to stop.

    Stop it with Ctrl-C or SIGTERM: the running task goes back and every process of it ends.

    \b
    Example:
      rjs cs run ~/rjs-cs
    """
    status = role_entry("cs.run")(folder)
    assert isinstance(status, int)
    return status


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
    from rjs.state import member_of
    from rjs.status import read_status

    member_of(folder, Role.CS)
    document = read_status(folder)
    if as_json:
        print_json(document)
        return
    rows = [[key.replace("_", " "), _words(value)] for key, value in document.items() if key != "boot"]
    print_table(["COMPUTE SERVER", ""], rows)


def _words(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else f"{value:.0f}" if isinstance(value, float) else str(value)
