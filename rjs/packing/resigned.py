"""Signs a JAR that exists, as a job or as just what it is, whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import attrs
from cryptography import x509

from rjs import limits
from rjs.bundle.attributes import job_attributes
from rjs.bundle.cms import SigningKey
from rjs.bundle.policy import check_job_conditions
from rjs.bundle.resign import sign_existing_jar
from rjs.bundle.verify import open_bundle
from rjs.descriptor import read_descriptor
from rjs.files import open_plain
from rjs.ids import BundleId, ClusterId
from rjs.packing.bundle import written_whole


@attrs.frozen
class JobTerm:
    """What is stated of a JAR that is a job: it may start at once and for ``valid``, in ``cluster`` if given."""

    valid: timedelta
    cluster: ClusterId | None = None


def sign_jar_file(
    source: Path,
    out: Path,
    *,
    key: SigningKey,
    chain: Sequence[x509.Certificate],
    now: datetime,
    nonce: bytes,
    term: JobTerm | None = None,
) -> BundleId:
    """Write the JAR ``source`` under a new signature with ``key`` to ``out``, and give its bundle id.

    ``out`` may be ``source``; it changes only when all is well, and what is there keeps its mode. With
    ``term`` the JAR must hold a job, and says so.
    Raises BundleRefusedError for what a verifier would refuse, DescriptorError for a job that would not run.
    """
    with open_plain(source) as file:
        attributes = (
            {} if term is None else _attributes(_job_name(file, key, chain, now), term, chain, now, nonce)
        )
        with written_whole(out, nonce) as written:
            sign_existing_jar(file, written, key=key, chain=chain, attributes=attributes)
            bundle = open_bundle(written, at=now)
            bundle.check_all()
            if term is not None:
                check_job_conditions(bundle, at=now)
    return bundle.bundle_id


def _attributes(
    name: str, term: JobTerm, chain: Sequence[x509.Certificate], now: datetime, nonce: bytes
) -> Mapping[str, str]:
    start = now - timedelta(seconds=limits.CLOCK_SKEW)  # a desktop's clock may be behind ours
    until = min(now + term.valid, chain[0].not_valid_after_utc)
    return job_attributes(name, nonce, start, until, term.cluster)


def _job_name(file: BinaryIO, key: SigningKey, chain: Sequence[x509.Certificate], now: datetime) -> str:
    """What the job calls itself. Descriptors are read out of signed bundles only, so it is signed for this first."""
    with tempfile.TemporaryFile() as scratch:
        sign_existing_jar(file, scratch, key=key, chain=chain, attributes={})
        return read_descriptor(open_bundle(scratch, at=now)).name
