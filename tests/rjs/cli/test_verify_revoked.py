"""``rjs verify --answer`` by the cluster's list of what is revoked: a named one, or the one that was fetched last."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rjs.answers.answer_jar import Exited, Receipt, write_answer
from rjs.attempts import Fence
from rjs.identity.certificates import Identity
from rjs.identity.invitation import serial_of
from rjs.identity.keys import save_chain
from rjs.identity.names import Role
from rjs.identity.revocation import Revoked, What, sign_revocations
from rjs.identity.revocation_file import keep_revocations
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId, SpkiDigest

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

CS = "c" * 32


class Scene:
    """An answer of a compute server, and lists of what is revoked."""

    def __init__(self, organisation: Organisation, folder: Path) -> None:
        self.organisation, self.folder = organisation, folder
        invitation = organisation.invitation(Role.CS)
        self.cs, self.identity = invitation.subject, organisation.answer(invitation)
        self.answer = folder / "0.jar"
        receipt = Receipt(
            bundle_id=BundleId("a" * 64), task=0, fence=Fence(1, 2, 3), signer=SpkiDigest("b" * 64),
            cs=ServerId(self.cs.id), cs_name="desk", mflops=1.0, limits={}, limit_hit=None, exit=Exited(0),
            started=organisation.now, ended=organisation.now, wall_seconds=0.0, cpu_seconds=0.0, max_memory=0,
        )  # fmt: skip
        with self.answer.open("wb") as out:
            write_answer(
                out, receipt=receipt, files=[("stdout.txt", b""), ("stderr.txt", b"")],
                key=self.identity.key, chain=self.identity.chain,
            )  # fmt: skip

    def listed(self, path: Path, *entries: Revoked, age: float = 0.0, record: Identity | None = None) -> Path:
        """A list at ``path`` that was issued so many seconds ago."""
        issued = self.organisation.now - timedelta(seconds=age)
        keep_revocations(path, sign_revocations(record or self.organisation.record, 7, entries, issued))
        return path

    def member(self, ago: float = 60.0) -> Revoked:
        """The compute server, revoked so many seconds ago."""
        return Revoked(What.MEMBER, self.cs.uri(), self.organisation.now.timestamp() - ago, "stolen")


@pytest.fixture
def scene(organisation: Organisation, tmp_path: Path) -> Scene:
    return Scene(organisation, tmp_path)


def test_a_revoked_machine_answers_nothing(scene: Scene, home: Path, rjs: Rjs, tmp_path: Path) -> None:
    """By its name, its answer certificate or its invitation: refused with the reason, by a list that is named."""
    certificates = [Revoked(What.CERTIFICATE, serial_of(each), 1.0) for each in scene.identity.chain[:2]]
    for entry in (scene.member(), *certificates):
        named = scene.listed(tmp_path / "named", entry)
        said = rjs("verify", scene.answer, "--answer", "--trust", home / "root.pem", "--revocations", named)
        assert said.status == 1 and said.err.startswith("refused: revoked: "), said.err
        assert entry.reason in said.err
    named = scene.listed(tmp_path / "named", Revoked(What.MEMBER, f"rjs://cs/{CS}", 1.0))
    said = rjs("verify", scene.answer, "--answer", "--trust", home / "root.pem", "--revocations", named)
    assert said.status == 0 and said.err == ""


def test_ones_own_list_counts_by_default(scene: Scene, home: Path, rjs: Rjs) -> None:
    """The one in one's own folder, with nothing named; without one the answer counts, and it is said."""
    plain = rjs("--home", home, "verify", scene.answer, "--answer")
    assert plain.status == 0 and "not judged by a list of what is revoked: none was fetched yet" in plain.err
    scene.listed(home / "revocations", scene.member())
    refused = rjs("--home", home, "verify", scene.answer, "--answer")
    assert refused.status == 1 and refused.err.startswith("refused: revoked: ")


def test_what_was_revoked_later_does_not_count(scene: Scene, home: Path, rjs: Rjs, tmp_path: Path) -> None:
    """An answer that one had before is judged at the time when one had it."""
    named = scene.listed(tmp_path / "named", scene.member(ago=3600))
    for ago, status in ((7200, 0), (1800, 1)):
        at = (scene.organisation.now - timedelta(seconds=ago)).isoformat()
        early = Scene(Organisation(scene.organisation.now - timedelta(days=1)), tmp_path)
        named = early.listed(
            tmp_path / "named", Revoked(What.MEMBER, early.cs.uri(), scene.member(3600).when)
        )
        save_chain(tmp_path / "early.pem", [early.organisation.root])
        trust = ("--trust", tmp_path / "early.pem", "--revocations", named)
        said = rjs("--home", home, "verify", early.answer, "--answer", *trust, "--at", at)
        assert said.status == status, said.err


def test_an_old_list_is_told_of(scene: Scene, home: Path, rjs: Rjs) -> None:
    """It counts, and people read that it is old."""
    early = Organisation(scene.organisation.now - timedelta(days=3))
    old = Scene(early, scene.folder)
    save_chain(home / "root.pem", [early.root])
    old.listed(home / "revocations", age=0)
    said = rjs("--home", home, "verify", old.answer, "--answer")
    assert said.status == 0 and "judged by list 7 of what is revoked, good until" in said.err


def test_another_clusters_list_is_none(scene: Scene, home: Path, rjs: Rjs, tmp_path: Path) -> None:
    """Nor a file that is no list: refused, rather than left out."""
    stranger = Organisation(scene.organisation.now)
    theirs = scene.listed(tmp_path / "theirs", record=stranger.record)
    (tmp_path / "noise").write_bytes(b"\x93noise")
    for file, code in ((theirs, "identity.other_root"), (tmp_path / "noise", "identity.revocations")):
        said = rjs("--home", home, "verify", scene.answer, "--answer", "--revocations", file)
        assert said.status == 1 and said.err.startswith(f"refused: {code}: ")
    assert rjs("verify", scene.answer, "--trust", home / "root.pem", "--revocations", theirs).status == 2
