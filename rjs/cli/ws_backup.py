"""``rjs ws backup`` and ``rjs ws restore``."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.group import role_entry
from rjs.cli.server import state_folder
from rjs.sizes import size_text

_file = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))


@click.command("backup")
@state_folder
@_file
@json_option
def backup(folder: Path, file: Path, as_json: bool) -> None:
    """Write all that the web server must not lose to FILE.

    The server may run meanwhile. FILE holds secret keys: keep it as you keep those. Users' homes, with their answers,
    are not in it: back them up as any other files, after this.

    \b
    Example:
      rjs ws backup ~/rjs-ws /mnt/backup/rjs-ws.tar
    """
    contents = role_entry("ws.backup")(folder, file)
    size = sum(entry.size for entry in contents.entries)
    if as_json:
        made = dt.datetime.fromtimestamp(contents.made, dt.UTC)
        print_json({"cluster": contents.cluster, "made": made, "files": len(contents.entries), "size": size})
        return
    say(f"wrote {len(contents.entries)} files, {size_text(size)}, to {file}")


@click.command("restore")
@state_folder
@_file
@json_option
def restore(folder: Path, file: Path, as_json: bool) -> None:
    """Make DIR the web server that the backup FILE is of.

    DIR is new, or the state folder of this very web server, stopped; what it has is put aside in it. Restore the
    users' homes first, if they were lost too: answers that lie in them need not be computed again.

    \b
    Example:
      rjs ws restore ~/rjs-ws /mnt/backup/rjs-ws.tar
    """
    restored = role_entry("ws.restore")(folder, file, dt.datetime.now(dt.UTC))
    made = dt.datetime.fromtimestamp(restored.contents.made, dt.UTC)
    if as_json:
        print_json({
            "cluster": restored.contents.cluster, "made": made, "generation": restored.generation,
            "jobs": restored.jobs, "found": restored.found, "lost": restored.lost,
            "aside": None if restored.aside is None else str(restored.aside),
        })  # fmt: skip
        return
    say(f"restored the web server of cluster {restored.contents.cluster} as of {made:%Y-%m-%d %H:%M:%S}Z")
    say(f"{restored.jobs} jobs go on; {restored.found} answers that came later were found in ans/")
    if restored.lost:
        say(f"{restored.lost} answers are nowhere any more: their tasks are computed again")
    if restored.aside is not None:
        say(f"what was there before is in {restored.aside}")
    say("who joined, and what was submitted, after that time is not known: join and submit again")
    say(f"next: rjs ws run {folder}")
