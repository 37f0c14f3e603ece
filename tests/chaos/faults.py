"""Which faults are done to which machine, when, and for how long: a pure function of a seed.

One machine has at most one fault of its process, of its cable, of its disk and of its clock at a time; beyond that
anything may coincide.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Sequence

import attrs


class Kind(enum.StrEnum):
    """A fault; each is undone after a while."""

    KILL = "kill -9"
    RESTART = "restart"
    STOP = "SIGSTOP"
    UNPLUG = "unplugged"
    PARTITION = "silent partition"
    LOSS = "packet loss"
    FULL_DISK = "full disk"
    SLOW_DISK = "slow disk"
    CLOCK = "wall clock jump"


@attrs.frozen
class Shape:
    """How a kind of fault is drawn: what of the machine it is a fault of, its seconds, and its amount."""

    organ: str
    lasts: tuple[float, float]
    amount: tuple[float, float] = (0.0, 0.0)


HOUR = 3600.0
SHAPES = {
    Kind.KILL: Shape("process", (0.0, 6.0)),
    Kind.RESTART: Shape("process", (0.0, 3.0)),
    Kind.STOP: Shape("process", (0.5, 12.0)),
    Kind.UNPLUG: Shape("cable", (0.5, 12.0)),
    Kind.PARTITION: Shape("cable", (0.5, 12.0)),
    Kind.LOSS: Shape("cable", (2.0, 12.0), (0.05, 0.5)),  # the share of packets that is lost, each way
    Kind.FULL_DISK: Shape("disk", (0.5, 8.0)),
    Kind.SLOW_DISK: Shape("disk", (2.0, 12.0), (0.01, 0.4)),  # seconds that each fsync takes longer
    Kind.CLOCK: Shape(
        "clock", (1.0, 12.0), (-20 * HOUR, 20 * HOUR)
    ),  # within the life of a token certificate
}

LONG = 0.08
"""The share of cuts that outlive the lease of a LUS, in a run that is long enough for them."""
LONG_SECONDS = (61.0, 90.0)
LONG_RUN = 600.0


@attrs.frozen
class Fault:
    """One fault. ``at`` in seconds from the beginning of the run."""

    at: float
    kind: Kind
    host: str
    lasts: float
    amount: float

    @property
    def organ(self) -> str:
        """What of the machine is at fault."""
        return SHAPES[self.kind].organ

    @property
    def until(self) -> float:
        """When it is undone."""
        return self.at + self.lasts


def schedule(seed: int, hosts: Sequence[str], seconds: float, pause: float) -> tuple[Fault, ...]:
    """Faults in order, about one every ``pause`` seconds, the last one undone within ``seconds``."""
    chance = random.Random(f"faults {seed}")
    busy: dict[tuple[str, str], float] = {}
    faults: list[Fault] = []
    at = chance.expovariate(1 / pause)
    while at < seconds:
        fault = _draw(chance, at, hosts, seconds)
        if busy.get((fault.host, fault.organ), 0.0) < at:
            faults.append(fault)
            busy[fault.host, fault.organ] = fault.until
        at += chance.expovariate(1 / pause)
    return tuple(faults)


def _draw(chance: random.Random, at: float, hosts: Sequence[str], seconds: float) -> Fault:
    kind = chance.choice(list(Kind))
    shape = SHAPES[kind]
    lasts = chance.uniform(*shape.lasts)
    if shape.organ == "cable" and chance.random() < LONG and seconds >= LONG_RUN:
        lasts = chance.uniform(*LONG_SECONDS)
    host, amount = chance.choice(list(hosts)), chance.uniform(*shape.amount)
    return Fault(at, kind, host, min(lasts, seconds - at), amount)
