"""Placement: which compute server gets a task. Pure; the node selector of this release is ``fastest``.

``choose`` is the whole rule, asked of all CSs. The board answers by it from ``Suited``, which remembers who is able,
and asks here why nobody is; tests compare both after every event.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache

import attrs

from lus import limits
from rjs.needs import Lack, Needs, Offer, lack

_lack = lru_cache(limits.LACKS)(lack)  # parsing version specifiers takes longer than all else here

AMOUNTS: Mapping[str, Callable[[Offer], int]] = {
    "needs-memory": lambda offer: offer.memory,
    "needs-disk": lambda offer: offer.disk,
    "needs-cores": lambda offer: offer.cores,
}
"""Of the codes that say that an offer is too small: the amount that counts."""


@attrs.frozen
class Candidate:
    """A live CS as placement sees it. ``mflops``: the speed that ranks it, which its tasks may have corrected;
    ``refusal``: why it does not take this job, or empty."""

    cs: str
    name: str
    mflops: float
    offer: Offer
    free: bool
    refusal: str = ""


@attrs.frozen
class Demand:
    """A waiting task as placement sees it. ``waiting`` in seconds since it came here; ``avoid`` are the CSs where it
    failed."""

    needs: Needs
    avoid: Collection[str]
    waiting: float


@attrs.frozen
class Place:
    """Give it to this CS now."""

    cs: str


@attrs.frozen
class Wait:
    """A suitable CS is busy, or the failed one may be tried again later (``again_in`` seconds, else None)."""

    again_in: float | None


@attrs.frozen
class Unplaceable:
    """No live CS will take it as things stand."""

    code: str
    sentence: str


def choose(demand: Demand, candidates: Iterable[Candidate]) -> Place | Wait | Unplaceable:
    """The fastest free CS that suits; ties go to the lower id, so that the choice is reproducible."""
    live = sorted(candidates, key=order)
    if not live:
        return Unplaceable("no-cs", "no compute server is registered here")
    willing = [each for each in live if not each.refusal]
    if not willing:
        return Unplaceable("not-accepted", _summary((each.name, each.refusal) for each in live))
    able = [each for each in live if is_able(demand, each)]
    if not able:
        return _lacking(demand.needs, live)
    fresh = [each for each in able if suits(demand, each)]
    first = next((each for each in fresh if each.free), None)
    if first is not None:
        return Place(first.cs)
    left = limits.SAME_CS_AFTER - demand.waiting
    if fresh or left > 0:
        return Wait(left if not fresh else None)
    first = next((each for each in able if each.free), None)
    return Place(first.cs) if first is not None else Wait(None)


def order(candidate: Candidate) -> tuple[float, str]:
    """Sorts the fastest first."""
    return -candidate.mflops, candidate.cs


def serves(needs: Needs, offer: Offer) -> bool:
    """Whether the offer has all that is needed."""
    return what_lacks(needs, offer) is None


def what_lacks(needs: Needs, offer: Offer) -> Lack | None:
    """What the offer lacks of what is needed, the first of it."""
    return _lack(needs, offer)


def is_able(demand: Demand, candidate: Candidate) -> bool:
    """It would take the task, and offers all that it needs."""
    return not candidate.refusal and serves(demand.needs, candidate.offer)


def suits(demand: Demand, candidate: Candidate) -> bool:
    """It is able, and the task has not failed there: the first free one that suits, in ``order``, is the choice."""
    return is_able(demand, candidate) and candidate.cs not in demand.avoid


def _lacking(needs: Needs, live: list[Candidate]) -> Unplaceable:
    """Why nobody is able. The code is what most of the willing lack, the first in the alphabet among equals."""
    lacks: dict[str, list[tuple[Candidate, Lack]]] = {}
    for each in live:
        if not each.refusal and (found := _lack(needs, each.offer)) is not None:
            lacks.setdefault(found.code, []).append((each, found))
    code = min(lacks, key=lambda code: (-len(lacks[code]), code))
    reasons = [(each.name, each.refusal) for each in live if each.refusal]
    parts = [_shortfall(code, lacks[code]) for code in sorted(lacks)]
    return Unplaceable(code, "; ".join([*parts, *([_summary(reasons)] if reasons else [])])[:1000])


def _shortfall(code: str, lacking: list[tuple[Candidate, Lack]]) -> str:
    """What some lack, in one sentence: of an amount, the most that any of them offers says enough."""
    amount = AMOUNTS.get(code)
    if amount is None or len(lacking) == 1:
        return _summary((each.name, found.sentence) for each, found in lacking)
    _, best = max(lacking, key=lambda pair: amount(pair[0].offer))
    return f"{len(lacking)} compute servers, at best: {best.sentence}"


def _summary(reasons: Iterable[tuple[str, str]]) -> str:
    """Each reason once, with how many said it, so that a thousand desktops make one sentence."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons:
        by_reason.setdefault(reason, []).append(name)
    parts = []
    for reason, names in by_reason.items():
        who = names[0] if len(names) == 1 else f"{len(names)} compute servers"
        parts.append(f"{who}: {reason}")
    return "; ".join(parts)[:1000]
