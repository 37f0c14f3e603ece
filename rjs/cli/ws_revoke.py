"""``rjs ws revoke`` and ``rjs ws revoked``: what counts no more in this web server's cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.revoking import meant, whom_options
from rjs.cli.server import state_folder

if TYPE_CHECKING:
    from rjs.operator_orders import RevocationOrder


@click.command("revoke")
@state_folder
@whom_options
def revoke(
    folder: Path, member: str | None, signer: str | None, certificate: str | None, reason: str
) -> None:
    """Revoke a member, a signer or a certificate.

    ID is a member: ROLE/ID, its id alone, or the name that it is called by. All that was certified to it counts no
    more, within seconds and for ever; a new invitation makes a new member. A web server that does not run does it
    when it starts.

    \b
    Example:
      rjs ws revoke ~/rjs-ws desk-7 --reason "its disk was stolen"
      rjs ws revoke ~/rjs-ws --signer 5f1c...
    """
    from rjs.identity.names import Role
    from rjs.identity.revocation import What
    from rjs.operator_orders import RevocationOrder
    from rjs.state import member_of

    member_of(folder, Role.WS)
    what, whom = meant(member, signer, certificate, reason)
    followed = _ordered(folder, RevocationOrder(What(what), whom, reason))
    say(f"revoked {what} {whom}" if followed else f"{what} {whom} is revoked as soon as the web server runs")


def _ordered(folder: Path, order: RevocationOrder) -> bool:
    from rjs.operator_orders import revocation_orders
    from rjs.orders import ORDERS, followed
    from rjs.state import private_folder, sole_cluster

    return followed(folder, revocation_orders(private_folder(sole_cluster(folder) / ORDERS)).place(order))


@click.command("revoked")
@state_folder
@json_option
def revoked(folder: Path, as_json: bool) -> None:
    """List what is revoked.

    Of any server's state folder: the list that this server goes by.

    \b
    Example:
      rjs ws revoked ~/rjs-ws
    """

    from rjs.identity.folder import IdentityFolder
    from rjs.identity.revocation_file import REVOCATIONS, kept_revocations
    from rjs.state import sole_cluster

    cluster = sole_cluster(folder)
    newest = kept_revocations(cluster / REVOCATIONS, IdentityFolder(cluster / "identity").root())
    entries = () if newest is None else newest.said.entries
    if as_json:
        number = 0 if newest is None else newest.number
        until = None if newest is None else newest.until
        shown = [
            {"what": each.what, "id": each.id, "when": _time(each.when), "reason": each.reason}
            for each in entries
        ]
        print_json({"number": number, "until": until, "entries": shown})
        return
    for each in entries:
        click.echo(f"{_time(each.when):%Y-%m-%d %H:%M}Z  {each.what:11}  {each.id}  {each.reason}".rstrip())
    if newest is None:
        say("no list of what is revoked has come here yet")
    else:
        say(f"list {newest.number}, good until {newest.until:%Y-%m-%d %H:%M}Z")


def _time(when: float) -> datetime:
    return datetime.fromtimestamp(when, UTC)
