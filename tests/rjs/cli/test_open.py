"""``rjs open``, as people use it."""

from __future__ import annotations

import io
import json
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from rjs.answers.answer_jar import Exited, Receipt, write_answer
from rjs.answers.sealed_outputs import seal_outputs
from rjs.attempts import Fence
from rjs.bundle.seal_testing import make_recipient
from rjs.bundle.testing import Party
from rjs.bundle.verify import open_bundle
from rjs.descriptor import read_descriptor
from rjs.identity.certificates import sole_uri
from rjs.identity.encryption import encryption_certificate, make_encryption_key
from rjs.identity.keys import load_chain, save_chain
from rjs.identity.names import Role
from rjs.identity.passphrases import change_passphrase
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId, SpkiDigest

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

OUTPUTS = {"out/data/picture.bin": b"pixels", "stdout.txt": b"hello\n", "stderr.txt": b""}


class Desk:
    """A compute server's desk: answers of an organisation, plain and sealed for Ada, and what Ada opens them with."""

    def __init__(self, organisation: Organisation, folder: Path) -> None:
        self.folder = folder
        self.ada = make_recipient("Ada")
        self._identity = organisation.answer(organisation.invitation(Role.CS))
        server = sole_uri(self._identity.chain[0]).rpartition("/")[2]
        self.receipt = Receipt(
            bundle_id=BundleId("a" * 64),
            task=3,
            fence=Fence(1, 2, 3),
            signer=SpkiDigest("b" * 64),
            cs=ServerId(server),
            cs_name="desk \x1b[31m7",
            mflops=1.0,
            limits={},
            limit_hit=None,
            exit=Exited(0),
            started=organisation.now,
            ended=organisation.now,
            wall_seconds=0.0,
            cpu_seconds=0.0,
            max_memory=0,
        )
        self.trust = ("--trust", folder / "root.pem")
        save_chain(folder / "root.pem", [organisation.root])
        self.pair = self.saved(self.ada)

    def saved(self, reader: Party) -> tuple[object, ...]:
        """The options that name this reader's key and certificate."""
        name = f"{reader.certificate.serial_number}"
        key, certificate = self.folder / f"{name}.key", self.folder / f"{name}.pem"
        pem = reader.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        key.write_bytes(pem)
        save_chain(certificate, reader.chain)
        return "--key", key, "--certificate", certificate

    def plain(self) -> Path:
        return self._answer(OUTPUTS)

    def sealed(self, *others: x509.Certificate) -> Path:
        out = io.BytesIO()
        recipients = [self.ada.certificate, *others]
        seal_outputs(out, receipt=self.receipt, files=OUTPUTS.items(), recipients=recipients)
        return self._answer({"sealed.cms": out.getvalue()})

    def _answer(self, files: dict[str, bytes]) -> Path:
        path = self.folder / "3.jar"
        key, chain = self._identity.key, self._identity.chain
        with path.open("wb") as out:
            write_answer(out, receipt=self.receipt, files=files.items(), key=key, chain=chain)
        return path

    def nothing_new(self) -> bool:
        """Whether no folder and no temporary file is there."""
        return not [
            each
            for each in self.folder.iterdir()
            if each.is_dir() or each.suffix not in (".jar", ".pem", ".key")
        ]


@pytest.fixture
def desk(organisation: Organisation, tmp_path: Path) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(organisation, folder)


def found(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_plain_answer_is_unpacked_beside_itself(rjs: Rjs, desk: Desk) -> None:
    """The folder is named like the answer and printed on stdout; nothing from the answer reaches the terminal raw."""
    said = rjs("open", desk.plain(), *desk.trust)
    assert said.status == 0, said.err
    assert said.out == f"{desk.folder / '3'}\n"
    assert "task 3" in said.err
    assert "\x1b" not in said.err
    files = found(desk.folder / "3")
    assert {name: files[name] for name in OUTPUTS} == OUTPUTS
    assert set(files) == {*OUTPUTS, "receipt.json"}


def test_a_sealed_answer_is_unpacked_the_same(rjs: Rjs, desk: Desk, tmp_path: Path) -> None:
    """With key and certificate a sealed answer yields the same files, private, with a receipt of their digests."""
    into = tmp_path / "results"
    said = rjs("open", desk.sealed(), *desk.trust, *desk.pair, "--into", into, "--json")
    assert said.status == 0, said.err
    stated = json.loads(said.out)
    assert (stated["into"], stated["sealed"], stated["task"]) == (str(into), True, 3)
    assert stated["exit"] == {"type": "exited", "status": 0}
    files = found(into)
    assert {name: files[name] for name in OUTPUTS} == OUTPUTS
    assert set(json.loads(files["receipt.json"])["digests"]) == set(OUTPUTS)
    assert stat.S_IMODE((into / "stdout.txt").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_a_sealed_answer_needs_its_reader(rjs: Rjs, desk: Desk) -> None:
    """Without a key, with another reader's, or with a key and certificate that are no pair, nothing is unpacked."""
    answer = desk.sealed()
    eve = desk.saved(make_recipient("Eve"))
    mixed = (*eve[:2], *desk.pair[2:])
    for options, code in ((), "sealed-key"), (eve, "sealed-recipient"), (mixed, "sealed-key"):
        said = rjs("open", answer, *desk.trust, *options)
        assert (said.status, said.out) == (1, "")
        assert said.err.startswith(f"refused: {code}: ")
        assert desk.nothing_new()


def test_an_answer_that_was_not_sealed_says_so(rjs: Rjs, desk: Desk) -> None:
    """Who expected sealed outputs learns that they came in the clear."""
    said = rjs("open", desk.plain(), *desk.trust, *desk.pair)
    assert said.status == 0
    assert "not sealed" in said.err


@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_a_changed_answer(rjs: Rjs, desk: Desk, kind: str) -> None:
    """A changed byte leaves no folder, unless it is a ZIP header's time, which says nothing: then the same files."""
    answer: Path = getattr(desk, kind)()
    data, refused = answer.read_bytes(), 0
    for position in range(0, len(data), 97):
        answer.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        said = rjs("open", answer, *desk.trust, *desk.pair)
        if said.status == 0:
            assert {name: found(desk.folder / "3")[name] for name in OUTPUTS} == OUTPUTS
            shutil.rmtree(desk.folder / "3")
        refused += said.status
        assert desk.nothing_new()
    assert refused > len(data) // 97 * 0.8


def test_an_answer_of_another_organisation(rjs: Rjs, desk: Desk, organisation: Organisation) -> None:
    """Only the root that is named counts."""
    save_chain(desk.folder / "root.pem", [Organisation(organisation.now).root])
    said = rjs("open", desk.plain(), *desk.trust)
    assert said.status == 1
    assert said.err.startswith("refused: path: ")


def test_an_old_answer_is_judged_at_its_commit(rjs: Rjs, desk: Desk, organisation: Organisation) -> None:
    """``--at`` decides as of which time the certificates count."""
    late = organisation.now + timedelta(days=365 * 30)
    answer = desk.plain()
    said = rjs("open", answer, *desk.trust, "--at", late.isoformat())
    assert said.err.startswith("refused: certificate-expired: ")
    assert rjs("open", answer, *desk.trust, "--at", organisation.now.isoformat()).status == 0


@pytest.mark.parametrize("take", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_nothing_is_replaced(rjs: Rjs, desk: Desk, take: Callable[[Path], None]) -> None:
    """A folder, file or link in the folder's place stays as it is, and the command says what to do."""
    into = desk.folder / "results"
    take(into)
    said = rjs("open", desk.plain(), *desk.trust, "--into", into)
    assert said.status == 2
    assert "--into" in said.err


def test_wrong_usage(rjs: Rjs, desk: Desk) -> None:
    """Half a pair, a folder in no folder, and several roots are wrong usage."""
    answer = desk.plain()
    assert rjs("open", answer, *desk.trust, *desk.pair[:2]).status == 2
    assert rjs("open", answer, *desk.trust, "--into", desk.folder / "no" / "where").status == 2
    assert rjs("--home", desk.folder, "open", answer).status == 2
    save_chain(desk.folder / "root.pem", [*desk.ada.chain, *desk.ada.chain])
    assert rjs("open", answer, *desk.trust).status == 2


def test_a_key_with_a_passphrase(rjs: Rjs, desk: Desk, tmp_path: Path) -> None:
    """It opens with the passphrase; without it, or with another, the answer is not touched."""
    key = Path(str(desk.pair[1]))
    locked = BestAvailableEncryption(b"secret")
    key.write_bytes(desk.ada.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    said = rjs("open", desk.sealed(), *desk.trust, *desk.pair)
    assert (said.status, "--passphrase-file" in said.err) == (2, True)
    passphrase.write_text("guess\n")
    said = rjs("open", desk.sealed(), *desk.trust, *desk.pair, "--passphrase-file", passphrase)
    assert said.err.startswith("refused: sealed-key: ")
    assert desk.nothing_new()
    passphrase.write_text("secret\n")
    said = rjs("open", desk.sealed(), *desk.trust, *desk.pair, "--passphrase-file", passphrase)
    assert said.status == 0, said.err


# --- by one's own folder ----------------------------------------------------------------------------------


@pytest.fixture
def own(home: Path, organisation: Organisation) -> Path:
    """Ada's own folder, with an encryption key."""
    make_encryption_key(home, "ada", "Institute", organisation.now)
    return home


def test_an_answer_for_oneself_opens_with_nothing_said(
    rjs: Rjs, desk: Desk, own: Path, organisation: Organisation
) -> None:
    """Sealed or plain: root and key are those of one's own folder; so they are after the certificate changed."""
    certificate = encryption_certificate(own, organisation.now)
    for answer in (desk.sealed(certificate), desk.plain()):
        said = rjs("--home", own, "open", answer)
        assert said.status == 0 and "not sealed" not in said.err, said.err
        assert {name: found(desk.folder / "3")[name] for name in OUTPUTS} == OUTPUTS
        shutil.rmtree(desk.folder / "3")
    answer = desk.sealed(certificate)
    (own / "encryption.pem").unlink()
    assert rjs("--home", own, "open", answer).status == 0


def test_an_answer_for_others_says_so(rjs: Rjs, desk: Desk, own: Path) -> None:
    """One's own key is tried, and what else would do is named; whoever has none is told that."""
    said = rjs("--home", own, "open", desk.sealed())
    assert (said.status, said.err.startswith("refused: sealed-recipient: ")) == (1, True)
    for path in own.glob("encryption*"):
        path.unlink()
    said = rjs("--home", own, "open", desk.sealed())
    assert said.err.startswith("refused: sealed-key: ") and "--key and --certificate" in said.err
    assert desk.nothing_new()


def test_ones_own_key_may_have_a_passphrase(
    rjs: Rjs, desk: Desk, own: Path, organisation: Organisation, tmp_path: Path
) -> None:
    """It is asked for where an answer is sealed, and nowhere else."""
    change_passphrase(own, ["encryption.key"], None, lambda: b"open sesame")
    answer = desk.sealed(encryption_certificate(own, organisation.now))
    assert rjs("--home", own, "open", answer).status == 2
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    for text, status in (("guess", 1), ("open sesame", 0)):
        passphrase.write_text(text)
        assert rjs("--home", own, "open", answer, "--passphrase-file", passphrase).status == status
    assert rjs("--home", own, "open", desk.plain(), "--into", tmp_path / "plain").status == 0


def test_an_answer_is_verified_by_ones_own_root(
    rjs: Rjs, desk: Desk, own: Path, organisation: Organisation, tmp_path: Path
) -> None:
    """Without ``--trust`` the root of one's own folder counts, for answers alone, and no other."""
    answer = desk.plain()
    assert rjs("--home", own, "verify", answer, "--answer").status == 0
    assert rjs("--home", own, "verify", answer).status == 2
    save_chain(own / "root.pem", [Organisation(organisation.now).root])
    assert rjs("--home", own, "verify", answer, "--answer").err.startswith("refused: path: ")
    said = rjs("--home", tmp_path / "nobody", "verify", answer, "--answer")
    assert (said.status, "--trust" in said.err) == (2, True)


def test_a_job_is_packed_for_oneself(rjs: Rjs, own: Path, tmp_path: Path, organisation: Organisation) -> None:
    """``--encrypt`` names one's own certificate in the signed descriptor, beside those of others, once each."""
    script, jar = tmp_path / "sum.py", tmp_path / "sum.jar"
    script.write_text("print(1)\n")
    save_chain(tmp_path / "bob.pem", organisation.encryption("bob").chain[:1])
    pack = ("--home", own, "pack", script, "-o", jar, "--encrypt")
    assert rjs(*pack, "--encrypt-for", tmp_path / "bob.pem").status == 0
    with jar.open("rb") as file:
        descriptor = read_descriptor(open_bundle(file, at=datetime.now(UTC)))
    assert descriptor.answer.recipients == tuple(
        each.public_bytes(Encoding.DER)
        for each in (encryption_certificate(own, organisation.now), load_chain(tmp_path / "bob.pem")[0])
    )
    assert rjs(*pack, "--encrypt-for", own / "encryption.pem").err.startswith("refused: seal-recipient: ")
    save_chain(tmp_path / "bob.pem", organisation.encryption("bob").chain)
    assert rjs(*pack, "--encrypt-for", tmp_path / "bob.pem").status == 0
    save_chain(
        tmp_path / "bob.pem", organisation.encryption("bob").chain[:1] + organisation.encryption("eve").chain
    )
    assert rjs(*pack, "--encrypt-for", tmp_path / "bob.pem").status == 2
    for path in own.glob("encryption*"):
        path.unlink()
    assert "rjs cert request --encryption" in rjs(*pack).err
