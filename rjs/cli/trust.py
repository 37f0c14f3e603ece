"""``rjs trust``: the owner of a machine says whose bundles may run on it. Nothing else can change that."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from rjs.cli.console import json_option, print_json, print_table, say
from rjs.cli.group import role_entry
from rjs.cli.options import moment, wrong_usage

cs_option = click.option(
    "--cs",
    "folder",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="The compute server's state folder.",
)


@click.command("list")
@cs_option
@json_option
def list_grants(folder: Path, as_json: bool) -> None:
    """List the signers that this machine's owner trusts.

    \b
    Example:
      rjs trust list --cs ~/rjs-cs
    """
    import msgspec

    store = _store(folder).current()
    if store.fault is not None:
        from rjs.errors import ConfigError

        raise ConfigError(f"this machine trusts nobody at present: {store.fault}")
    grants = [msgspec.to_builtins(grant) for grant in store.grants]
    if as_json:
        print_json(grants)
        return
    columns = ["spki", "kind", "label", "added", "until"]
    rows = [
        [*(grant[column] for column in columns), _places(grant["network"], grant["private"]) or None]
        for grant in grants
    ]
    print_table(["key", *columns[1:], "network"], rows)


@click.command("add")
@click.argument("signer")
@cs_option
@click.option("--ca", is_flag=True, help="SIGNER is a CA's fingerprint: trust everybody whom it certified.")
@click.option("--label", help="Whose key it is, for you [the certificate's subject].")
@click.option("--days", type=click.IntRange(1, 36_500), help="Trust for so many days only.")
@click.option("--until", callback=moment, metavar="TIME", help="Trust until this time only (ISO 8601).")
@click.option("--network", multiple=True, metavar="HOST:PORT",
              help="A place that its jobs may ask to reach; repeat for several [none].")  # fmt: skip
@click.option("--private", multiple=True, metavar="HOST:PORT",
              help="The same, also where it is in this machine's own network [none].")  # fmt: skip
def add(
    signer: str,
    folder: Path,
    ca: bool,
    label: str | None,
    days: int | None,
    until: datetime | None,
    network: tuple[str, ...],
    private: tuple[str, ...],
) -> None:
    """Trust a signer: its bundles may run on this machine.

    SIGNER is a file with a certificate (PEM) or a fingerprint of 64 hex digits. The certificate of a CA means
    everybody whom that CA certified. What is said replaces what was said before of the same key.

    \b
    Example:
      rjs trust add ada.pem --cs ~/rjs-cs
      rjs trust add ada.pem --network data.example.org:443 --cs ~/rjs-cs
      rjs trust add ada.pem --private nas.example.org:443 --cs ~/rjs-cs
    """
    now = datetime.now(UTC)
    if days is not None and until is not None:
        raise click.UsageError("--days and --until both say when the trust ends; give one")
    if until is not None and until <= now:
        raise click.UsageError(f"--until {until.isoformat()} has passed already")
    with wrong_usage("trust.given", "network-place"):
        grant = role_entry("cs.grant_for")(
            _given(signer),
            now=now,
            label=label,
            kind="ca" if ca else "signer",
            until=until if days is None else now + timedelta(days=days),
            network=network,
            private=private,
        )
    replaced = _store(folder).add(grant)
    whom = "everybody certified by" if grant.kind == "ca" else "what was signed by"
    say(f"this machine now runs {whom} {grant.label or 'the key'} ({grant.spki}) {_terms(grant)}")
    if replaced is not None:
        say(f"before, it did so {_terms(replaced)}: that is replaced")


def _terms(grant: Any) -> str:
    end = (
        "until you take it back"
        if grant.until is None
        else f"until {grant.until.isoformat(timespec='seconds')}"
    )
    return f"{end}, and grants {_places(grant.network, grant.private) or 'no network place'}"


def _places(network: Sequence[str], private: Sequence[str]) -> str:
    return ", ".join(f"{place} (private)" if place in private else place for place in network)


@click.command("remove")
@click.argument("fingerprint")
@cs_option
def remove(fingerprint: str, folder: Path) -> None:
    """Take the trust in a signer back.

    FINGERPRINT may be its first digits, at least eight.

    \b
    Example:
      rjs trust remove 3fa9c1d2 --cs ~/rjs-cs
    """
    for grant in _store(folder).remove(fingerprint):
        say(f"no longer trusted: {grant.label or 'the key'} ({grant.spki})")


def _store(folder: Path) -> Any:
    """The trust store of the cluster that this compute server has joined."""
    from rjs.identity.names import Role
    from rjs.state import member_of, sole_cluster

    member_of(folder, Role.CS)
    return role_entry("cs.trust_store")(sole_cluster(folder))


def _given(signer: str) -> str:
    """The text of the file that ``signer`` names, or ``signer`` itself: a fingerprint."""
    from rjs.errors import UsageError
    from rjs.files import read_small
    from rjs.limits import IDENTITY_FILE

    path = Path(signer)
    if not path.is_file():
        return signer
    try:
        return read_small(path, IDENTITY_FILE).decode("ascii")
    except UnicodeDecodeError:
        raise UsageError(f"{path} holds no certificate in PEM") from None
