"""``rjs verify --crl``, and JARs that hold no job."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.forger import Forger
from rjs.bundle.testing import NOW, Party, make_party, make_signer, revocation_list
from rjs.identity.keys import save_chain

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

ROOT = make_party("Root", ca=True)
SIGNER = make_signer("Ada", ROOT)


@pytest.fixture
def arguments(tmp_path: Path) -> list[object]:
    """What judges a JAR of Ada's, which has no descriptor, by her root at a fixed time."""
    (tmp_path / "a.jar").write_bytes(Forger(signer=SIGNER, files={"a.txt": b"a"}).build())
    save_chain(tmp_path / "root.pem", [ROOT.certificate])
    return ["verify", tmp_path / "a.jar", "--trust", tmp_path / "root.pem", "--at", NOW.isoformat()]


def written(path: Path, revoked: list[Party], encoding: Encoding) -> Path:
    path.write_bytes(revocation_list(ROOT, revoked).public_bytes(encoding))
    return path


def test_a_jar_without_a_job_is_judged_by_its_signature(rjs: Rjs, arguments: list[object]) -> None:
    """Any signed JAR can be verified: a descriptor is not asked for."""
    assert rjs(*arguments).status == 0


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_lists_refuse_and_accept(
    encoding: Encoding, rjs: Rjs, arguments: list[object], tmp_path: Path
) -> None:
    """A fresh list accepts, one that names the signer refuses, and so does one that is stale by then."""
    good = written(tmp_path / "good.crl", [], encoding)
    bad = written(tmp_path / "bad.crl", [SIGNER], encoding)
    assert rjs(*arguments, "--crl", good).status == 0
    revoked = rjs(*arguments, "--crl", good, "--crl", bad)
    assert (revoked.status, revoked.err.startswith("refused: revoked: ")) == (1, True)
    late = [*arguments[:-1], (NOW + dt.timedelta(days=2)).isoformat()]
    assert rjs(*late).status == 0
    stale = rjs(*late, "--crl", good)
    assert (stale.status, stale.err.startswith("refused: revocation-unknown: ")) == (1, True)


def test_a_file_that_is_no_list_refuses(rjs: Rjs, arguments: list[object], tmp_path: Path) -> None:
    """What cannot be read proves nobody good, and one line says so."""
    (tmp_path / "x.crl").write_bytes(b"hello")
    said = rjs(*arguments, "--crl", tmp_path / "x.crl")
    assert said.status == 1
    assert said.err.startswith("refused: revocation-unknown: ")
    assert said.err.count("\n") == 1
    assert rjs(*arguments, "--crl", tmp_path / "missing.crl").status == 2
