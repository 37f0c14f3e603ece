"""``rjs ws accept``, ``request``, ``certify`` and ``renew``: what the operator states and certifies, brought to the
web server."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rjs.cli.console import say
from rjs.cli.group import role_entry
from rjs.cli.passphrases import Passphrases, passphrase_option
from rjs.cli.server import state_folder
from rjs.errors import UsageError

if TYPE_CHECKING:
    from cryptography import x509

    from rjs.identity.succession import SuccessionRequest

_file = click.Path(exists=True, dir_okay=False, path_type=Path)


def _orders(folder: Path) -> Path:
    """Where this web server's orders go. Raises ConfigError for another role's folder."""
    from rjs.identity.names import Role
    from rjs.orders import ORDERS
    from rjs.state import member_of, private_folder, sole_cluster

    member_of(folder, Role.WS)
    return private_folder(sole_cluster(folder) / ORDERS)


def _root(folder: Path) -> x509.Certificate:
    from rjs.identity.folder import IdentityFolder
    from rjs.state import sole_cluster

    return IdentityFolder(sole_cluster(folder) / "identity").root()


def _done(folder: Path, order: Path) -> None:
    """Returns when the order was followed: by the web server that runs, else here. Raises RefusedError."""
    from rjs.orders import followed, refusal_of

    if followed(folder, order):
        return
    role_entry("ws.follow_orders")(folder)
    refused = refusal_of(order)
    if refused is not None:
        raise refused


@click.command("accept")
@state_folder
@click.argument("statement", type=_file)
def accept(folder: Path, statement: Path) -> None:
    """Go by the operator's statement of accepted CAs.

    STATEMENT is the file accepted-cas that `rjs ca accept` or `rjs ca withdraw` made. A web server that runs goes by
    it at once. An older statement never replaces a newer one.

    \b
    Example:
      rjs ws accept ~/rjs-ws ~/rjs-ca/accepted-cas
    """
    from rjs.identity.accepted_file import read_acceptance_file
    from rjs.operator_orders import AcceptCas, accept_orders

    orders = _orders(folder)
    offered = read_acceptance_file(statement, _root(folder))
    _done(folder, accept_orders(orders).place(AcceptCas(offered.signed)))
    say(f"goes by statement {offered.number}, which counts until {offered.until:%Y-%m-%d}")


@click.command("request")
@state_folder
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), default=Path("ws-request"),
              show_default=True, help="The file for the operator.")  # fmt: skip
def request(folder: Path, out: Path) -> None:
    """Ask to be certified again: the token intermediate and the record key.

    The authority makes new keys, which never leave it. The operator certifies the file with `rjs ca issue`; what that
    makes goes to `rjs ws certify`. Until then everything stays as it is.

    \b
    Example:
      rjs ws request ~/rjs-ws -o stick/ws-request
    """
    made = _requested(folder)
    _write_request(out, made)
    say(f"asks for these keys, which the operator sees too: {_keys(made, _root(folder))}")
    say(f"next: rjs ca issue CADIR {out}")


@click.command("certify")
@state_folder
@click.argument("certificates", type=_file)
def certify(folder: Path, certificates: Path) -> None:
    """Issue by the certificates that the operator made of a request.

    A web server that runs goes by them at once; what it issued before counts until its end.

    \b
    Example:
      rjs ws certify ~/rjs-ws stick/ws-certificates.pem
    """
    from rjs.identity.keys import load_chain

    _take_over(folder, load_chain(certificates))


@click.command("renew")
@state_folder
@click.option("--ca", "cadir", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
              metavar="CADIR", help="The operator's folder, on this machine or on a stick.")  # fmt: skip
@passphrase_option
def renew(folder: Path, cadir: Path, passphrase_file: Path | None) -> None:
    """Certify the web server for another year: request, issue and certify in one.

    \b
    Example:
      rjs ws renew ~/rjs-ws --ca ~/rjs-ca
    """
    from rjs.identity.ca import OperatorFolder
    from rjs.identity.issued import issued_to_authority, record_issued
    from rjs.identity.succession import certify_successors

    operator = OperatorFolder.open(cadir, Passphrases(passphrase_file))
    if operator.root != _root(folder):
        raise UsageError(f"{cadir} is the folder of another organisation than {folder}'s")
    now = datetime.now(UTC)
    chain = certify_successors(operator, _requested(folder), now)
    record_issued(cadir, issued_to_authority(chain, now))
    _take_over(folder, chain)


def _requested(folder: Path) -> SuccessionRequest:
    from rjs.identity.succession import read_request_file
    from rjs.operator_orders import RequestCertificates, request_orders
    from rjs.orders import result_of

    order = request_orders(_orders(folder)).place(RequestCertificates())
    _done(folder, order)
    made = read_request_file(result_of(order))
    assert made is not None
    return made


def _write_request(out: Path, made: SuccessionRequest) -> None:
    import msgspec

    from rjs.files import write_atomically

    write_atomically(out, msgspec.msgpack.encode(made), 0o644)


def _keys(made: SuccessionRequest, root: x509.Certificate) -> str:
    from rjs.identity.keys import spki_digest
    from rjs.identity.succession import check_succession_request

    found = check_succession_request(made, root)
    return f"intermediate {spki_digest(found.intermediate)[:16]}, record {spki_digest(found.record)[:16]}"


def _take_over(folder: Path, chain: tuple[x509.Certificate, ...]) -> None:
    from rjs.identity.paths import chain_der
    from rjs.operator_orders import TakeOverCertificates, certify_orders

    _done(folder, certify_orders(_orders(folder)).place(TakeOverCertificates(chain_der(chain))))
    until = min(each.not_valid_after_utc for each in chain)
    say(f"issues by the new certificates until {until:%Y-%m-%d}; what was issued before counts until its end")
