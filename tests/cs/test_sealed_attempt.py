"""An attempt at a job with sealed answers: what leaves the compute server is sealed, nothing else of it leaves."""

from __future__ import annotations

import datetime as dt
import io
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from samples import attempt

from cs.attempt import Owner, not_an_answer, sign_answer, tail_of
from cs.prepared import Prepared
from cs.spawner.messages import Ended
from cs.workplace import OutputRefusedError, Workplace
from rjs.answers.answer_jar import OpenedAnswer, open_answer
from rjs.answers.sealed_outputs import check_sealed_for, open_outputs
from rjs.bundle.seal_testing import make_recipient
from rjs.bundle.testing import NOW
from rjs.descriptor.model import Answer, Descriptor
from rjs.identity.certificates import sole_uri
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.ids import ClusterId, ServerId
from rjs.limits import MIB

ORGANISATION = Organisation(NOW)
ADA = make_recipient("Ada")
SECRET = b"the figures of the third quarter\n"
ENDED = cast(
    Ended, SimpleNamespace(exit_status=0, signal=None, wall_seconds=1.0, cpu_seconds=1.0, max_memory=1)
)


def prepared(folder: Path, *, sealed: bool = True) -> Prepared:
    """An attempt whose task has written its outputs."""
    place = Workplace(folder, attempt(1))
    place.create()
    place.out.mkdir(parents=True)
    for path in (place.out / "figures", place.stdout, place.stderr):
        path.write_bytes(SECRET)
    recipients = (ADA.certificate.public_bytes(Encoding.DER),) if sealed else ()
    descriptor = Descriptor(
        name="sums", runtime="python", entry="run.py", answer=Answer(recipients=recipients)
    )
    bundle = SimpleNamespace(signer=SimpleNamespace(spki="5" * 64), entries={})
    return Prepared(attempt(1), place, cast(Any, bundle), descriptor)


def owner() -> Owner:
    identity = ORGANISATION.answer(ORGANISATION.invitation(Role.CS))
    own = ServerId(sole_uri(identity.chain[0]).rpartition("/")[2])
    return Owner(own, "desk 7", ClusterId("c" * 16), 1.0, identity)


def signed(made: Prepared) -> bytes:
    out = io.BytesIO()
    sign_answer(made, ENDED, dt.datetime.now(dt.UTC), owner(), out)
    return out.getvalue()


def opened(data: bytes) -> OpenedAnswer:
    return open_answer(io.BytesIO(data), roots=[ORGANISATION.root], at=NOW)


def test_the_answer_is_sealed(tmp_path: Path) -> None:
    """For whom the descriptor names, with both streams; and when the attempt's folder goes, nothing is left."""
    (tmp_path / "work").mkdir()
    made = prepared(tmp_path / "work")
    data = signed(made)
    assert SECRET not in data and b"figures" not in data
    answer = opened(data)
    check_sealed_for(answer, [ADA.certificate])
    into = tmp_path / "into"
    open_outputs(answer, into, key=ADA.key, certificate=ADA.certificate)
    assert [(into / name).read_bytes() for name in ("out/figures", "stdout.txt", "stderr.txt")] == [
        SECRET
    ] * 3
    made.workplace.remove()
    assert list((tmp_path / "work").iterdir()) == []


def test_an_open_job_stays_readable(tmp_path: Path) -> None:
    """Only the descriptor decides."""
    answer = opened(signed(prepared(tmp_path, sealed=False)))
    assert answer.bundle.read("out/figures", 1000) == SECRET and not answer.is_sealed


@pytest.mark.parametrize("planted", ["link", "file"])
def test_a_task_cannot_lead_the_seal_elsewhere(tmp_path: Path, planted: str) -> None:
    """What it put in the place of the sealed file is neither followed nor answered with."""
    made = prepared(tmp_path)
    victim, place = tmp_path / "victim", made.workplace.path / "sealed.cms"
    victim.write_bytes(b"untouched")
    if planted == "link":
        place.symlink_to(victim)
    else:
        place.write_bytes(b"forged")
    with pytest.raises(FileExistsError):
        signed(made)
    assert victim.read_bytes() == b"untouched"


def test_memory_stays_flat(tmp_path: Path) -> None:
    """A large output is never held whole."""
    made = prepared(tmp_path)
    with (made.workplace.out / "large").open("wb") as file:
        file.truncate(64 * MIB)
    with (tmp_path / "answer.jar").open("w+b") as out:
        tracemalloc.start()
        sign_answer(made, ENDED, dt.datetime.now(dt.UTC), owner(), out)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (tmp_path / "answer.jar").stat().st_size > 64 * MIB
    assert peak < 8 * MIB


def test_a_failure_tells_nothing_of_the_outputs(tmp_path: Path) -> None:
    """Neither the end of stderr nor the name of a file, and that this is so; of an open job both."""
    for name in ("sealed", "open"):
        (tmp_path / name).mkdir()
    sealed, open_job = prepared(tmp_path / "sealed"), prepared(tmp_path / "open", sealed=False)
    assert "sealed" in tail_of(sealed) and tail_of(open_job).encode() == SECRET
    error = OutputRefusedError("output-kind", "'figures' is not a plain file of its own")
    trouble = FileNotFoundError(2, "No such file", "out/figures")
    assert all("figures" in not_an_answer(open_job, each) for each in (error, trouble))
    assert not_an_answer(sealed, error) == "its outputs cannot become an answer: output-kind"
    assert not_an_answer(sealed, trouble) == "its outputs cannot become an answer: FileNotFoundError"
