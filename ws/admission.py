"""Admission: whether a verified bundle becomes a job of an account. Pure; needs an opened bundle to read from.

Validity was decided by the verifier; this is the WS's own policy (DESIGN section 6): the account lists the
signer, the bundle is for this cluster and this time, and its descriptor can be carried out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import attrs

from rjs.bundle.names import shown
from rjs.bundle.policy import check_job_conditions, job_not_after
from rjs.bundle.verify import OpenedBundle
from rjs.descriptor import read_descriptor
from rjs.errors import RefusedError
from rjs.ids import ClusterId
from rjs.wire.messages import JarPart, JobBrief
from ws.job import Job


class NotAdmittedError(RefusedError):
    """The bundle is sound, and this account may not make it a job here and now."""


class FurtherJarsError(NotAdmittedError):
    """Its signed descriptor names further JARs, ``jars``, and it came without them or with others."""

    def __init__(self, jars: tuple[str, ...]) -> None:
        listed = ", ".join(map(shown, jars[:5])) + (" and others" if len(jars) > 5 else "") or "none"
        super().__init__(
            "further-jars",
            f"its descriptor names these further JARs: {listed}; put exactly these below jobs/, beside the main JAR",
        )
        self.jars = jars


@attrs.frozen
class Upload:
    """A file that someone wants to be a job: whose, under which name, and its bytes' size and SHA-256."""

    account: str
    file_name: str
    size: int
    sha256: str


def admit(
    bundle: OpenedBundle,
    upload: Upload,
    signers: Collection[str],
    cluster: ClusterId,
    now: dt.datetime,
    jars: tuple[JarPart, ...] = (),
) -> Job:
    """The job that the bundle makes. Raises RefusedError with the rule that says no.

    ``jars``: the further JARs that follow the bundle in the uploaded bytes, judged already.

    1. The account lists the signer.
    2. It may be a job here and now (``check_job_conditions``).
    3. Its descriptor is one that this release carries out.
    4. The further JARs that it names are those that came with it, in its order.
    """
    if bundle.signer.spki not in signers:  # 1
        raise NotAdmittedError(
            "signer-not-listed",
            f"account {upload.account} does not list the key of {bundle.signer.subject} "
            f"({bundle.signer.spki[:16]}…); sign with your own key, or have it listed: rjs cert add",
        )
    check_job_conditions(bundle, at=now, cluster=cluster)  # 2
    descriptor = read_descriptor(bundle)  # 3
    named = tuple(jar.name for jar in descriptor.jars)
    if named != tuple(jar.name for jar in jars):  # 4
        raise FurtherJarsError(named)
    brief = JobBrief(
        job=bundle.bundle_id,
        name=descriptor.name,
        signer=bundle.signer.spki,
        tasks=descriptor.tasks,
        size=upload.size,
        sha256=upload.sha256,
        needs=descriptor.needs,
        sealed=bool(descriptor.answer.recipients),
        jars=jars,
    )
    until = job_not_after(bundle).timestamp()
    return Job(brief, upload.account, upload.file_name, now.timestamp(), until, descriptor.attempts)
