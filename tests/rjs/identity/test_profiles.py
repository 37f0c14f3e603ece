from __future__ import annotations

from pathlib import Path

from rjs.identity.oids import ACCEPTANCE_EKU, ANSWER_EKU, ENROLMENT_EKU, READER_EKU, RECORD_EKU
from rjs.identity.profiles import PROFILES, Profile

DOCUMENT = Path(__file__).parents[3] / "docs" / "identity.md"

OUR_USAGES = {
    ENROLMENT_EKU: "enrolment",
    ANSWER_EKU: "answer",
    READER_EKU: "reader",
    RECORD_EKU: "record",
    ACCEPTANCE_EKU: "acceptance",
}
"""Our own extended key usages, as the document calls them."""

SHOWN = ("serverAuth", "enrolment", "answer", "clientAuth", "codeSigning", "reader", "record", "acceptance")
"""In the document's order."""


def test_the_document_states_the_table() -> None:
    """Every kind's row in docs/identity.md says what the code issues and accepts, and there is no other row."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(oid.dotted_string in text for oid in OUR_USAGES)
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
    extended = {OUR_USAGES.get(oid) or oid._name for oid in profile.extended}
    shown = [name for name in SHOWN if name in extended]
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
