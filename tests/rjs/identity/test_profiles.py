from __future__ import annotations

from pathlib import Path

from rjs.identity.oids import ACCEPTANCE_EKU, ANSWER_EKU, ENROLMENT_EKU, READER_EKU, RECORD_EKU
from rjs.identity.profiles import PROFILES, Profile

DOCUMENT = Path(__file__).parents[3] / "docs" / "identity.md"


def test_the_document_states_the_table() -> None:
    """Every kind's row in docs/identity.md says what the code issues and accepts, and there is no other row."""
    text = DOCUMENT.read_text(encoding="utf-8")
    own = (ACCEPTANCE_EKU, ANSWER_EKU, ENROLMENT_EKU, READER_EKU, RECORD_EKU)
    assert all(oid.dotted_string in text for oid in own)
    section = text.split("## Certificates")[1].split("## Names")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line[:1] == "|"
    ]
    assert [row[:5] for row in rows[2:]] == [row_of(profile) for profile in PROFILES.values()]


def row_of(profile: Profile) -> list[str]:
    constraint = "CA" if profile.is_ca else "no"
    if profile.path_length is not None:
        constraint += f", {profile.path_length}"
    usage = profile.key_usage
    flags = {
        "digitalSignature": usage.digital_signature,
        "keyCertSign": usage.key_cert_sign,
        "cRLSign": usage.crl_sign,
        "keyAgreement": usage.key_agreement,
    }
    names = {ANSWER_EKU: "answer", ENROLMENT_EKU: "enrolment", READER_EKU: "reader", RECORD_EKU: "record"}
    names[ACCEPTANCE_EKU] = "acceptance"
    extended = {names.get(oid) or oid._name for oid in profile.extended}
    order = ("serverAuth", "enrolment", "answer", "clientAuth", "codeSigning", "reader", "record")
    shown = [name for name in order if name in extended]
    issuer = (
        "itself" if profile.issuer is profile.kind else profile.issuer.value.removeprefix("organisation ")
    )
    return [
        profile.kind.value,
        issuer,
        constraint,
        ", ".join(n for n, on in flags.items() if on),
        ", ".join(shown),
    ]
