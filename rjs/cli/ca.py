"""``rjs ca``: the operator's folder with the organisation root. It may be on a machine without a network.

What is issued is recorded before it is handed out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from rjs.cli.console import json_option, print_json, print_table, say

ROLES = ("lus", "cs", "user", "admin")

operator_folder = click.argument("cadir", type=click.Path(file_okay=False, path_type=Path))


@click.command("init")
@operator_folder
@click.option("--organisation", metavar="NAME", help="The organisation's name [the folder's name].")
@json_option
def init(cadir: Path, organisation: str | None, as_json: bool) -> None:
    """Make an operator's folder with a new organisation root.

    Whoever has this folder can invite members and certify signing keys. Keep it off the network and back it up.

    \b
    Example:
      rjs ca init ~/rjs-ca --organisation "Institute of Physics"
    """
    from rjs.identity.ca import OperatorFolder

    operator = OperatorFolder.create(cadir, organisation or cadir.resolve().name, datetime.now(UTC))
    if as_json:
        root = operator.path / "root.pem"
        print_json({"organisation": operator.organisation, "cluster": operator.cluster, "root": root})
        return
    say(f"made the root of {operator.organisation} in {cadir}; its cluster is {operator.cluster}")
    say(f"next: rjs ws init DIR --ca {cadir}")


@click.command("invite")
@operator_folder
@click.option("--ws", required=True, multiple=True, metavar="HOST:PORT", help="Where the web server is.")
@click.option("--role", required=True, type=click.Choice(ROLES), help="What the invited become.")
@click.option("--name", help="The account of a person, or a label for a server.")
@click.option("--count", type=click.IntRange(1, 10_000), default=1, show_default=True, help="Servers only.")
@json_option
def invite(cadir: Path, ws: tuple[str, ...], role: str, name: str | None, count: int, as_json: bool) -> None:
    """Write invitations, each one line and good for one use.

    Whoever holds the line can use it, once, within a week: hand it over on a way that nobody else reads.

    \b
    Example:
      rjs ca invite ~/rjs-ca --ws cluster.example.org:9000 --role user --name ada
      rjs ca invite ~/rjs-ca --ws cluster.example.org:9000 --role cs --count 20
    """
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.issued import issued_invitation, record_issued
    from rjs.identity.names import SERVERS, Role

    if Role(role) not in SERVERS and (name is None or count > 1):
        raise click.UsageError(f"an invitation as {role} is for one person: give --name, and no --count")
    operator = OperatorFolder.open(cadir)
    now = datetime.now(UTC)
    made = [operator.invite(Role(role), name, ws=ws, now=now) for _ in range(count)]
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
              help="The certificate [signing.pem beside REQUEST].")  # fmt: skip
@json_option
def issue(cadir: Path, request: Path, out: Path | None, as_json: bool) -> None:
    """Certify a person's signing key.

    REQUEST is the signing-request.pem that `rjs join` made for that person. By this the operator vouches that the
    key is theirs. The certificate goes into the same folder as the request came from, as signing.pem.

    \b
    Example:
      rjs ca issue ~/rjs-ca signing-request.pem
    """
    from rjs.files import read_small
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.certificates import common_name_of
    from rjs.identity.issued import issued_to_person, record_issued
    from rjs.identity.keys import save_chain, spki_digest
    from rjs.limits import IDENTITY_FILE

    now = datetime.now(UTC)
    chain = OperatorFolder.open(cadir).issue(read_small(request, IDENTITY_FILE), now)
    record_issued(cadir, [issued_to_person(chain[0], now)])
    target = out or request.with_name("signing.pem")
    save_chain(target, chain)
    account, key, until = common_name_of(chain[0]), spki_digest(chain[0]), chain[0].not_valid_after_utc
    if as_json:
        print_json({"account": account, "key": key, "not_after": until, "certificate": target})
        return
    say(f"certified the signing key {key} of {account} until {until:%Y-%m-%d}: {target}")


@click.command("list")
@operator_folder
@json_option
def list_issued(cadir: Path, as_json: bool) -> None:
    """List what `rjs ca` has issued from this folder.

    Invitations and certificates of signing keys, oldest first. Whether an invitation was used, the web server knows.

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
