"""Refusals of who somebody is: they stay as they are until a person does something, or a certificate is renewed.

Pure. A session that did not come about, or ended, has a reason ``CODE: SENTENCE``; by it this tells whether dialling
again soon is of any use, and whether the same was logged before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from rjs.limits import REFUSALS_SAID, REFUSED_AGAIN_SAID

LASTING: Final = frozenset(
    {"wrong-role", "wrong-name", "wrong-cluster", "old-protocol", "certificate-expired", "revoked"}
)
"""Codes of a ``bye``. Certificates that were refused in the handshake have codes of rjs.identity."""

_PASSING: Final = "identity.tls"
"""TLS broke for a reason of its own: the other end may have died in the midst of it."""

_CLOCK: Final = "; the clock here says "


def lasts(reason: str) -> bool:
    """Whether either end refused the other for its certificate, its cluster or its protocol."""
    code = reason.partition(":")[0]
    return code in LASTING or (code.startswith("identity.") and code != _PASSING)


def same_words(reason: str) -> str:
    """The reason without the time of day in it: what is equal is no news."""
    return reason.partition(_CLOCK)[0]


class Said:
    """What was logged lately of callers that were refused: each reason of a caller once in a while."""

    def __init__(self) -> None:
        self._at: OrderedDict[tuple[str, str], float] = OrderedDict()

    def is_news(self, caller: str, reason: str, now: float) -> bool:
        """Whether to log it; the same need not be for ``REFUSED_AGAIN_SAID`` seconds if it is. What passes by itself
        always is."""
        if not lasts(reason):
            return True
        key = caller, same_words(reason)
        if now - self._at.get(key, -REFUSED_AGAIN_SAID) < REFUSED_AGAIN_SAID:
            return False
        self._at[key] = now
        self._at.move_to_end(key)
        if len(self._at) > REFUSALS_SAID:
            self._at.popitem(last=False)
        return True
