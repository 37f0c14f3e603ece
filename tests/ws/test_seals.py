"""Answers are sealed as their jobs ask: judged from the bundle that the WS itself keeps, without a key."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.answers.answer_jar import SEALED_NAME, OpenedAnswer
from rjs.bundle.seal import seal
from rjs.bundle.seal_testing import make_recipient
from rjs.bundle.testing import make_signer, signed_jar
from rjs.bundle.verify import open_bundle, spki_of
from rjs.errors import RefusedError
from rjs.ids import ClusterId
from ws import limits
from ws.admission import Upload, admit
from ws.bundles import Bundles
from ws.job import Job
from ws.seals import Seals

SIGNER = make_signer()
BOB, EVE = make_recipient("Bob"), make_recipient("Eve")


def accepted(bundles: Bundles, *recipients: x509.Certificate) -> Job:
    """A job for these recipients, or an open one, whose bundle is kept."""
    pems = ", ".join(f"'''{each.public_bytes(Encoding.PEM).decode()}'''" for each in recipients)
    answer = f"[answer]\nencrypt = true\nrecipients = [{pems}]\n" if recipients else ""
    toml = f'name = "sums"\nruntime = "python"\nentry = "run.py"\n{answer}'
    data = signed_jar(SIGNER, {"job.toml": toml.encode(), "run.py": b""}, {})
    now = dt.datetime.now(dt.UTC)
    with open_bundle(io.BytesIO(data), at=now) as bundle:
        upload = Upload("ada", "sums.jar", len(data), "5" * 64)
        job = admit(bundle, upload, {spki_of(SIGNER.certificate)}, ClusterId("c" * 16), now)
    bundles.path(job.id).write_bytes(data)
    return job


def answer(*recipients: x509.Certificate) -> OpenedAnswer:
    """An answer, as far as its seal goes: for these, or readable for everybody."""
    out = io.BytesIO()
    if recipients:
        seal(io.BytesIO(b"outputs"), 7, out, recipients)
    data, name = out.getvalue(), SEALED_NAME if recipients else "stdout.txt"
    entries = {name: SimpleNamespace(size=len(data))}
    bundle = SimpleNamespace(entries=entries, chunks=lambda _: iter([data]))
    return OpenedAnswer(cast("Any", bundle), cast("Any", None))


def verdict(seals: Seals, job: Job, given: OpenedAnswer) -> str:
    try:
        seals.check(job, given)
    except RefusedError as error:
        return error.code
    return ""


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    return Bundles(tmp_path)


def test_a_job_that_asks_for_sealed_answers(bundles: Bundles) -> None:
    """It gets them sealed for exactly its recipients, or not at all."""
    seals, job = Seals(bundles), accepted(bundles, BOB.certificate)
    assert job.brief.sealed
    given = [
        answer(BOB.certificate),
        answer(),
        answer(EVE.certificate),
        answer(BOB.certificate, EVE.certificate),
    ]
    codes = [verdict(seals, job, each) for each in given]
    assert codes == ["", "answer-not-sealed", "sealed-recipient", "sealed-recipient"]


def test_a_job_that_does_not(bundles: Bundles) -> None:
    """Its submitter could not open a sealed answer."""
    seals, job = Seals(bundles), accepted(bundles)
    assert [verdict(seals, job, each) for each in (answer(), answer(BOB.certificate))] == [
        "",
        "answer-sealed",
    ]


def test_the_bundle_is_read_once_and_few_are_remembered(
    bundles: Bundles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of tasks of a job cost one look into its bundle; a hundred thousand jobs do not fill memory."""
    monkeypatch.setattr(limits, "RECIPIENTS_KNOWN", 2)
    seals = Seals(bundles)
    first, *others = (
        accepted(bundles, make_recipient(f"{n}").certificate, BOB.certificate) for n in range(3)
    )
    assert verdict(seals, first, answer(BOB.certificate)) == "sealed-recipient"
    kept = bundles.path(first.id).rename(bundles.path("kept"))
    assert verdict(seals, first, answer(BOB.certificate)) == "sealed-recipient"
    for other in others:
        verdict(seals, other, answer(BOB.certificate))
    with pytest.raises(FileNotFoundError):
        seals.check(first, answer(BOB.certificate))
    kept.rename(bundles.path(first.id))
    assert verdict(seals, first, answer(BOB.certificate)) == "sealed-recipient"
