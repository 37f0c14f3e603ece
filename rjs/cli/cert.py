"""``rjs cert``: a person's or a server's certificates. They renew themselves; this shows it, and does it at once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.console import json_option, print_json, print_table, say
from rjs.cli.group import person_folder
from rjs.cli.passphrases import Passphrases, passphrase_option
from rjs.cli.reach import reach_of

if TYPE_CHECKING:
    from rjs.identity.folder import IdentityFolder
    from rjs.identity.held import Held

some_folder = click.argument(
    "folder", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)


def _identity(folder: Path | None) -> IdentityFolder:
    from rjs.identity.folder import IdentityFolder
    from rjs.state import sole_cluster

    return IdentityFolder(sole_cluster(folder or person_folder()) / "identity")


def _facts(held: Held, now: datetime) -> dict[str, Any]:
    """What ``--json`` says of one certificate."""
    from rjs.identity.invitation import serial_of
    from rjs.identity.keys import spki_digest

    return {
        "what": held.what,
        "subject": held.leaf.subject.rfc4514_string(),
        "issuer": held.leaf.issuer.rfc4514_string(),
        "serial": serial_of(held.leaf),
        "key": spki_digest(held.leaf),
        "from": held.leaf.not_valid_before_utc.isoformat(),
        "until": held.leaf.not_valid_after_utc.isoformat(),
        "seconds_left": round(held.left(now).total_seconds()),
        "advice": held.advice(now),
        "file": str(held.path),
    }


def _day(held: Held) -> str:
    return f"{held.leaf.not_valid_after_utc:%Y-%m-%d %H:%M}Z"


def _ends(held: Held, now: datetime) -> str:
    """How long it is still good; what ends soon and needs somebody says so."""
    from rjs.identity.held import span

    mark = "ENDED " if held.left(now).total_seconds() <= 0 else "SOON: " if held.is_due(now) else ""
    return f"{mark}{span(held.left(now))}"


@click.command("list")
@some_folder
@json_option
def list_held(folder: Path | None, as_json: bool) -> None:
    """List your certificates, or a server's, and when they end.

    DIR is a server's state folder; without it, your own are listed.

    \b
    Example:
      rjs cert list
      rjs cert list ~/rjs-cs
    """
    from rjs.identity.held import held_in

    identity, now = _identity(folder), datetime.now(UTC)
    name = identity.member().name.uri()
    found = held_in(identity)
    if as_json:
        print_json({"name": name, "certificates": [_facts(each, now) for each in found]})
        return
    rows = [[each.what, _day(each), _ends(each, now), each.advice(now) or None] for each in found]
    say(f"certificates of {name}")
    print_table(["CERTIFICATE", "UNTIL", "ENDS", "NOTE"], rows)


@click.command("show")
@click.argument(
    "what", type=click.Choice(["token", "answer", "signing", "encryption", "intermediate", "record", "root"])
)
@some_folder
@json_option
def show(what: str, folder: Path | None, as_json: bool) -> None:
    """Show one certificate in full.

    \b
    Example:
      rjs cert show token
      rjs cert show answer ~/rjs-cs
    """
    from rjs.errors import ConfigError
    from rjs.identity.held import held_in

    identity = _identity(folder)
    held = next((each for each in held_in(identity) if each.what == what), None)
    if held is None:
        raise ConfigError(f"{identity.path} holds no {what} certificate; rjs cert list shows what it holds")
    facts = _facts(held, datetime.now(UTC))
    if as_json:
        print_json(facts)
        return
    rows = [[key.replace("_", " "), value] for key, value in facts.items() if key != "what"]
    print_table(["CERTIFICATE", what], rows)


@click.command("renew")
@some_folder
@passphrase_option
@json_option
def renew(folder: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Renew a token certificate now.

    A running server renews its own at two thirds of its life, and every rjs command yours; this is for a folder
    that was long unused, up to 30 days after its certificate ended. Where the web server cannot be reached, a lookup
    server carries the request; that of a compute server goes this way as long as its certificate is good.

    \b
    Example:
      rjs cert renew
      rjs cert renew ~/rjs-cs
    """
    from rjs.client import renew_alone, run_client
    from rjs.identity.held import span
    from rjs.state import StateFolder

    identity, ask = _identity(folder), Passphrases(passphrase_file)
    if folder is None:
        renewed = run_client(lambda reactor: renew_alone(reactor, identity, ask_passphrase=ask))
    else:
        with StateFolder.enter(
            folder
        ):  # or the running server, which renews by itself, would lose its session
            reach = reach_of(identity.member().role, folder)
            renewed = run_client(lambda reactor: renew_alone(reactor, identity, **reach, tell=say))
    until = renewed.chain[0].not_valid_after_utc
    if as_json:
        print_json({"name": identity.member().name.uri(), "until": until.isoformat()})
        return
    say(
        f"renewed: {identity.member().name.uri()} until {until:%Y-%m-%d %H:%M}Z, {span(until - datetime.now(UTC))}"
    )
