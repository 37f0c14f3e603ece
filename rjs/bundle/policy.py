"""Who may, apart from whether it is valid: decisions about an already verified bundle.

Pure: the caller brings the owner's grants, the time and the cluster.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from cryptography import x509

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.verify import OpenedBundle, Signer, spki_of
from rjs.identity.oids import ANSWER_EKU
from rjs.ids import ClusterId, SpkiDigest


def trusted_by(signer: Signer, grants: Collection[SpkiDigest]) -> SpkiDigest | None:
    """Return the grant that covers ``signer``, its own key before the CAs of its validated path, or None."""
    if signer.spki in grants:
        return signer.spki
    authorities = (spki_of(x509.load_der_x509_certificate(der)) for der in signer.path[1:])
    return next((spki for spki in authorities if spki in grants), None)


def job_not_after(bundle: OpenedBundle) -> datetime:
    """Return when the job ends to be one: what its signer stated, else the end of the signer's certificate."""
    return bundle.attributes.not_after or bundle.signer.not_after


def check_job_conditions(bundle: OpenedBundle, *, at: datetime, cluster: ClusterId | None = None) -> None:
    """Refuse a bundle that may not be a job here and now. ``cluster`` None: the reader belongs to no cluster.

    1. It was not signed with an answer certificate.
    2. ``at`` lies within RJS-Not-Before and RJS-Not-After.
    3. It does not outlive its signer's certificate.
    4. The cluster that it names, if any, is this one.
    """
    _check_is_no_answer(bundle.signer)  # 1
    stated = bundle.attributes
    if stated.not_before is not None and at < stated.not_before:  # 2
        raise BundleRefusedError(
            "job-not-yet-valid", f"the job may not run before {stated.not_before:%Y-%m-%d %H:%M:%SZ}"
        )
    if at > job_not_after(bundle):
        raise BundleRefusedError(
            "job-expired",
            f"the job may not run after {job_not_after(bundle):%Y-%m-%d %H:%M:%SZ}; sign it again",
        )
    if job_not_after(bundle) > bundle.signer.not_after:  # 3
        raise BundleRefusedError(
            "job-outlives-signer",
            f"the job's not-after is later than its signer's certificate allows "
            f"({bundle.signer.not_after:%Y-%m-%d %H:%M:%SZ}); sign it again with an earlier one",
        )
    if cluster is not None and stated.cluster not in (None, cluster):  # 4
        raise BundleRefusedError(
            "job-cluster", f"the job is meant for cluster {stated.cluster}, this one is {cluster}"
        )


def _check_is_no_answer(signer: Signer) -> None:
    extensions = x509.load_der_x509_certificate(signer.certificate).extensions
    usages = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    if ANSWER_EKU in usages or CODE_SIGNING not in usages:
        raise BundleRefusedError(
            "job-certificate", "the bundle was signed with an answer certificate; a job needs code signing"
        )
