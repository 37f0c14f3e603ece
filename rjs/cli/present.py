"""``rjs present``: from a certificate of another CA to a person's folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.console import json_option, print_json, say
from rjs.cli.group import person_folder
from rjs.cli.options import wrong_usage
from rjs.cli.passphrases import Passphrases, passphrase_option
from rjs.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("present")
@click.argument("certificate", type=_file)
@click.option(
    "--key", type=_file, metavar="FILE", help="The private key (PEM) [in CERTIFICATE, which is PKCS#12]."
)
@click.option("--ws", required=True, multiple=True, metavar="HOST:PORT", help="Where the web server is.")
@click.option("--root", "root_file", required=True, type=_file, metavar="ROOT.pem",
              help="The organisation's root, from the operator: whom to believe.")  # fmt: skip
@passphrase_option
@json_option
def command(
    certificate: Path,
    key: Path | None,
    ws: tuple[str, ...],
    root_file: Path,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Become a user by a certificate of another CA that the operator accepts.

    CERTIFICATE is a PKCS#12 file, or PEM with those of the CAs above it, and then --key has its key. It stays where
    it is: rjs presents it again, by itself, when your token is due. With the next certificate, run this again, or
    put it in the same file.

    \b
    Example:
      rjs present ada.p12 --ws cluster.example.org:9000 --root root.pem
      rjs present ada.pem --key ada.key --ws cluster.example.org:9000 --root root.pem
    """
    from rjs.client import run_client
    from rjs.identity.invitation import check_addresses
    from rjs.presenting import Presented, join_by_certificate
    from rjs.state import cluster_folder

    with wrong_usage("identity.address"):
        check_addresses(ws)
    presented = Presented(str(certificate.resolve()), "" if key is None else str(key.resolve()))
    root, ask, place = _root(root_file), Passphrases(passphrase_file), person_folder()
    member = run_client(lambda reactor: join_by_certificate(reactor, presented, ask, root, ws, place))
    if as_json:
        print_json({"name": member.name.uri(), "cluster": member.cluster, "folder": place})
        return
    say(f"joined cluster {member.cluster} as {member.name.uri()}")
    identity = cluster_folder(place, member.cluster) / "identity"
    if not (identity / "signing.pem").exists():
        request = identity / "signing-request.pem"
        say(f"next: the operator certifies your signing key: rjs ca issue CADIR {request}")
    say(f"rjs presents {certificate} again when the token is due: keep it, and its next one, there")


def _root(path: Path) -> x509.Certificate:
    from rjs.cli.certificates import one_certificate
    from rjs.errors import RefusedError
    from rjs.identity.profiles import Kind, profile_of

    root = one_certificate(path)
    try:
        found = profile_of(root).kind
    except RefusedError:
        found = None
    if found is not Kind.ROOT:
        raise UsageError(f"{path} is no organisation's root; the operator has it as root.pem")
    return root
