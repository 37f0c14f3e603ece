"""``rjs completion``: the script with which a shell completes ``rjs``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes rjs in your shell.

    \b
    Example:
      rjs completion bash > ~/.local/share/bash-completion/completions/rjs
    """
    completion = get_completion_class(shell)
    assert completion is not None, "click knows the three shells above"
    click.echo(completion(ctx.find_root().command, {}, "rjs", "_RJS_COMPLETE").source())
