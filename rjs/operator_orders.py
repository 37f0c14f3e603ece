"""What the operator's commands have a web server do, by ``rjs.orders``: revoke, and go by the operator's papers.

Followed twice, as after a crash, they change nothing more. Every statement and certificate is judged to the
organisation's root, whoever ordered it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from rjs.identity.accepted_cas import SignedAcceptance
from rjs.identity.renewal import Der
from rjs.identity.revocation import What
from rjs.limits import CHAIN_LENGTH, MIB, REVOCATION_REASON
from rjs.orders import Orders

_LONGEST = 2 * MIB
"""The longest statement, in base64."""


class RevocationOrder(msgspec.Struct, frozen=True):
    """What shall be revoked: ``id`` as a person names it, see ``admin.revoke``."""

    what: What
    id: str
    reason: Annotated[str, msgspec.Meta(max_length=REVOCATION_REASON)] = ""


class AcceptCas(msgspec.Struct, frozen=True):
    """Go by this statement of ``rjs ca accept``."""

    signed: SignedAcceptance


class RequestCertificates(msgspec.Struct, frozen=True):
    """Ask to be certified again: the result is a SuccessionRequest in msgpack."""


class TakeOverCertificates(msgspec.Struct, frozen=True):
    """Use the certificates that ``rjs ca issue`` made of it, DER."""

    certificates: Annotated[tuple[Der, ...], msgspec.Meta(max_length=CHAIN_LENGTH)]


def revocation_orders(folder: Path) -> Orders[RevocationOrder]:
    """The orders to revoke in ``folder``."""
    return Orders(folder, "order", RevocationOrder)


def accept_orders(folder: Path) -> Orders[AcceptCas]:
    """The statements in ``folder`` that wait."""
    return Orders(folder, "accept", AcceptCas, _LONGEST)


def request_orders(folder: Path) -> Orders[RequestCertificates]:
    """The requests in ``folder`` that are to be made."""
    return Orders(folder, "request", RequestCertificates)


def certify_orders(folder: Path) -> Orders[TakeOverCertificates]:
    """The certificates in ``folder`` that are to take over."""
    return Orders(folder, "certify", TakeOverCertificates)
