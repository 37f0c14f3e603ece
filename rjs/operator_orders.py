"""What the operator's commands have a web server do with statements and certificates: see ``rjs.orders``.

Followed twice, as after a crash, they change nothing more. Every statement and certificate is judged to the
organisation's root, whoever ordered it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from rjs.files import read_small, write_atomically
from rjs.identity.accepted_cas import SignedAcceptance
from rjs.identity.renewal import Der
from rjs.limits import CHAIN_LENGTH, IDENTITY_FILE, MIB
from rjs.orders import Orders

_RESULT = ".result"
_LONGEST = 2 * MIB
"""The longest statement, in base64."""


class AcceptCas(msgspec.Struct, frozen=True):
    """Go by this statement of ``rjs ca accept``."""

    signed: SignedAcceptance


class RequestCertificates(msgspec.Struct, frozen=True):
    """Ask to be certified again: the result is a SuccessionRequest in msgpack."""


class TakeOverCertificates(msgspec.Struct, frozen=True):
    """Use the certificates that ``rjs ca issue`` made of it, DER."""

    certificates: Annotated[tuple[Der, ...], msgspec.Meta(max_length=CHAIN_LENGTH)]


def accept_orders(folder: Path) -> Orders[AcceptCas]:
    """The statements in ``folder`` that wait."""
    return Orders(folder, "accept", AcceptCas, _LONGEST)


def request_orders(folder: Path) -> Orders[RequestCertificates]:
    """The requests in ``folder`` that are to be made."""
    return Orders(folder, "request", RequestCertificates)


def certify_orders(folder: Path) -> Orders[TakeOverCertificates]:
    """The certificates in ``folder`` that are to take over."""
    return Orders(folder, "certify", TakeOverCertificates)


def give_result(order: Path, data: bytes) -> None:
    """What came of ``order``, durable on return; before the order is settled."""
    write_atomically(order.with_suffix(_RESULT), data)


def result_of(order: Path) -> bytes:
    """What came of an order that is gone; told once."""
    path = order.with_suffix(_RESULT)
    data = read_small(path, IDENTITY_FILE)
    path.unlink()
    return data


def forget_results(folder: Path) -> None:
    """Remove the results that nobody waits for any more."""
    for path in folder.glob(f"*{_RESULT}"):
        path.unlink(missing_ok=True)
