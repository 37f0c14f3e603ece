"""Which try at a task is meant: its number, and the fence by which a later one shuts out all earlier ones."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

HexDigest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Index = Annotated[int, Meta(ge=0, lt=2**31)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Fence(Struct, frozen=True, array_like=True, order=True):
    """Orders the attempts at a task: (WS generation, WS lease number, LUS sequence)."""

    generation: Number
    lease: Number
    sequence: Number


class AttemptId(Struct, frozen=True, array_like=True, order=True):
    """One try at a task on one CS."""

    job: HexDigest
    task: Index
    fence: Fence
