"""A broken-into WS or LUS says that a job needs less than its signed descriptor does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from lone_desktop import OFFER, Desktop

from cs.attempt import request_of
from rjs.limits import MIB
from rjs.needs import Needs

JOB = b'name = "test"\nruntime = "python"\nentry = "main.py"\n[needs]\n'


@pytest.mark.parametrize(
    ("needs", "code"),
    [
        (b'memory = "2 GiB"', "needs-memory"),
        (b'disk = "2 GiB"', "needs-disk"),
        (b"cores = 2", "needs-cores"),
        (b'os = "windows"', "needs-platform"),
        (b'arch = "aarch64"', "needs-platform"),
        (b'python = ">=3.99"', "needs-python"),
        (b'java = ">=17"', "needs-java"),
    ],
)
def test_the_signed_descriptor_counts(tmp_path: Path, needs: bytes, code: str) -> None:
    """What the owner does not offer is refused whatever the brief says, and nothing of the job is unpacked."""
    desktop = Desktop(tmp_path, JOB + needs + b"\n")
    desktop.begin(msgspec.structs.replace(desktop.brief, needs=Needs(memory=0, disk=0, runtime="native")))
    desktop.lus.serve()
    assert desktop.refusal() == code
    assert not desktop.place.path.exists()
    desktop.close()


def test_limits_are_those_that_were_signed(tmp_path: Path) -> None:
    """A brief that promises more does not get the task more memory, time, disk or cores."""
    desktop = Desktop(tmp_path, JOB + b'memory = "64 MiB"\nwall_time = "7 s"\ndisk = "32 MiB"\n')
    generous = Needs(memory=OFFER.memory, wall_time=1e9, disk=OFFER.disk, cores=64)
    desktop.begin(msgspec.structs.replace(desktop.brief, needs=generous))
    desktop.lus.serve()
    run = request_of(desktop.outcome[0])
    assert (run.limits.memory, run.limits.wall_time, run.limits.file_size) == (64 * MIB, 7.0, 32 * MIB)
    assert run.environment["OMP_NUM_THREADS"] == run.environment["MKL_NUM_THREADS"] == "1"
    desktop.close()
