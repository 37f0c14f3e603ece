"""The words of ``rjs why``: a sentence for every code, and what would change it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rjs.jobs import TaskState
from rjs.limits import CS_LEASE, WHY_NAMES
from rjs.wire.messages import CsReason

BEING_LEASED: Final = "a lookup server is given it at this moment"
IN_TURN: Final = "the lookup servers have all that their compute servers can use; it is given out in its turn"
GIVEN_BACK: Final = "every lookup server gave it back"
DELIVERING: Final = "it is being put there"
MAY_RUN: Final = "an attempt may still run on {cs}, out of sight; if its answer is the first, it counts"

ON_CS: Final = frozenset({"placed", "starting", "running", "cs-silent"})
"""Codes of tasks that are on a compute server: alike whichever LUS has them."""

STAGES: Final = frozenset({"starting", "running"})

WOULD_TAKE: Final = frozenset({"free", "busy", "away"})
"""Codes of compute servers that are able, and have not refused."""

WAITS_THERE: Final = {
    "free": "being-placed", "busy": "cs-busy", "failed-there": "failed-there", "away": "cs-away",
}  # fmt: skip
"""Why a LUS that has a task does not run it, by what is true of any of its compute servers, in this order."""

WITH_SERVERS: Final = frozenset(
    {"not-taken", "offered-again", "being-placed", "cs-busy", "failed-there", "cs-away"}
)
"""Codes that the compute servers' own reasons explain."""

STATE_OF: Final = {
    "undelivered": TaskState.COMMITTED, "committed": TaskState.COMMITTED, "failed": TaskState.FAILED,
    "expired": TaskState.FAILED, "signer-revoked": TaskState.FAILED, "cancelled": TaskState.CANCELLED,
}  # fmt: skip
"""The states of ended tasks by code; all other counted ones are open."""

OF_LEASES: Final = {
    "lus-away": "lookup server {lus}, which has it, lost its connection; what runs there runs on; unless it comes "
    "back within {left}, others get it",
    "adoptable": "lookup server {lus}, which had placed it on {cs}, was restarted; it runs on there, and unless {cs} "
    "comes to a lookup server within {left}, others get it",
    "cs-silent": "{cs} was not heard for a while",
    "running": "it runs on {cs}",
    "starting": "it starts on {cs}, which fetches and verifies the bundle",
    "placed": "it was given to {cs}",
    "at-lus": "lookup server {lus} has it, and gives it to a compute server",
    "being-placed": "{servers}: lookup server {lus} gives it away at this moment",
    "cs-busy": "every compute server of lookup server {lus} that would take it is busy: {servers}",
    "cs-away": "the connection to every compute server of lookup server {lus} that would take it is lost: {servers}",
    "failed-there": "it failed on the compute server that is free; lookup server {lus} waits 10 s for another one",
    "not-taken": "no compute server of lookup server {lus} takes it; it is being given back",
    "lus-paused": "lookup server {lus} has it and starts nothing: it does not know whether its leases hold",
}
"""The sentences of tasks that a LUS has."""

_AGAIN: Final = (
    "mend what that names: the program (rjs status JOB shows the end of its stderr), [needs] in job.toml, "
    "or the signature; then sign it again and submit it: rjs submit PATH"
)
_SIGN: Final = "sign it again and submit it: rjs submit PATH"

CHANGES: Final[dict[str, tuple[str, ...]]] = {
    "no-lus": (
        "an operator starts a lookup server (rjs lus run DIR), or mends its way to the web server: rjs doctor DIR",
    ),
    "no-cs": (
        "an owner starts a compute server: rjs cs run DIR",
        "an operator looks which are known: rjs lus status DIR",
    ),
    "offered-again": ("it is offered again by itself, within seconds or when its turn comes",),
    "in-turn": ("tasks end, or more compute servers come",),
    "being-leased": ("a moment",),
    "lus-away": (
        "an operator mends the lookup server or its way here: rjs doctor DIR; else that time passes",
    ),
    "adoptable": ("the compute server finds a lookup server by itself; else that time passes",),
    "cs-silent": (f"it is heard again, or is given up after {CS_LEASE:.0f} s, and the task goes elsewhere",),
    "starting": ("a moment; a large bundle takes longer",),
    "placed": ("a moment",),
    "running": ("its end; rjs cancel JOB stops the whole job",),
    "at-lus": ("a moment",),
    "being-placed": ("a moment",),
    "cs-busy": ("one of them becomes free, or another compute server comes",),
    "cs-away": (f"they come back, or are given up after {CS_LEASE:.0f} s",),
    "failed-there": ("another one becomes free, or that time passes",),
    "lus-paused": ("its next renewal, within 20 s",),
    "undelivered": ("your home and ans/ can be written to, and have room; it is tried again every 5 s",),
    "committed": ("nothing is left to do: rjs open ANSWER.jar, once it was fetched",),
    "failed": (_AGAIN,),
    "expired": (_SIGN,),
    "signer-revoked": ("sign it with a new key, which joining anew into another folder makes",),
    "cancelled": (_SIGN,),
    "tried-before": ("rjs status JOB shows the end of its stderr",),
}
"""What would change it, by code."""

_TRUST: Final = "an owner of such a compute server trusts the signer: rjs trust add {signer} --cs DIR"
_GRANT: Final = "an owner grants what the job asks for: rjs trust add {signer} --network HOST:PORT --cs DIR"
_LESS: Final = (
    "ask for no more than a compute server gives ([needs] in job.toml), then sign again: rjs submit PATH"
)
_LARGER: Final = "a compute server that has what is needed comes"
_ASKED_AGAIN: Final = "it is asked again by itself 30 s after it refused; rjs doctor there says what is wrong"

_OF_SERVERS: Final = {
    "not-trusted": (_TRUST,),
    "permission-not-granted": (_GRANT,),
    "revoked": ("sign it with a new key",),
    "no-cs": ("a compute server comes to that lookup server: rjs cs run DIR",),
    "not-accepted": (_TRUST, _ASKED_AGAIN),
}


def servers_change(codes: Iterable[str], signer: str) -> tuple[str, ...]:
    """What would change that no compute server takes a job of this signer, by their codes."""
    found: dict[str, None] = {}
    for code in codes:
        lines = (_LARGER, _LESS) if code.startswith("needs-") else _OF_SERVERS.get(code, (_ASKED_AGAIN,))
        found.update(dict.fromkeys(each.format(signer=signer) for each in lines))
    return tuple(found) or ("another compute server comes",)


def changed(able: Sequence[CsReason]) -> str:
    """It was given back, but these would take it."""
    return f"it was given back, but this has changed: {_counted(able)} would take it"


def who(servers: Sequence[CsReason], code: str) -> str:
    """The compute servers that this code is about."""
    kinds = {there for there, here in WAITS_THERE.items() if here == code}
    return _counted([each for each in servers if each.code in kinds]) or "a compute server"


def _counted(servers: Sequence[CsReason]) -> str:
    count, names = sum(each.count for each in servers), [name for each in servers for name in each.names]
    return listed(names, count)


def listed(names: Sequence[str], count: int = 0) -> str:
    """``cs1, cs2 and 3 others``: of ``count`` in all, if that is more."""
    shown, others = names[:WHY_NAMES], max(count, len(names)) - len(names[:WHY_NAMES])
    more = f" and {others} other{'' if others == 1 else 's'}" if others else ""
    return ", ".join(shown) + more


def ahead(leased: int, jobs: int, tasks: int, own: int) -> str:
    """What is before a task: what is leased, what takes turns with its job, and what of its job comes first."""
    before = f"{own} of this job, and " if own else ""
    turns = f"{jobs} other jobs with {tasks} tasks take turns with it"
    return f"before it: {before}{leased} that lookup servers have; {turns}"


def span(seconds: float) -> str:
    """A time for people: ``40 s``, ``12 min``, ``3 h``."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"
