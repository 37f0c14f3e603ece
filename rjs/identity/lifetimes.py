"""How a token certificate ages: when it is renewed, when sessions leave it, and how long after its end it may return.

Pure rules about certificates and a time that is given; what is told to people when clocks or dates do not fit.
"""

from __future__ import annotations

import datetime as dt

from cryptography import x509

from rjs.identity.certificates import sole_uri
from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain
from rjs.identity.names import RjsName
from rjs.identity.paths import check_periods, if_wrong
from rjs.limits import CLOCK_SKEW, HANDOVER_AT, RENEWAL_AT, RENEWAL_GRACE

RENEWAL_GRACE_TIME = dt.timedelta(seconds=RENEWAL_GRACE)


def check_renewable(chain: Chain, now: dt.datetime) -> None:
    """Refuse a chain that is neither valid at ``now`` nor was until at most the grace before.

    An expired one is judged as of its last second: its issuers must have been valid then.
    """
    end = chain[0].not_valid_after_utc
    if now > end + RENEWAL_GRACE_TIME:
        raise IdentityError("beyond_grace", beyond_grace(chain[0], now))
    check_periods(chain, min(now, end))


def beyond_grace(leaf: x509.Certificate, now: dt.datetime) -> str:
    """What the holder of a token certificate that expired too long ago must do, in words."""
    name, end = RjsName.parse(sole_uri(leaf)), leaf.not_valid_after_utc
    return (
        f"the certificate of {name.uri()} expired at {end:%Y-%m-%d %H:%M:%S}Z, more than {RENEWAL_GRACE_TIME.days} "
        f"days ago; {if_wrong(now)}, and nothing else is needed. Else it renews itself no more: join again into a "
        f"new folder: the operator runs rjs ca invite CADIR --ws HOST:PORT --role {name.role.value}, and you run "
        f"rjs join INVITATION DIR"
    )


def what_then(leaf: x509.Certificate, now: dt.datetime) -> str:
    """What becomes of a token certificate, in words: when it is renewed, and what its end means."""
    end, due = leaf.not_valid_after_utc, renew_at(leaf)
    last = end + RENEWAL_GRACE_TIME
    if now > last:
        return beyond_grace(leaf, now)
    if now >= end:
        return f"it has ended: it may renew itself until {last:%Y-%m-%d}, and do nothing else before"
    begins = f"renews itself from {due:%Y-%m-%d %H:%M}Z on" if now < due else "renews itself now"
    return f"{begins}; at its end sessions end, and it only renews itself, until {last:%Y-%m-%d}"


def renew_at(leaf: x509.Certificate) -> dt.datetime:
    """When the holder renews this certificate: at two thirds of its life."""
    return _at(leaf, RENEWAL_AT)


def hand_over_at(leaf: x509.Certificate) -> dt.datetime:
    """When a session that was opened with this certificate, at either end, shall be replaced by a new one."""
    return _at(leaf, HANDOVER_AT)


def _at(leaf: x509.Certificate, part: float) -> dt.datetime:
    issued = leaf.not_valid_before_utc + dt.timedelta(seconds=CLOCK_SKEW)
    return issued + part * (leaf.not_valid_after_utc - issued)


def check_made(made: float, now: dt.datetime) -> None:
    """Refuse what was not made now (``made``: Unix time), as far as clocks agree: an old one that somebody kept is
    worth nothing. The sentence is for the holder of the clock that says ``made``."""
    if abs(made - now.timestamp()) <= CLOCK_SKEW:  # never so of a NaN
        return
    try:
        said = f"{dt.datetime.fromtimestamp(made, dt.UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError, OSError):
        said = f"{made} s since 1970"
    raise IdentityError(
        "clock", f"your clock says {said}, the server's {now:%Y-%m-%d %H:%M:%S}Z: set the one that is wrong"
    )
