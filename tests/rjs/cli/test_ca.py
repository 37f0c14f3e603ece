"""``rjs ca``: from an empty folder to a certified signing key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization

from rjs.identity.invitation import Invitation
from rjs.identity.keys import load_chain, new_key, spki_digest
from rjs.identity.names import signer_uri
from rjs.identity.requests import make_request

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

WS = "cluster.example.org:9000"


@pytest.fixture
def cadir(rjs: Rjs, tmp_path: Path) -> Path:
    """An operator's folder."""
    assert rjs("ca", "init", tmp_path / "ca", "--organisation", "Institute").status == 0
    return tmp_path / "ca"


def test_an_organisation_is_made_once(rjs: Rjs, cadir: Path) -> None:
    """A second init in the same folder is refused and changes nothing."""
    before = (cadir / "root.pem").read_bytes()
    again = rjs("ca", "init", cadir)
    assert again.status == 1
    assert again.err.startswith("refused: ")
    assert (cadir / "root.pem").read_bytes() == before


def test_invitations_are_lines_that_join_reads(rjs: Rjs, cadir: Path) -> None:
    """Each line is another invitation for the role that was asked for, with the web server's address."""
    said = rjs("ca", "invite", cadir, "--ws", WS, "--role", "cs", "--count", 3)
    invitations = [Invitation.decode(line) for line in said.out.splitlines()]
    assert len({each.subject.id for each in invitations}) == 3
    assert all(each.ws == (WS,) and each.subject.role == "cs" for each in invitations)
    as_json = json.loads(rjs("ca", "invite", cadir, "--ws", WS, "--role", "lus", "--json").out)
    assert Invitation.decode(as_json[0]["invitation"]).subject.uri() == as_json[0]["member"]


def test_several_servers_of_one_label_are_numbered(rjs: Rjs, cadir: Path) -> None:
    """Status and `rjs ws revoke` go by these names: no two of an invitation's batch are the same."""
    said = rjs("ca", "invite", cadir, "--ws", WS, "--role", "cs", "--count", 2, "--name", "lab")
    invitations = [Invitation.decode(line) for line in said.out.splitlines()]
    assert [each.common_name for each in invitations] == ["lab-1", "lab-2"]


def test_a_person_is_invited_by_name_and_alone(rjs: Rjs, cadir: Path) -> None:
    """A user's or administrator's invitation is for one account."""
    said = rjs("ca", "invite", cadir, "--ws", WS, "--role", "user", "--name", "ada")
    assert Invitation.decode(said.out).subject.id == "ada"
    assert rjs("ca", "invite", cadir, "--ws", WS, "--role", "user").status == 2
    assert rjs("ca", "invite", cadir, "--ws", WS, "--role", "admin", "--name", "b", "--count", 2).status == 2


@pytest.mark.parametrize("address", ["cluster", "h:0", "h:99999", "a b:9000"])
def test_a_wrong_address_is_refused(rjs: Rjs, cadir: Path, address: str) -> None:
    """Nothing is invited to a place that cannot be."""
    said = rjs("ca", "invite", cadir, "--ws", address, "--role", "lus")
    assert (said.status, said.out) == (1, "")


def test_issue_certifies_the_requested_key(rjs: Rjs, cadir: Path, tmp_path: Path) -> None:
    """The certificate lands beside the request, for its key and account, under the root."""
    key = new_key()
    request = tmp_path / "signing-request.pem"
    pem = make_request(key, signer_uri("ada"), "ada").public_bytes(serialization.Encoding.PEM)
    request.write_bytes(pem)
    said = rjs("ca", "issue", cadir, request)
    assert said.status == 0
    assert "ada" in said.err
    chain = load_chain(tmp_path / "signing.pem")
    assert spki_digest(chain[0]) == spki_digest(key)
    assert chain[1:] == load_chain(cadir / "root.pem")


def test_issue_refuses_what_is_no_request(rjs: Rjs, cadir: Path) -> None:
    """Any other file is refused, and no certificate appears."""
    said = rjs("ca", "issue", cadir, cadir / "root.pem")
    assert said.status == 1
    assert not (cadir / "signing.pem").exists()


def test_what_was_issued_is_listed(rjs: Rjs, cadir: Path, tmp_path: Path) -> None:
    """Every invitation and signing certificate, in order, and nothing that would let a reader use one."""
    assert rjs("ca", "list", cadir, "--json").out == "[]\n"
    lines = rjs("ca", "invite", cadir, "--ws", WS, "--role", "cs", "--count", 2).out.splitlines()
    pem = make_request(new_key(), signer_uri("ada"), "ada").public_bytes(serialization.Encoding.PEM)
    (tmp_path / "signing-request.pem").write_bytes(pem)
    assert rjs("ca", "issue", cadir, tmp_path / "signing-request.pem").status == 0
    listed = json.loads(rjs("ca", "list", cadir, "--json").out)
    invited = [Invitation.decode(line) for line in lines]
    assert [entry["name"] for entry in listed] == [each.subject.uri() for each in invited] + [
        "rjs://signer/ada"
    ]
    assert [entry["serial"] for entry in listed[:2]] == [each.serial for each in invited]
    assert "rjs://signer/ada" in rjs("ca", "list", cadir).out
