"""``rjs cert add``: sign jobs with a key of another CA as well."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.group import person_folder
from rjs.cli.passphrases import Passphrases, passphrase_option
from rjs.cli.signing_options import Signing

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("add")
@click.option("--key", type=_file, metavar="FILE", help="The key, PEM; with --certificate.")
@click.option(
    "--certificate",
    type=_file,
    metavar="FILE",
    help="Its certificate with those of its CAs, PEM; with --key.",
)
@click.option("--pkcs12", type=_file, metavar="FILE", help="Key and certificates in one PKCS #12 file.")
@passphrase_option
@json_option
def command(
    key: Path | None,
    certificate: Path | None,
    pkcs12: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Have your account list another signing key.

    The web server takes jobs only of signers whom the uploader's account lists. A key of any CA may be one: it proves
    itself here by a signature. Owners decide about it as about every signer.

    \b
    Example:
      rjs cert add --pkcs12 codesigning.p12
      rjs cert add --key code.key --certificate code.pem
    """
    from rjs.bundle.verify import spki_of
    from rjs.client import run_client, with_own_ws
    from rjs.listing import ask_listing
    from rjs.state import person_identity
    from rjs.wire import messages as m
    from rjs.wire.session import Session

    signing = Signing(None, key, certificate, pkcs12, passphrase_file, None, None)
    signing.check()
    if not signing.names_signer:
        raise click.UsageError("name the key: --pkcs12 FILE, or --key FILE with --certificate FILE")
    now = datetime.now(UTC)
    signer, folder = signing.signer(now), person_identity(person_folder())
    member = folder.member()
    request = ask_listing(signer, member.cluster, member.id, now)

    async def ask(session: Session) -> None:
        await session.request(m.AccountSigner(request=request), m.Done)

    run_client(
        lambda reactor: with_own_ws(
            reactor, folder, ask, tell=say, ask_passphrase=Passphrases(passphrase_file)
        )
    )
    if as_json:
        print_json({"account": member.id, "key": spki_of(signer.chain[0]), "subject": signer.subject})
        return
    say(
        f"the account {member.id} lists {signer.subject} now; owners trust it with: rjs trust add CERTIFICATE"
    )
