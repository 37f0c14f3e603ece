"""Orders from a command to the server whose state folder it has: files in one folder of that.

An order is durable once placed, whether the server runs or not; it is followed at the next look. What came of
it, a refusal or a result, is a file beside it. Whoever can write in that folder, which is the server's account alone,
may order.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Generic, TypeVar

import msgspec

from rjs.errors import RefusedError, UnreachableError
from rjs.files import read_small, sync_folder, write_atomically
from rjs.limits import IDENTITY_FILE
from rjs.status import read_status

ORDERS: Final = "orders"
"""The folder's name, in the folder of the server's cluster."""

_REFUSAL: Final = ".refused"
_RESULT: Final = ".result"

PATIENCE: Final = 30.0
"""Seconds: what a server needs first, such as an authority that died, is back by then."""

_LOOK: Final = 0.05

Order = TypeVar("Order", bound=msgspec.Struct)


class _Refusal(msgspec.Struct, frozen=True):
    code: str
    sentence: str


class Orders(Generic[Order]):
    """The orders of one kind in ``folder``: files named ``*.KIND``, of at most ``longest`` bytes."""

    def __init__(self, folder: Path, kind: str, form: type[Order], longest: int = IDENTITY_FILE) -> None:
        self._folder = folder
        self._suffix = f".{kind}"
        self._form = form
        self._longest = longest

    def place(self, order: Order) -> Path:
        """Have ``order`` followed; durable on return. The file is gone when it was."""
        path = self._folder / f"{secrets.token_hex(8)}{self._suffix}"
        write_atomically(path, msgspec.json.encode(order))
        return path

    def waiting(self) -> Iterator[tuple[Path, Order]]:
        """The orders that wait; one that cannot be read is refused here."""
        for path in sorted(self._folder.glob(f"*{self._suffix}")):
            try:
                yield path, msgspec.json.decode(read_small(path, self._longest), type=self._form)
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


def give_result(order: Path, data: bytes) -> None:
    """What came of ``order``, durable on return; before the order is settled."""
    write_atomically(order.with_suffix(_RESULT), data)


def result_of(order: Path) -> bytes:
    """What came of an order that is gone; told once."""
    path = order.with_suffix(_RESULT)
    data = read_small(path, IDENTITY_FILE)
    path.unlink()
    return data


def forget_outcomes(folder: Path) -> None:
    """Remove the refusals and results that nobody waits for any more: at a start, before any order is followed."""
    for suffix in (_REFUSAL, _RESULT):
        for path in folder.glob(f"*{suffix}"):
            path.unlink(missing_ok=True)


def followed(folder: Path, order: Path, patience: float = PATIENCE) -> bool:
    """Whether the server of the state folder ``folder`` followed ``order``; False: it does not run, and will at its
    start. Raises RefusedError with its word, and UnreachableError when it takes longer than ``patience`` seconds."""
    try:
        read_status(folder)
    except UnreachableError:
        return not order.exists()
    deadline = time.monotonic() + patience
    while order.exists():
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"the server has not done it within {patience:.0f} s; it will once it can: its log says why"
            )
        time.sleep(_LOOK)
    refused = refusal_of(order)
    if refused is not None:
        raise refused
    return True
