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
from rjs.identity.paths import check_periods
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
        f"the certificate of {name.uri()} expired at {end:%Y-%m-%d %H:%M:%S}Z, more than "
        f"{RENEWAL_GRACE_TIME.days} days before {now:%Y-%m-%d %H:%M:%S}Z, and renews itself no more; join again "
        f"into a new folder: the operator runs rjs ca invite CADIR --ws HOST:PORT --role {name.role.value}, and "
        f"you run rjs join INVITATION DIR"
    )


def renew_at(leaf: x509.Certificate) -> dt.datetime:
    """When the holder renews this certificate: at two thirds of its life."""
    return _at(leaf, RENEWAL_AT)


def hand_over_at(leaf: x509.Certificate) -> dt.datetime:
    """When a session that was opened with this certificate, at either end, shall be replaced by a new one."""
    return _at(leaf, HANDOVER_AT)


def _at(leaf: x509.Certificate, part: float) -> dt.datetime:
    issued = leaf.not_valid_before_utc + dt.timedelta(seconds=CLOCK_SKEW)
    return issued + part * (leaf.not_valid_after_utc - issued)


def clocks_apart(theirs: float, now: dt.datetime) -> str:
    """Two clocks that disagree, told to the holder of the one that says ``theirs`` (Unix time)."""
    try:
        said = f"{dt.datetime.fromtimestamp(theirs, dt.UTC):%Y-%m-%d %H:%M:%S}Z"
    except (ValueError, OverflowError, OSError):
        said = f"{theirs} s since 1970"
    return f"your clock says {said}, the server's {now:%Y-%m-%d %H:%M:%S}Z: set the one that is wrong"
