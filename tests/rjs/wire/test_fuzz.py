"""Random damage to recorded frames: decoding and sessions end as documented, and soon, whatever the bytes."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from rjs import limits
from rjs.wire import fuzz_sessions, serving
from rjs.wire import messages as m
from rjs.wire.fuzz import CHANGES, FuzzedError, end_of, fuzz, golden_frames
from rjs.wire.fuzz_sessions import STATES
from rjs.wire.messages import codec
from rjs.wire.session import Session
from rjs.wire.testing import Wire

RECORDED = golden_frames(Path(__file__).parent / "golden")


@pytest.mark.parametrize(
    "count",
    [20_000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])],
)
def test_changed_frames(count: int) -> None:
    """The fuzzer finds nothing, and reaches every end of decoding and every state of sessions."""
    outcome = fuzz(count, random.randrange(1 << 32), RECORDED)
    assert outcome.ends.total() == count and set(outcome.ends) == {"message", "malformed", "unknown"}
    assert outcome.ends["message"] > count / 10
    for state in STATES:
        assert outcome.sessions[f"{state}: protocol"] > 100 and outcome.sessions[f"{state}: done"] > 10


def test_memory_is_in_proportion() -> None:
    """What a frame makes us allocate is in proportion to its length, whatever counts it states."""
    dice = random.Random(7)
    tracemalloc.start()
    try:
        for _ in range(2_000):
            frame = dice.choice(CHANGES)(dice.choice(RECORDED), dice.choice(RECORDED), dice)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            end_of(frame)
            used = tracemalloc.get_traced_memory()[1] - before
            assert used <= 64 * limits.KIB + 64 * len(frame), (used, frame[:100])
    finally:
        tracemalloc.stop()


def test_the_reason_of_an_end_is_no_longer_than_what_is_told(wire: Wire) -> None:
    """A peer that says nonsense of 70,000 characters writes a line into our log, and not a book."""
    nonsense = msgspec.msgpack.encode({"t": "admin.revoke", "what": "x" * 70_000, "id": "1"})
    wire.open()
    wire.dialled.protocol.send(nonsense)
    wire.turn()
    assert wire.accepted.reason.startswith("protocol: malformed admin.revoke: Invalid enum value 'xxx")
    assert len(wire.accepted.reason) < 1_100


def _trusting(frame: bytes) -> m.Message:
    return codec._decoder.decode(frame)


def _repeated(session: Session, message: m.Message) -> None:
    for _ in range(20):
        session.tell(m.Refused(re=message.rid, code="x", sentence="s" * 1_000))


@pytest.mark.parametrize("fault", ["decoder", "defect", "answers"])
def test_the_fuzzer_notices(fault: str, monkeypatch: pytest.MonkeyPatch, defects: list[str]) -> None:
    """The control: a decoder that lets errors out, a handler with a defect, and one that says too much are found."""
    if fault == "decoder":
        monkeypatch.setattr(m, "decode", _trusting)
    elif fault == "defect":
        monkeypatch.setattr(serving, "words", lambda *_: 1 / 0)
    else:
        monkeypatch.setattr(
            fuzz_sessions._Said, "_route", lambda _, session, message: _repeated(session, message)
        )
    with pytest.raises(FuzzedError):
        fuzz(5_000, 1, RECORDED)
    assert bool(defects) == (fault == "defect")
