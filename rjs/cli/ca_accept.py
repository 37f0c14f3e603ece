"""``rjs ca accept``, ``withdraw`` and ``accepted``: which other CAs' certificates make users."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.ca import operator_folder
from rjs.cli.certificates import one_certificate
from rjs.cli.console import counted, json_option, print_json, print_table, say
from rjs.cli.passphrases import Passphrases, passphrase_option
from rjs.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.identity.accepted_cas import Acceptance

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("accept")
@operator_folder
@click.argument("ca", metavar="CA.pem", type=_file)
@click.option("--accounts", required=True, metavar="FILE|email@DOMAIN",
              help="Whose certificate is whose: a table, or the rule LOCAL@DOMAIN is the account LOCAL.")  # fmt: skip
@click.option("--usage", type=click.Choice(["client", "email", "any"]), default="client", show_default=True,
              help="What the certificates must be for.")  # fmt: skip
@click.option(
    "--crl", type=_file, metavar="FILE", help="The CA's revocation list: what it names counts no more."
)
@passphrase_option
def accept(
    cadir: Path, ca: Path, accounts: str, usage: str, crl: Path | None, passphrase_file: Path | None
) -> None:
    """Accept another CA: who holds a certificate of it becomes a user.

    A line of the table is ACCOUNT subject SUBJECT (as RFC 4514 writes it) or ACCOUNT email ADDRESS. Said again of the
    same CA, this replaces what was said before. The statement goes into CADIR, and counts where `rjs ws accept` takes
    it, for a year.

    \b
    Example:
      rjs ca accept ~/rjs-ca university.pem --accounts table.txt
      rjs ca accept ~/rjs-ca university.pem --accounts email@uni.example.org
    """
    from rjs.identity.accepted_cas import AcceptedCa
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.foreign import Usage
    from rjs.identity.operator_acceptance import accept as state
    from rjs.identity.operator_acceptance import der_of, listings

    certificate, (table, domain) = one_certificate(ca), listings(accounts)
    if not table and not domain:
        raise UsageError(f"{accounts} lists no account")
    said = AcceptedCa(
        certificate=der_of(certificate),
        usage=Usage(usage),
        accounts=table,
        domain=domain,
        revoked=() if crl is None else _revoked(crl, certificate),
    )
    made = state(OperatorFolder.open(cadir, Passphrases(passphrase_file)), said, datetime.now(UTC))
    _tell(cadir, made)


@click.command("withdraw")
@operator_folder
@click.argument("fingerprint")
@passphrase_option
def withdraw(cadir: Path, fingerprint: str, passphrase_file: Path | None) -> None:
    """Accept another CA no more.

    FINGERPRINT is the SHA-256 of its certificate, or its first digits, as `rjs ca accepted` lists it. Tokens that
    were had by its certificates end within 48 hours; to end one at once, revoke its holder.

    \b
    Example:
      rjs ca withdraw ~/rjs-ca 5f1c
    """
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.operator_acceptance import withdraw as state

    operator = OperatorFolder.open(cadir, Passphrases(passphrase_file))
    _tell(cadir, state(operator, fingerprint, datetime.now(UTC)))


@click.command("accepted")
@operator_folder
@json_option
def accepted(cadir: Path, as_json: bool) -> None:
    """List the other CAs that are accepted.

    As the newest statement in this folder says; a web server goes by it once `rjs ws accept` took it.

    \b
    Example:
      rjs ca accepted ~/rjs-ca
    """
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.foreign import guest_name
    from rjs.identity.operator_acceptance import stated

    newest = stated(OperatorFolder.open(cadir))
    found = [] if newest is None else newest.authorities
    rows = [
        {
            "fingerprint": guest_name(ca).id,
            "subject": ca.subject.rfc4514_string(),
            "until": ca.not_valid_after_utc,
            "usage": said.usage.value,
            "accounts": [[each.account, each.by.value, each.what] for each in said.accounts],
            "domain": said.domain,
            "revoked": len(said.revoked),
        }
        for ca, said in found
    ]
    if as_json:
        until = None if newest is None else newest.until
        print_json({"number": 0 if newest is None else newest.number, "until": until, "cas": rows})
        return
    table = [
        [
            guest_name(ca).id[:16],
            ca.subject.rfc4514_string(),
            f"email@{said.domain}" if said.domain else counted(len(said.accounts), "certificate"),
            said.usage.value,
            len(said.revoked),
        ]
        for ca, said in found
    ]
    print_table(["CA", "SUBJECT", "ACCOUNTS", "USAGE", "REVOKED"], table)
    if newest is not None:
        say(f"statement {newest.number}, which counts until {newest.until:%Y-%m-%d}")


def _revoked(crl: Path, ca: x509.Certificate) -> tuple[str, ...]:
    """The serial numbers in a complete list by this CA. Raises UsageError for any other."""
    from rjs.bundle.crl import complete_serials, load_crls
    from rjs.files import read_small
    from rjs.limits import ACCEPTED_REVOKED, MAX_CRL_BYTES

    found = complete_serials(load_crls(read_small(crl, MAX_CRL_BYTES)), ca)
    if found is None:
        raise UsageError(f"{crl} holds no complete revocation list that this CA signed")
    if len(found) > ACCEPTED_REVOKED:
        raise UsageError(f"{crl} names {len(found)} certificates; a statement holds {ACCEPTED_REVOKED}")
    return tuple(f"{serial:x}" for serial in sorted(found))


def _tell(cadir: Path, made: Acceptance) -> None:
    from rjs.identity.accepted_file import ACCEPTED_CAS

    say(
        f"statement {made.number}: {counted(len(made.said.cas), 'other CA')} accepted until {made.until:%Y-%m-%d}"
    )
    say(f"next: rjs ws accept DIR {cadir / ACCEPTED_CAS}")
