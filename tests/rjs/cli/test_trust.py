"""``rjs trust``: what the owner says reaches the file that the compute server reads."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from rjs.identity.ca import cluster_of
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import our_public_key, save_chain, spki_digest
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.state import cluster_folder

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs


def joined(organisation: Organisation, role: Role, folder: Path) -> Path:
    """The state folder of a server that has joined; the cluster's folder below it is returned."""
    invitation = organisation.invitation(role)
    cluster = cluster_folder(folder, cluster_of(organisation.root))
    identity = IdentityFolder(cluster / "identity")
    request = identity.create_pending(invitation, organisation.now)
    key = our_public_key(x509.load_der_x509_csr(request.token_request))
    chain = organisation.tokens.issue(key, invitation.subject, invitation.common_name, organisation.now)
    identity.complete(invitation, chain, organisation.now)
    return cluster


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation with the parts that ``rjs trust`` needs."""
    info = tmp_path / "site" / "rjs_cluster-9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rjs-cluster\nVersion: 9\n")
    (info / "entry_points.txt").write_text(
        "[rjs.roles]\ncs.trust_store = cs.trust_store:TrustFolder\ncs.grant_for = cs.trust_store:grant_for\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")


@pytest.fixture
def cs(tmp_path: Path, organisation: Organisation, installation: None) -> Path:
    """The folder of a compute server that has joined."""
    joined(organisation, Role.CS, tmp_path / "cs")
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
    assert grants["ab" * 32]["network"] == []
    places = ["--network", "data.example.org:443", "--network", "192.0.2.7:80"]
    given = rjs("trust", "add", "ab" * 32, "--cs", cs, *places)
    assert given.status == 0
    assert "and grants data.example.org:443, 192.0.2.7:80" in given.err
    listed = rjs("trust", "list", "--cs", cs).out
    assert "Eve" in listed
    assert "data.example.org:443, 192.0.2.7:80" in listed
    again = rjs("trust", "add", "ab" * 32, "--cs", cs, "--private", "nas.lan:80", *places[:2])
    assert "and grants data.example.org:443, nas.lan:80 (private)\n" in again.err
    assert "nas.lan:80 (private)" in rjs("trust", "list", "--cs", cs).out
    assert rjs("trust", "remove", "abababab", "--cs", cs).status == 0
    listed = rjs("trust", "list", "--cs", cs).out
    assert root in listed
    assert "Eve" not in listed


def test_a_slip_changes_nothing(rjs: Rjs, cs: Path) -> None:
    """What is neither a certificate nor a fingerprint is refused; so is taking back what was never given."""
    assert rjs("trust", "add", "3fa9", "--cs", cs).status == 2
    assert rjs("trust", "add", "ab" * 32, "--network", "nowhere", "--cs", cs).status == 2
    assert rjs("trust", "remove", "3fa9c1d2", "--cs", cs).status == 1
    assert json.loads(rjs("trust", "list", "--cs", cs, "--json").out) == []


@pytest.mark.usefixtures("installation")
def test_trust_belongs_to_a_compute_server(
    rjs: Rjs, tmp_path: Path, home: Path, organisation: Organisation
) -> None:
    """A lookup server runs nobody's jobs, so nothing is trusted in its folder."""
    cluster = joined(organisation, Role.LUS, tmp_path / "lus")
    said = rjs("trust", "add", home / "ada.pem", "--cs", tmp_path / "lus")
    assert said.status == 1
    assert "not of a cs" in said.err
    assert not (cluster / "trust.toml").exists()


def test_a_token_certificate_is_not_a_signing_one(
    rjs: Rjs, cs: Path, tmp_path: Path, organisation: Organisation
) -> None:
    """The wrong file of the right person is refused, and the right one is named."""
    save_chain(tmp_path / "token.pem", organisation.member(Role.USER).chain)
    said = rjs("trust", "add", tmp_path / "token.pem", "--cs", cs)
    assert said.status == 1
    assert "signing.pem" in said.err


def test_a_file_that_cannot_be_believed_is_named(rjs: Rjs, cs: Path, organisation: Organisation) -> None:
    """``list`` fails and says what to mend, instead of showing grants that do not count."""
    (cluster_folder(cs, cluster_of(organisation.root)) / "trust.toml").write_text("[[grant]]\nspki = 1\n")
    said = rjs("trust", "list", "--cs", cs)
    assert said.status == 1
    assert "trust.toml" in said.err


def test_what_was_said_before_is_named(rjs: Rjs, cs: Path) -> None:
    """Who replaces a grant reads what it was; its end may be an instant, which a refusal's command keeps."""
    key, until = "ab" * 32, "2199-01-02T03:04:05.678901+00:00"
    first = rjs("trust", "add", key, "--cs", cs, "--network", "a.org:1", "--until", until)
    assert first.status == 0
    assert "before, it did so" not in first.err
    [grant] = json.loads(rjs("trust", "list", "--cs", cs, "--json").out)
    assert datetime.fromisoformat(grant["until"]) == datetime.fromisoformat(until)
    second = rjs("trust", "add", key, "--cs", cs)
    assert second.status == 0
    assert "until you take it back, and grants no network place" in second.err
    assert (
        "before, it did so until 2199-01-02T03:04:05+00:00, and grants a.org:1: that is replaced"
        in second.err
    )


@pytest.mark.parametrize("ends", [["--until", "2020-01-01"], ["--until", "2199-01-01", "--days", "3"]])
def test_an_end_that_cannot_be_meant_is_a_slip(rjs: Rjs, cs: Path, ends: list[str]) -> None:
    """An end in the past, or two ends: nothing is granted."""
    assert rjs("trust", "add", "ab" * 32, "--cs", cs, *ends).status == 2
    assert json.loads(rjs("trust", "list", "--cs", cs, "--json").out) == []
