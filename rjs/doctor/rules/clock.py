"""Judges this machine's clock by what others say and by what cannot be."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import attrs

from rjs.doctor.finding import Finding, fault, notice, well
from rjs.limits import CLOCK_SKEW

SUBJECT = "clock"
FIRST_RELEASE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
"""No clock of a machine that has this release is right before it."""
DRIFT = 30.0
"""Seconds that two clocks kept by NTP are never apart."""
SET_IT = "timedatectl set-ntp true"
_SET_ONE = "set the one that is wrong: certificates of one side are not yet valid, or expired, for the other"


@attrs.frozen
class Skew:
    """How many seconds, at least, the clock here is ahead of that of ``peer``."""

    peer: str
    ahead: float


def judge_clock(
    now: dt.datetime, skews: Sequence[Skew], counts_sleep: bool, trouble: str = ""
) -> list[Finding]:
    """Wrong, drifting, or well; and whether timers outlive a suspend.

    ``trouble`` is what the running server says of the clocks of those whom it meets or refuses.
    """
    found = []
    if not counts_sleep:
        sentence = "this system has no clock that counts sleep: after a suspend, leases are noticed late"
        found.append(notice(SUBJECT, "clock-without-sleep", sentence))
    if now < FIRST_RELEASE:
        sentence = f"the clock says {now:%Y-%m-%d %H:%M}Z, which is before this release was made"
        return [*found, fault(SUBJECT, "clock-wrong", sentence, "set this machine's clock", SET_IT)]
    worst = max(skews, key=lambda skew: abs(skew.ahead), default=None)
    if worst is not None and abs(worst.ahead) > CLOCK_SKEW:
        return [*found, fault(SUBJECT, "clock-wrong", _apart(worst), _SET_ONE, SET_IT)]
    if trouble:
        return [*found, fault(SUBJECT, "clock-wrong", trouble, _SET_ONE, SET_IT)]
    if worst is not None and abs(worst.ahead) > DRIFT:
        return [
            *found,
            notice(SUBJECT, "clock-drifts", _apart(worst), "let both follow a time server", SET_IT),
        ]
    if found:
        return found
    if worst is None:
        return [well(SUBJECT, f"{now:%Y-%m-%d %H:%M}Z; no peer told its time")]
    return [well(SUBJECT, f"within {max(1, round(abs(worst.ahead)))} s of the clock of {worst.peer}")]


def _apart(skew: Skew) -> str:
    side = "ahead of" if skew.ahead > 0 else "behind"
    return f"the clock here is {_span(abs(skew.ahead))} {side} that of {skew.peer}"


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
