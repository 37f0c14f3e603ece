"""Who may: grants by key or CA, and the conditions that a signer put on a job."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest

from rjs.bundle.attributes import job_attributes
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.policy import check_job_conditions, job_not_after, trusted_by
from rjs.bundle.testing import NOW, YEAR, Party, make_party, make_signer, signed_jar
from rjs.bundle.verify import OpenedBundle, open_bundle, spki_of
from rjs.identity.oids import ANSWER_EKU
from rjs.ids import ClusterId, SpkiDigest

DAY = timedelta(days=1)
HERE, THERE = ClusterId("0" * 16), ClusterId("f" * 16)


@pytest.fixture(scope="module")
def signer() -> Party:
    root = make_party("Root", ca=True)
    return make_signer("Ada", make_party("CA", root, ca=True))


def opened(signer: Party, attributes: dict[str, str] | None = None) -> OpenedBundle:
    return open_bundle(io.BytesIO(signed_jar(signer, {"a": b""}, attributes)), at=NOW)


@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_grant_of_the_key_or_of_a_ca_on_its_path(granted: int, signer: Party) -> None:
    """The grant that covers a signer is its own key, its CA's or its root's."""
    spki = spki_of(signer.chain[granted])
    assert trusted_by(opened(signer).signer, {spki}) == spki


def test_the_nearest_grant_is_named(signer: Party) -> None:
    """With several grants the one of the signer's own key counts."""
    assert trusted_by(opened(signer).signer, [spki_of(c) for c in signer.chain[::-1]]) == spki_of(
        signer.certificate
    )


def test_nobody_else_is_trusted(signer: Party) -> None:
    """Another key's grant, or a namesake's, covers nobody."""
    others = {spki_of(make_signer("Ada").certificate), SpkiDigest("0" * 64)}
    assert trusted_by(opened(signer).signer, others) is None
    assert trusted_by(opened(signer).signer, set()) is None


@pytest.mark.parametrize(
    ("begin", "end", "code"),
    [
        (-DAY, DAY, None),
        (timedelta(), timedelta(), None),
        (timedelta(seconds=1), DAY, "job-not-yet-valid"),
        (-DAY, -timedelta(seconds=1), "job-expired"),
        (-DAY, 20 * YEAR, "job-outlives-signer"),
    ],
)
def test_period(begin: timedelta, end: timedelta, code: str | None, signer: Party) -> None:
    """A job counts from its not-before to its not-after, which lies within its signer's certificate."""
    bundle = opened(signer, job_attributes("n", bytes(16), NOW + begin, NOW + end))
    if code is None:
        check_job_conditions(bundle, at=NOW)
    else:
        with pytest.raises(BundleRefusedError, match=rf"^{code}:"):
            check_job_conditions(bundle, at=NOW)


def test_cluster(signer: Party) -> None:
    """A job that names a cluster is for that one; others run anywhere."""
    meant = opened(signer, job_attributes("n", bytes(16), NOW, NOW, HERE))
    check_job_conditions(meant, at=NOW, cluster=HERE)
    check_job_conditions(meant, at=NOW)
    check_job_conditions(opened(signer), at=NOW, cluster=HERE)
    with pytest.raises(BundleRefusedError, match=r"^job-cluster:"):
        check_job_conditions(meant, at=NOW, cluster=THERE)


def test_without_attributes_the_certificate_sets_the_end(signer: Party) -> None:
    """A JAR signed without RJS is a job until its signer's certificate ends."""
    bundle = opened(signer, {})
    assert job_not_after(bundle) == signer.certificate.not_valid_after_utc
    check_job_conditions(bundle, at=NOW)
    with pytest.raises(BundleRefusedError, match=r"^job-expired:"):
        check_job_conditions(bundle, at=NOW + 11 * YEAR)


def test_an_answer_is_no_job() -> None:
    """Even opened as an answer, with its own usage, an answer never meets a job's conditions."""
    party = make_party("CS", make_party("Root", ca=True), usages=[ANSWER_EKU])
    jar = signed_jar(party, {"a": b""})
    with pytest.raises(BundleRefusedError, match=r"^certificate:"):
        open_bundle(io.BytesIO(jar), at=NOW)
    answer = open_bundle(io.BytesIO(jar), at=NOW, roots=[party.root], purpose=ANSWER_EKU)
    with pytest.raises(BundleRefusedError, match=r"^job-certificate:"):
        check_job_conditions(answer, at=NOW)
