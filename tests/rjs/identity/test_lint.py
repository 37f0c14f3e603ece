"""What we issue, judged by others: pkilint's linters for RFC 5280 certificates and for issuer and subject."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pkilint.bin import (  # type: ignore[import-untyped]  # it carries no types
    lint_pkix_cert,
    lint_pkix_signer_signee_cert_chain,
)

from rjs.attempts import AttemptId, Fence
from rjs.identity.certificates import self_signed_reader
from rjs.identity.keys import Chain, new_key
from rjs.identity.names import INVITED, SERVERS, Role
from rjs.identity.profiles import Kind, profile_of
from rjs.identity.testing import Organisation

# The linters leave the files open that argparse opened for them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <_io:pytest.PytestUnraisableExceptionWarning"
)

ALLOWED = {
    # RFC 5280, 4.2.1.6, wants a domain name or an IP address where a URI has an authority; ours has the role there
    # (docs/identity.md, "What linters say").
    ("pkix.invalid_uri_syntax", "subjectAltName.0.uniformResourceIdentifier"),
}

# RFC 5280, 4.2.1.1: a certificate that signed itself may do without the identifier of its issuer's key.
SELF_SIGNED = {("pkix.authority_key_id_extension_missing", "subjectKeyIdentifier")}


def token(role: Role) -> Callable[[Organisation], Chain]:
    return lambda organisation: organisation.member(role).chain


def invitation(role: Role) -> Callable[[Organisation], Chain]:
    return lambda organisation: organisation.invitation(role).identity.chain


def own_reader(organisation: Organisation) -> Chain:
    """An encryption certificate that nobody but its holder signed."""
    return (self_signed_reader(new_key(), "rjs://reader/ada", "ada", "Institute of Tests", organisation.now),)


def job_token(organisation: Organisation) -> Chain:
    return organisation.job(AttemptId("ab" * 32, 7, Fence(1, 42, 3))).chain


ISSUED: dict[str, Callable[[Organisation], Chain]] = {
    "root": lambda organisation: (organisation.root,),
    "enrolment CA": lambda organisation: organisation.enrolment.chain,
    "token intermediate": lambda organisation: organisation.intermediate.chain,
    "record": lambda organisation: organisation.record.chain,
    "acceptance": lambda organisation: organisation.acceptance.chain,
    "signing": lambda organisation: organisation.signing().chain,
    "encryption": lambda organisation: organisation.encryption().chain,
    "encryption, own": own_reader,
    "answer": lambda organisation: organisation.answer(organisation.invitation(Role.CS)).chain,
    "job token": job_token,
    **{f"token, {role}": token(role) for role in sorted(INVITED | SERVERS)},
    **{f"invitation, {role}": invitation(role) for role in sorted(INVITED)},
}
"""Every sort of certificate that is issued anywhere, with its issuers."""


@pytest.mark.parametrize("sort", ISSUED)
def test_a_certificate_is_as_rfc_5280_wants_it(
    organisation: Organisation, sort: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing worse than a remark is found in it, but for what is allowed here with its reason."""
    leaf, *_ = ISSUED[sort](organisation)
    lint_pkix_cert.main(["lint", "-f", "JSON", written(leaf, tmp_path / "leaf.der")])
    assert findings(capsys.readouterr().out) <= ALLOWED


@pytest.mark.parametrize("sort", ISSUED)
def test_a_certificate_and_its_issuer_fit(
    organisation: Organisation, sort: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, key identifiers and signatures agree from the leaf to the root, which signed itself."""
    chain = ISSUED[sort](organisation)
    for subject, issuer in pairwise([*chain, chain[-1]]):
        paths = written(issuer, tmp_path / "issuer.der"), written(subject, tmp_path / "subject.der")
        lint_pkix_signer_signee_cert_chain.main(["lint", "-f", "JSON", *paths])
        assert findings(capsys.readouterr().out) <= (SELF_SIGNED if subject == issuer else set())


def test_every_kind_is_linted(organisation: Organisation) -> None:
    """A kind that is added without its row above fails here."""
    assert {profile_of(make(organisation)[0]).kind for make in ISSUED.values()} == set(Kind)


def test_the_linter_finds_what_is_wrong(
    organisation: Organisation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The allowed deviation is seen where it is, and a wrong issuer is noticed: the tests above can fail."""
    leaf, _, root = organisation.member(Role.CS).chain
    lint_pkix_cert.main(["lint", "-f", "JSON", written(leaf, tmp_path / "leaf.der")])
    assert findings(capsys.readouterr().out) == ALLOWED
    paths = written(root, tmp_path / "root.der"), written(leaf, tmp_path / "leaf.der")
    lint_pkix_signer_signee_cert_chain.main(["lint", "-f", "JSON", *paths])
    assert ("pkix.signature_verification_failed", "certificate.signature") in findings(
        capsys.readouterr().out
    )


def written(certificate: x509.Certificate, path: Path) -> str:
    """The certificate as a file."""
    path.write_bytes(certificate.public_bytes(Encoding.DER))
    return str(path)


def findings(printed: str) -> set[tuple[str, str]]:
    """What is worse than a remark, as code and place."""
    return {
        (finding["code"], result["node_path"].rpartition(".extnValue.")[2])
        for result in json.loads(printed)["results"]
        for finding in result["finding_descriptions"]
        if finding["severity"] != "INFO"
    }
