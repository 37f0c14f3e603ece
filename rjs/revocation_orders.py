"""Orders to revoke, from a command to the web server whose state folder it has: see ``rjs.orders``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

from rjs.identity.revocation import What
from rjs.limits import REVOCATION_REASON
from rjs.orders import Orders


class RevocationOrder(msgspec.Struct, frozen=True):
    """What shall be revoked: ``id`` as a person names it, see ``admin.revoke``."""

    what: What
    id: str
    reason: Annotated[str, msgspec.Meta(max_length=REVOCATION_REASON)] = ""


def revocation_orders(folder: Path) -> Orders[RevocationOrder]:
    """The orders to revoke in ``folder``."""
    return Orders(folder, "order", RevocationOrder)
