"""The root command: finds the others through the table, imports the one that is called, explains failures.

Start-up is a promise (``rjs --help`` < 150 ms), so nothing but click and the standard library is imported at
the top. This module knows no role: the parts of a server are reached by name through ``role_entry``.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click

from rjs import __version__
from rjs.cli.commands import COMMANDS, Branch, Leaf
from rjs.cli.failure import explain


class LazyGroup(click.Group):
    """A group whose help comes from a table; a command is imported only when it is called or completed."""

    def __init__(self, table: Mapping[str, Leaf | Branch], **settings: Any) -> None:
        super().__init__(**settings)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Give the names in the table's order, which is the order in which people meet them."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name, or answer None where the table has none."""
        row = self.table.get(cmd_name)
        if row is None:
            return None
        if isinstance(row, Branch):
            return LazyGroup(row.table, name=cmd_name, help=row.summary)
        module, _, attribute = row.location.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first argument names; a name that is nearly right is suggested."""
        name = args[0]
        if name in self.table or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, self.table, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else f" {ctx.command_path} --help lists them."
        raise click.UsageError(f"No such command '{name}'.{hint}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table's summaries; no command is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in self.table.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete names out of the table, options as click does."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=row.summary)
            for name, row in self.table.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="RJS_HOME",
    help="Your own folder of certificates, keys and known servers (or RJS_HOME).",
)
@click.version_option(__version__, prog_name="rjs", message="%(prog)s %(version)s")
def root(home: Path | None) -> None:
    """RJS turns the desktops that an organisation already owns into a compute cluster.

    \b
    Example:
      rjs demo
    """


def person_folder() -> Path:
    """Give the folder of the person who called the running command: --home, RJS_HOME, or the platform's."""
    from rjs.config import person_folder as choose

    return choose(click.get_current_context().find_root().params.get("home"))


def role_entry(name: str) -> Any:
    """``rjs.roles.role_entry``, imported when a command needs it."""
    from rjs.roles import role_entry as load

    return load(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line with ``arguments`` (the process's own by default) and give the exit status.

    A command that returns a number, or calls ``ctx.exit``, chose its status. Failures go to stderr.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name outside the locale's encoding still prints
    try:
        status = root.main(args=arguments, prog_name="rjs", standalone_mode=False)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return explain(error)
    return status if isinstance(status, int) else 0
