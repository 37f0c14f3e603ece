"""Having an account list another signing key: its holder proves that by a signature, in the way bundles are signed.

Any key that may sign a bundle may be listed, of any CA. What is signed begins as no signature file of a bundle does,
and names cluster and account, so that it proves nothing else and to nobody else.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import attrs
import msgspec

from rjs.bundle.cms import sign_block, verify_block
from rjs.bundle.path import subject_of
from rjs.bundle.verify import spki_of
from rjs.identity.lifetimes import check_made
from rjs.ids import ClusterId, SpkiDigest
from rjs.limits import MAX_BLOCK_BYTES
from rjs.signer import SigningIdentity

_PURPOSE: Final = "rjs-signer-1"


class ListingRequest(msgspec.Struct, frozen=True):
    """A detached CMS block over purpose, cluster, account and ``made``, in Unix time, as RFC 5652 has it."""

    made: Annotated[float, msgspec.Meta(ge=0, le=1e12)]
    block: Annotated[bytes, msgspec.Meta(max_length=MAX_BLOCK_BYTES)]


@attrs.frozen
class ListedSigner:
    """A key that proved itself, and whom its certificate names."""

    spki: SpkiDigest
    subject: str


def ask_listing(
    signer: SigningIdentity, cluster: ClusterId, account: str, now: dt.datetime
) -> ListingRequest:
    """The request that ``account`` may list the key of ``signer``."""
    made = now.timestamp()
    return ListingRequest(made, sign_block(_content(cluster, account, made), signer.key, signer.chain))


def check_listing(
    request: ListingRequest, cluster: ClusterId, account: str, now: dt.datetime
) -> ListedSigner:
    """The key that made ``request``, lately and for this account. Raises RefusedError.

    Whether its certificate is good is for those to judge who run what it signs.
    """
    check_made(request.made, now)
    block = verify_block(request.block, _content(cluster, account, request.made))
    return ListedSigner(spki_of(block.signer), subject_of(block.signer))


def _content(cluster: ClusterId, account: str, made: float) -> bytes:
    return msgspec.msgpack.encode((_PURPOSE, cluster, account, made))
