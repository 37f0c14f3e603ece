"""``rjs revoke``: an admin revokes a member, a signer or a certificate from anywhere."""

from __future__ import annotations

import click

from rjs.cli.console import say
from rjs.cli.revoking import meant, whom_options


@click.command("revoke")
@whom_options
def command(member: str | None, signer: str | None, certificate: str | None, reason: str) -> None:
    """Revoke a member, a signer or a certificate, as an admin.

    ID is a member: ROLE/ID, its id alone, or the name that it is called by. All that was certified to it counts no
    more, within seconds and for ever; a new invitation makes a new member.

    \b
    Example:
      rjs revoke desk-7 --reason "its disk was stolen"
      rjs revoke --signer 5f1c...
    """
    from rjs.cli.ask import ask
    from rjs.identity.revocation import What
    from rjs.wire import messages as m

    what, whom = meant(member, signer, certificate, reason)
    ask(m.AdminRevoke(what=What(what), id=whom, reason=reason), m.Done)
    say(f"revoked {what} {whom}")
