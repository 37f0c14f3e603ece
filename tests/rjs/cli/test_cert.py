"""``rjs cert``: what is shown is what is there, counted down, with what to do."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509

from rjs.identity.ca import cluster_of
from rjs.identity.folder import IdentityFolder
from rjs.identity.held import span
from rjs.identity.keys import our_public_key, spki_digest
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.limits import ENCRYPTION_LIFETIME
from rjs.state import cluster_folder

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

DAYS = dt.timedelta(days=1)


def joined(role: Role, folder: Path, age: dt.timedelta = dt.timedelta(0)) -> IdentityFolder:
    """The folder of a member whose token was issued so long ago."""
    organisation = Organisation(dt.datetime.now(dt.UTC) - age)
    invitation = organisation.invitation(role)
    identity = IdentityFolder(cluster_folder(folder, cluster_of(organisation.root)) / "identity")
    request = identity.create_pending(invitation, organisation.now)
    key = our_public_key(x509.load_der_x509_csr(request.token_request))
    chain = organisation.tokens.issue(key, invitation.subject, invitation.common_name, organisation.now)
    identity.complete(invitation, chain, organisation.now)
    return identity


def test_a_person_reads_the_countdown(rjs: Rjs, tmp_path: Path) -> None:
    """Every certificate is listed with its end, how long that is, and when it renews itself."""
    joined(Role.USER, tmp_path)
    said = rjs("--home", tmp_path, "cert", "list")
    assert said.status == 0, said.err
    token, encryption, root = said.out.splitlines()[1:]
    assert token.startswith("token ") and " in 1 d 23 h " in token and "renews itself from " in token
    assert encryption.startswith("encryption ") and "in 1094 d 23 h" in encryption
    assert root.startswith("root ") and "in 7299 d 23 h" in root


@pytest.mark.parametrize(
    ("age", "note"),
    [
        (36 * DAYS / 24, "renews itself now; at its end "),
        (5 * DAYS, "it has ended: it may renew itself until "),
        (33 * DAYS, "rjs ca invite CADIR --ws HOST:PORT --role cs, and you run rjs join"),
    ],
)
def test_what_to_do_is_told(rjs: Rjs, tmp_path: Path, age: dt.timedelta, note: str) -> None:
    """Due, expired within the grace and beyond it: each time what happens next, or who must do what."""
    joined(Role.CS, tmp_path, age)
    said = rjs("cert", "list", tmp_path, "--json")
    assert said.status == 0, said.err
    token, answer, root = json.loads(said.out)["certificates"]
    assert note in token["advice"]
    assert (token["seconds_left"] < 0) is (age > 2 * DAYS)
    assert (answer["what"], answer["advice"], root["what"]) == ("answer", "", "root")


def test_one_is_shown_in_full(rjs: Rjs, tmp_path: Path) -> None:
    """The key's digest is the one that others know it by; what is not there is named."""
    identity = joined(Role.CS, tmp_path)
    shown = json.loads(rjs("cert", "show", "answer", tmp_path, "--json").out)
    assert shown["key"] == spki_digest(identity.answer().key)
    assert rjs("cert", "show", "answer", tmp_path).out.count(shown["key"]) == 1
    missing = rjs("cert", "show", "signing", tmp_path)
    assert missing.status == 1 and "holds no signing certificate" in missing.err


def test_times_read_well() -> None:
    """Two units, the larger ones that are not zero; past times say so."""
    assert span(dt.timedelta(days=1, hours=4, minutes=9)) == "in 1 d 4 h"
    assert span(dt.timedelta(minutes=3)) == "in 3 min"
    assert span(dt.timedelta(seconds=-61)) == "1 min 1 s ago"
    assert span(dt.timedelta(0)) == "in 0 s"


def test_what_ends_soon_stands_out(rjs: Rjs, tmp_path: Path) -> None:
    """In a server's folder too: an encryption certificate in its last days says so in words, and what to do."""
    joined(Role.USER, tmp_path, dt.timedelta(seconds=ENCRYPTION_LIFETIME) - dt.timedelta(days=3))
    token, encryption, root = rjs("--home", tmp_path, "cert", "list").out.splitlines()[1:]
    assert " ENDED " in token and " SOON: in 2 d 23 h" in encryption and "SOON" not in root
    assert "rjs cert request --encryption" in encryption
