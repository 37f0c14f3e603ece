"""A compute server describes itself with nonsense, to stop the lookup server or to get every task."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import CS1, CS2, attempt, brief, cs_state

from lus.board import Board
from lus.instructions import Return, Start
from rjs.errors import ProtocolError
from rjs.limits import GIB
from rjs.needs import Needs, Offer, Platform
from rjs.wire.messages import CsState, JobBrief, LeasedTask, decode, encode

words = st.text(max_size=32)
offers = st.builds(
    Offer,
    memory=st.integers(0, 2**48 - 1),
    cores=st.integers(0, 2**16 - 1),
    disk=st.integers(0, 2**48 - 1),
    platform=st.builds(Platform, words, words),
    python=words,
    java=words,
)
needs = st.builds(Needs, python=st.text(max_size=64), java=st.sampled_from(["", ">=17"]), runtime=words)


def described(offer: Offer, mflops: float) -> CsState:
    return msgspec.structs.replace(cs_state(mflops), offer=offer)


@given(offers, needs)
def test_nonsense_stops_nobody(offer: Offer, wanted: Needs) -> None:
    """Whatever the wire lets through is compared or lacking: an honest CS gets what the other cannot serve."""
    board = Board()
    board.renewed(0.0, (), 0.0)
    board.cs_state(CS1, "b1", "192.0.2.1", described(offer, 1e12), True, 0.0)
    odd: JobBrief = msgspec.structs.replace(brief(), needs=wanted)
    said = board.granted(1, odd, [LeasedTask(1, 0)], 0.0)
    assert any(isinstance(each, Return | Start) for each in said)
    honest = Offer(memory=GIB, cores=1, disk=GIB, platform=Platform("linux", "x86_64"), python="3.11.7")
    board.cs_state(CS2, "b1", "192.0.2.2", described(honest, 1.0), True, 0.0)
    ordinary = msgspec.structs.replace(
        brief("b" * 64), needs=Needs(platforms=(Platform("linux", "x86_64"),), python=">=3.11")
    )
    placed = [each for each in board.granted(1, ordinary, [LeasedTask(2, 0)], 0.0) if isinstance(each, Start)]
    assert [each.attempt.fence.lease for each in placed] == [2]


@pytest.mark.parametrize(
    ("field", "value"),
    [("memory", -1), ("memory", 2**48), ("cores", 2**16), ("python", "3" * 33), ("platform", "linux")],
)
def test_an_offer_beyond_its_caps_is_malformed(field: str, value: object) -> None:
    """The decoder refuses it before anybody compares."""
    state = msgspec.msgpack.decode(encode(cs_state(running=(attempt(1),))))
    state["offer"][field] = value
    with pytest.raises(ProtocolError):
        decode(msgspec.msgpack.encode(state))
