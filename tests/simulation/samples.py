"""Values that tests of the rules are made of."""

from __future__ import annotations

from rjs.attempts import AttemptId, Fence
from rjs.ids import BundleId
from rjs.limits import GIB
from rjs.needs import Needs, Offer
from rjs.wire.messages import CsState, JobBrief
from ws.job import Job

A, B, C = (BundleId(digit * 64) for digit in "abc")
"""Three jobs."""

CS1, CS2, CS3 = (f"{number:032x}" for number in (1, 2, 3))
"""Three CSs."""


def brief(job: str = A, tasks: int = 2, memory: int = 1) -> JobBrief:
    """What a LUS knows of a job."""
    return JobBrief(
        job=job,
        name="sums",
        signer="5" * 64,
        tasks=tasks,
        size=1,
        sha256="6" * 64,
        needs=Needs(memory=memory, wall_time=60.0),
    )


def job(
    job: BundleId = A, tasks: int = 2, user: str = "ada", not_after: float = 1e9, attempts: int = 3
) -> Job:
    """An accepted job."""
    return Job(brief(job, tasks), user, f"{job[:4]}.jar", 1.0, not_after, attempts)


def attempt(lease: int, job: str = A, task: int = 0, sequence: int = 1, generation: int = 1) -> AttemptId:
    """One try at a task."""
    return AttemptId(job, task, Fence(generation, lease, sequence))


def cs_state(
    mflops: float = 100.0,
    *,
    name: str = "cs",
    memory: int = 100,
    epoch: int = 0,
    running: tuple[AttemptId, ...] = (),
    holding: tuple[AttemptId, ...] = (),
    busy: bool = False,
) -> CsState:
    """How a CS describes itself."""
    return CsState(
        name=name, mflops=mflops, offer=Offer(memory=memory, cores=1, disk=GIB, python="3.11.7"), trust_epoch=epoch,
        busy=busy or bool(running), running=running, holding=holding,
    )  # fmt: skip
