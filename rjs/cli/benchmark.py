"""``rjs benchmark``: the figure by which compute servers are ordered, measured here and now."""

from __future__ import annotations

import click

from rjs.cli.console import json_option, print_json, print_table
from rjs.cli.group import role_entry


@click.command("benchmark")
@json_option
def command(as_json: bool) -> None:
    """Measure this machine's speed with Linpack.

    Solves a dense linear system on one core, checks the result, and takes about three seconds.

    \b
    Example:
      rjs benchmark --json
    """
    import msgspec

    record = msgspec.to_builtins(role_entry("cs.benchmark")())
    if as_json:
        print_json(record)
        return
    print_table(["Linpack", ""], list(record.items()))
