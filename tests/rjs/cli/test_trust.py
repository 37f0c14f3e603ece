"""``rjs trust``: what the owner says reaches the file that the compute server reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rjs.identity.keys import spki_digest
from rjs.identity.testing import Organisation

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

CLUSTER = "clusters/0123456789abcdef"
"""Where a state folder keeps what it knows of that cluster."""


@pytest.fixture
def cs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a compute server that has joined, in an installation with the parts that ``rjs trust`` needs."""
    info = tmp_path / "site" / "rjs_cluster-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rjs-cluster\nVersion: 9\n")
    (info / "entry_points.txt").write_text(
        "[rjs.roles]\ncs.trust_store = cs.trust_store:TrustFolder\ncs.grant_for = cs.trust_store:grant_for\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    member = tmp_path / "cs" / CLUSTER / "identity" / "member.json"
    member.parent.mkdir(mode=0o700, parents=True)
    member.touch()
    return tmp_path / "cs"


def test_trust_is_given_listed_and_taken_back(
    rjs: Rjs, cs: Path, home: Path, organisation: Organisation
) -> None:
    """A signer's certificate and a CA's are two kinds of grant; the start of a fingerprint takes one back."""
    root = spki_digest(organisation.root)
    assert rjs("trust", "add", home / "root.pem", "--cs", cs).status == 0
    assert rjs("trust", "add", home / "ada.pem", "--cs", cs).status == 0
    assert rjs("trust", "add", "ab" * 32, "--cs", cs, "--label", "Eve", "--days", 7).status == 0
    grants = {grant["spki"]: grant for grant in json.loads(rjs("trust", "list", "--cs", cs, "--json").out)}
    assert grants[root]["kind"] == "ca"
    assert {grant["kind"] for grant in grants.values()} == {"ca", "signer"}
    assert grants["ab" * 32]["label"] == "Eve"
    assert grants["ab" * 32]["until"] is not None
    assert rjs("trust", "remove", "abababab", "--cs", cs).status == 0
    listed = rjs("trust", "list", "--cs", cs).out
    assert root in listed
    assert "Eve" not in listed


def test_a_slip_changes_nothing(rjs: Rjs, cs: Path) -> None:
    """What is neither a certificate nor a fingerprint is refused; so is taking back what was never given."""
    assert rjs("trust", "add", "3fa9", "--cs", cs).status == 1
    assert rjs("trust", "remove", "3fa9c1d2", "--cs", cs).status == 1
    assert json.loads(rjs("trust", "list", "--cs", cs, "--json").out) == []


def test_a_file_that_cannot_be_believed_is_named(rjs: Rjs, cs: Path) -> None:
    """``list`` fails and says what to mend, instead of showing grants that do not count."""
    (cs / CLUSTER / "trust.toml").write_text("[[grant]]\nspki = 1\n")
    said = rjs("trust", "list", "--cs", cs)
    assert said.status == 1
    assert "trust.toml" in said.err
