"""``rjs ca``: the operator's folder with the organisation root. It may be on a machine without a network.

What is issued is recorded before it is handed out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.console import json_option, print_json, print_table, say
from rjs.cli.passphrases import (
    Passphrases,
    new_passphrase,
    new_passphrase_option,
    passphrase_option,
    replacement,
)

if TYPE_CHECKING:
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.succession import SuccessionRequest

_CERTIFICATES = {"signing key": "signing.pem", "encryption key": "encryption.pem"}
"""What a certificate is called beside the request that it was made of."""

ROLES = ("lus", "cs", "user", "admin")

operator_folder = click.argument("cadir", type=click.Path(file_okay=False, path_type=Path))


@click.command("init")
@operator_folder
@click.option("--organisation", metavar="NAME", help="The organisation's name [the folder's name].")
@click.option("--passphrase", "protect", is_flag=True, help="Ask for a passphrase that protects the keys.")
@click.option("--passphrase-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Protect the keys with the passphrase in this file.")  # fmt: skip
@json_option
def init(
    cadir: Path, organisation: str | None, protect: bool, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make an operator's folder with a new organisation root.

    Whoever has this folder, and its passphrase where it has one, can invite members and certify signing keys. Keep it
    off the network and back it up. It works wherever it lies: on another machine, on a stick.

    \b
    Example:
      rjs ca init ~/rjs-ca --organisation "Institute of Physics"
      rjs ca init ~/rjs-ca --passphrase
    """
    from rjs.identity.ca import OperatorFolder

    passphrase = new_passphrase(passphrase_file, "--passphrase-file") if protect or passphrase_file else None
    operator = OperatorFolder.create(
        cadir, organisation or cadir.resolve().name, datetime.now(UTC), passphrase
    )
    if as_json:
        root = operator.path / "root.pem"
        print_json({"organisation": operator.organisation, "cluster": operator.cluster, "root": root})
        return
    say(f"made the root of {operator.organisation} in {cadir}; its cluster is {operator.cluster}")
    say(f"next: rjs ws init DIR --ca {cadir}")


@click.command("invite")
@operator_folder
@click.option("--ws", required=True, multiple=True, metavar="HOST:PORT", help="Where the web server is.")
@click.option("--lus", multiple=True, metavar="HOST:PORT",
              help="Where a lookup server is, for whoever cannot reach the web server.")  # fmt: skip
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the invited become.")
@click.option(
    "--name", help="The account of a person, or a label for a server, numbered where there are several."
)
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Servers only.")
@passphrase_option
@json_option
def invite(
    cadir: Path,
    ws: tuple[str, ...],
    lus: tuple[str, ...],
    role: str,
    name: str | None,
    count: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Write invitations, each one line and good for one use.

    Whoever holds the line can use it, once, within a week: hand it over on a way that nobody else reads.

    \b
    Example:
      rjs ca invite ~/rjs-ca --ws cluster.example.org:9000 --role user --name ada
      rjs ca invite ~/rjs-ca --ws cluster.example.org:9000 --role cs --count 20
      rjs ca invite ~/rjs-ca --ws ws.example.org:9000 --lus 10.0.7.2:9001 --role cs
    """
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.issued import issued_invitation, record_issued
    from rjs.identity.names import SERVERS, Role

    if Role(role) not in SERVERS and (name is None or count > 1):
        raise click.UsageError(f"an invitation as {role} is for one person: give --name, and no --count")
    authority = OperatorFolder.open(cadir, Passphrases(passphrase_file)).enrolment()
    now = datetime.now(UTC)
    labels = [f"{name}-{number}" for number in range(1, count + 1)] if name and count > 1 else [name] * count
    made = [authority.invite(Role(role), label, ws=ws, now=now, lus=lus) for label in labels]
    record_issued(cadir, [issued_invitation(each, now) for each in made])
    if as_json:
        print_json(
            [
                {"invitation": each.encode(), "member": each.subject.uri(), "expires": each.name.expires}
                for each in made
            ]
        )
        return
    for each in made:
        click.echo(each.encode())
    say(f"good until {made[0].name.expires:%Y-%m-%d %H:%M} UTC; the invited run: rjs join INVITATION")


@click.command("issue")
@operator_folder
@click.argument("request", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path),
              help="The certificate [signing.pem or encryption.pem beside REQUEST].")  # fmt: skip
@passphrase_option
@json_option
def issue(cadir: Path, request: Path, out: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Certify a person's signing or encryption key, or a web server for another year.

    REQUEST is the signing-request.pem or encryption-request.pem that `rjs join` made for that person. By this the
    operator vouches that the key is theirs. The certificate goes into the same folder as the request came from, as
    signing.pem or encryption.pem. Of the request that `rjs ws request` made, it makes ws-certificates.pem.

    \b
    Example:
      rjs ca issue ~/rjs-ca signing-request.pem
    """
    from rjs.files import read_small
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.certificates import common_name_of
    from rjs.identity.issued import issued_to_person, record_issued
    from rjs.identity.keys import save_chain, spki_digest
    from rjs.identity.succession import read_request_file
    from rjs.limits import IDENTITY_FILE

    now, data = datetime.now(UTC), read_small(request, IDENTITY_FILE)
    operator = OperatorFolder.open(cadir, Passphrases(passphrase_file))
    succession = read_request_file(data)
    if succession is not None:
        _issue_to_web_server(operator, succession, out or request.with_name("ws-certificates.pem"))
        return
    chain = operator.issue(data, now)
    issued = issued_to_person(chain[0], now)
    record_issued(cadir, [issued])
    target = out or request.with_name(_CERTIFICATES[issued.kind])
    save_chain(target, chain)
    account, key, until = common_name_of(chain[0]), spki_digest(chain[0]), chain[0].not_valid_after_utc
    if as_json:
        print_json(
            {"account": account, "what": issued.kind, "key": key, "not_after": until, "certificate": target}
        )
        return
    say(f"certified the {issued.kind} {key} of {account} until {until:%Y-%m-%d}: {target}")


def _issue_to_web_server(operator: OperatorFolder, request: SuccessionRequest, out: Path) -> None:
    """Certify a web server's next token intermediate and record key."""
    from rjs.identity.issued import issued_to_authority, record_issued
    from rjs.identity.keys import save_chain, spki_digest
    from rjs.identity.succession import certify_successors

    now = datetime.now(UTC)
    chain = certify_successors(operator, request, now)
    record_issued(operator.path, issued_to_authority(chain, now))
    save_chain(out, chain)
    keys = ", ".join(spki_digest(each)[:16] for each in chain[:2])
    say(f"certified the keys {keys} of the web server until {chain[0].not_valid_after_utc:%Y-%m-%d}: {out}")
    say(f"next: rjs ws certify DIR {out}")


@click.command("passphrase")
@operator_folder
@passphrase_option
@new_passphrase_option
@click.option("--none", "unprotected", is_flag=True, help="Protect the keys no more.")
def passphrase(
    cadir: Path, passphrase_file: Path | None, new_passphrase_file: Path | None, unprotected: bool
) -> None:
    """Change the passphrase of the operator's keys, set one, or take it off.

    It is for root and enrolment key together. If this is interrupted, both have the old one or both have the new one.

    \b
    Example:
      rjs ca passphrase ~/rjs-ca
    """
    from rjs.identity.ca import OperatorFolder

    operator = OperatorFolder.open(cadir, Passphrases(passphrase_file))
    operator.change_passphrase(lambda: replacement(new_passphrase_file, unprotected))
    what = "took the passphrase off" if unprotected else "changed the passphrase of"
    say(f"{what} the keys in {cadir}")


@click.command("list")
@operator_folder
@json_option
def list_issued(cadir: Path, as_json: bool) -> None:
    """List what `rjs ca` has issued from this folder.

    Invitations and certificates of people's keys, oldest first. Whether an invitation was used, the web server knows.

    \b
    Example:
      rjs ca list ~/rjs-ca
    """
    import msgspec

    from rjs.identity.ca import OperatorFolder
    from rjs.identity.issued import read_issued

    issued = read_issued(OperatorFolder.open(cadir).path)
    if as_json:
        print_json([msgspec.to_builtins(each) for each in issued])
        return
    columns = ["when", "what", "for", "serial", "until"]
    form = "%Y-%m-%d %H:%M"
    rows = [[f"{e.when:{form}}", e.kind, e.name, e.serial, f"{e.until:{form}}"] for e in issued]
    print_table(columns, rows)
