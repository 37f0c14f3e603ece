"""How this LUS's compute servers stand to a job, and where its attempts are: what only a LUS knows. Pure.

It is asked of the registry and the leases by which tasks are placed, with the rules of ``lus.placement``.
"""

from __future__ import annotations

from collections.abc import Collection

from lus import placement
from lus.board import Board
from lus.registry import Server
from rjs import limits
from rjs.attempts import AttemptId
from rjs.limits import CS_LEASE
from rjs.wire.messages import CsReason, LusJobReasons, LusJobWhy, Whereabouts

_Kind = tuple[str, str]
"""The code and, where it says more than the code does, the sentence."""


def why(board: Board, asked: LusJobWhy, now: float) -> LusJobReasons:
    """The reply to the WS."""
    kinds: dict[_Kind, list[tuple[Server, str]]] = {}
    for server in sorted(board.registry.all(), key=lambda each: (-board.registry.speed(each), each.cs)):
        code, sentence = _stands(server, asked)
        if code in ("free", "busy") and board.registry.speed(server) < server.state.mflops:
            sentence += "; its tasks took longer than the speed that it states, and it is ranked by them"
        amount = code in placement.AMOUNTS
        kinds.setdefault((code, "" if amount else sentence), []).append((server, sentence))
    most = sorted(kinds.items(), key=lambda kind: -len(kind[1]))
    shown = [_reason(code, found) for (code, _), found in most[: limits.WHY_KINDS]]
    return LusJobReasons(
        servers=tuple(shown),
        more=len(board.registry) - sum(each.count for each in shown),
        attempts=_attempts(board, asked, now),
        paused=not board.may_place(now),
    )


def _stands(server: Server, asked: LusJobWhy) -> _Kind:
    """In the order in which placement asks."""
    refusal = server.refusals.get(asked.job)
    if refusal is not None:
        code, _, sentence = refusal.partition(": ")
        return code[:64], sentence[: limits.WHY_WORDS]
    lacking = placement.what_lacks(asked.needs, server.state.offer)
    if lacking is not None:
        return lacking.code, lacking.sentence[: limits.WHY_WORDS]
    if server.cs in asked.avoid:
        return "failed-there", "this task failed there"
    if not server.connected:
        return "away", f"its connection was lost; it is given up {CS_LEASE:.0f} s after it was last heard"
    if not server.free:
        return "busy", _occupied(server, asked.job)
    return "free", "it would take it now"


def _occupied(server: Server, job: str) -> str:
    attempts = [each for each in (server.attempt, *server.strays, *server.state.running) if each is not None]
    if not attempts:
        return "it has something else to do, or its owner needs it"
    return "it runs another task of this job" if _is_of(job, attempts) else "it runs a task of another job"


def _is_of(job: str, attempts: Collection[AttemptId]) -> bool:
    return any(each.job == job for each in attempts)


def _reason(code: str, found: list[tuple[Server, str]]) -> CsReason:
    """Of an amount that many lack, the most that any of them offers says enough."""
    amount = placement.AMOUNTS.get(code)
    if amount is not None:
        _, sentence = max(found, key=lambda pair: amount(pair[0].state.offer))
    else:
        _, sentence = found[0]
    names = tuple(server.state.name for server, _ in found[: limits.WHY_NAMES])
    return CsReason(code=code, sentence=sentence, count=len(found), names=names)


def _attempts(board: Board, asked: LusJobWhy, now: float) -> tuple[Whereabouts, ...]:
    found: list[Whereabouts] = []
    for held in board.held():
        server = board.registry.get(held.cs)
        if held.job.job != asked.job or server is None or asked.task not in (None, held.task):
            continue
        silent = max(0.0, now - server.heard)
        found.append(Whereabouts(held.task, held.stage.value, server.state.name, silent))
        if len(found) == limits.WHY_ATTEMPTS:
            break
    return tuple(found)
