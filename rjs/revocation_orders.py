"""Orders to revoke, from a command to the web server whose state folder it has: files in one folder.

An order is durable once placed, whether the web server runs or not; it is followed at the next look. A refusal comes
back as a file beside it. Whoever can write in that folder, which is the web server's alone, may revoke.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from rjs.errors import RefusedError
from rjs.files import read_small, sync_folder, write_atomically
from rjs.identity.revocation import What
from rjs.limits import IDENTITY_FILE, REVOCATION_REASON

ORDERS = "orders"
"""The folder's name, in the folder of the web server's cluster."""

_ORDER, _REFUSAL = ".order", ".refused"


class RevocationOrder(msgspec.Struct, frozen=True):
    """What shall be revoked: ``id`` as a person names it, see ``admin.revoke``."""

    what: What
    id: str
    reason: Annotated[str, msgspec.Meta(max_length=REVOCATION_REASON)] = ""


class _Refusal(msgspec.Struct, frozen=True):
    code: str
    sentence: str


def place_order(folder: Path, order: RevocationOrder) -> Path:
    """Have ``order`` followed; durable on return. The file is gone when it was."""
    path = folder / f"{secrets.token_hex(8)}{_ORDER}"
    write_atomically(path, msgspec.json.encode(order))
    return path


def orders_in(folder: Path) -> Iterator[tuple[Path, RevocationOrder]]:
    """The orders that wait; one that cannot be read is refused here."""
    for path in sorted(folder.glob(f"*{_ORDER}")):
        try:
            yield path, msgspec.json.decode(read_small(path, IDENTITY_FILE), type=RevocationOrder)
        except (msgspec.MsgspecError, RefusedError, UnicodeDecodeError) as error:
            settle(path, RefusedError("order", f"the order cannot be read: {error}"))


def settle(order: Path, refused: RefusedError | None = None) -> None:
    """The order was followed, or ``refused``; durable on return."""
    if refused is not None:
        answer = msgspec.json.encode(_Refusal(refused.code, refused.sentence))
        write_atomically(order.with_suffix(_REFUSAL), answer)
    order.unlink(missing_ok=True)
    sync_folder(order.parent)


def refusal_of(order: Path) -> RefusedError | None:
    """Why it was not followed, once it is gone; told once."""
    path = order.with_suffix(_REFUSAL)
    try:
        refusal = msgspec.json.decode(read_small(path, IDENTITY_FILE), type=_Refusal)
    except FileNotFoundError:
        return None
    path.unlink()
    return RefusedError(refusal.code, refusal.sentence)


def forget_refusals(folder: Path) -> None:
    """Remove the refusals that nobody waits for any more."""
    for path in folder.glob(f"*{_REFUSAL}"):
        path.unlink(missing_ok=True)
