"""Answers that are jobs, jobs that are answers, and answers that are not what their receipt says."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509

from rjs.answers.answer_jar import Exited, OpenedAnswer, Receipt, open_answer, write_answer
from rjs.attempts import Fence
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger, refusal_of
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import NOW, Party, make_party
from rjs.identity.certificates import sole_uri
from rjs.identity.names import Role, answer_uri
from rjs.identity.oids import ANSWER_EKU
from rjs.identity.profiles import Kind
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId, SpkiDigest

CS = ServerId("0" * 32)
FILES = {"out/picture.bin": b"pixels", "stdout.txt": b"hello\n", "stderr.txt": b""}
RECEIPT = Receipt(
    bundle_id=BundleId("a" * 64),
    task=3,
    fence=Fence(1, 2, 3),
    signer=SpkiDigest("b" * 64),
    cs=CS,
    cs_name="desk 7",
    mflops=1234.5,
    limits={"memory": 512, "wall_time": 1.5},
    limit_hit=None,
    exit=Exited(0),
    started=NOW,
    ended=NOW + timedelta(seconds=2),
    wall_seconds=2.0,
    cpu_seconds=1.5,
    max_memory=1000,
)


def enrolled(organisation: Organisation | None = None) -> Party:
    """A CS as enrolment makes it: root, enrolment CA, invitation, answer certificate."""
    organisation = organisation or Organisation(NOW)
    answer = organisation.answer(organisation.invitation(Role.CS))
    return Party(answer.key, answer.chain)


def invited(usage: x509.ObjectIdentifier) -> Party:
    """What an invitation would certify if its holder were free to choose the usage."""
    enrolment = make_party(
        "Enrolment", make_party("Root", ca=True), ca=True, path_length=1, usages=[ANSWER_EKU]
    )
    invitation = make_party("Invitation", enrolment, ca=True, path_length=0, usages=[ANSWER_EKU])
    return make_party("desk 7", invitation, usages=[usage])


def receipt_of(cs: Party) -> Receipt:
    """An honest receipt of this CS."""
    server = ServerId(sole_uri(cs.certificate).rpartition("/")[2])
    return msgspec.structs.replace(RECEIPT, cs=server)


@pytest.fixture(scope="module")
def cs() -> Party:
    return enrolled()


def opened(jar: bytes, root: x509.Certificate) -> OpenedAnswer:
    return open_answer(io.BytesIO(jar), roots=[root], at=NOW)


def refusal(jar: bytes, root: x509.Certificate) -> str:
    with pytest.raises(BundleRefusedError) as caught:
        opened(jar, root)
    return caught.value.code


def written(cs: Party) -> tuple[bytes, Receipt]:
    out = io.BytesIO()
    receipt = write_answer(out, receipt=receipt_of(cs), files=FILES.items(), key=cs.key, chain=cs.chain)
    return out.getvalue(), receipt


def forged(cs: Party, files: dict[str, bytes] | None = None, changes: dict[str, Any] | None = None) -> Forger:
    """An answer as a dishonest but enrolled CS could sign it."""
    receipt = msgspec.structs.replace(written(cs)[1], **(changes or {}))
    encoded = msgspec.json.encode(receipt)
    return Forger(signer=cs, files={**FILES, "receipt.json": encoded, **(files or {})})


def test_an_honest_answer(cs: Party) -> None:
    """What a CS wrote opens with its receipt, its files and its signer."""
    jar, receipt = written(cs)
    answer = opened(jar, cs.root)
    assert answer.receipt == receipt
    assert answer.bundle.read("out/picture.bin", 10) == b"pixels"
    assert set(receipt.digests) == set(FILES)
    assert len(answer.signer.path) == 4
    assert opened(forged(cs).build(), cs.root).receipt == receipt


def test_an_answer_is_never_a_job(cs: Party) -> None:
    """The reader of jobs refuses an answer by its certificate."""
    jar, _ = written(cs)
    assert refusal_of(jar) == "certificate"
    assert refusal_of(jar, roots=[cs.root]) == "certificate"


def test_a_job_is_never_an_answer(cs: Party) -> None:
    """The reader of answers refuses what a code-signing certificate signed, though it chains to the same root."""
    for usage in ([CODE_SIGNING], [CODE_SIGNING, ANSWER_EKU]):
        signer = make_party("Ada", make_party("Organisation", ca=True), usages=usage)
        assert refusal(forged(cs).build(), signer.root) == "path"
        jar = Forger(signer=signer, files=forged(cs).files).build()
        assert refusal(jar, signer.root) == "certificate"


def test_an_invitation_for_code_signing_is_none() -> None:
    """An enrolment path cannot issue code-signing certificates that anybody accepts for jobs."""
    assert refusal_of(Forger(signer=invited(CODE_SIGNING)).build()) == "path"


def test_an_answer_of_another_organisation(cs: Party) -> None:
    """An answer key counts only under the root that the reader names; the block's own proves nothing here."""
    assert refusal(written(enrolled())[0], cs.root) == "path"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("run.py", "answer-files"),
        ("job.toml", "answer-files"),
        ("outside", "answer-files"),
        ("OUT2/x", "answer-files"),
        ("META-INF/services/x", "answer-files"),
        ("out/../x", "name"),
    ],
)
def test_files_elsewhere(name: str, code: str, cs: Party) -> None:
    """An answer holds outputs and our own files, nothing else."""
    assert refusal(forged(cs, {name: b""}).build(), cs.root) == code


@pytest.mark.parametrize("name", ["Main-Class", "RJS-Name", "X-Note"])
def test_main_attributes(name: str, cs: Party) -> None:
    """An answer cannot be started as a program, nor dressed as a job."""
    answer = forged(cs)
    answer.main[name] = "x"
    assert refusal(answer.build(), cs.root) == "answer-attributes"


def test_class_path(cs: Party) -> None:
    """Class-Path is refused like in any bundle."""
    answer = forged(cs)
    answer.main["Class-Path"] = "other.jar"
    assert refusal(answer.build(), cs.root) == "attribute"


def test_changed_output(cs: Party) -> None:
    """An answer is accepted only when every file in it was hashed."""
    archive = forged(cs).archive()
    archive.member("out/picture.bin").content = b"pixelz"
    assert refusal(archive.build(), cs.root) == "file-changed"


RECEIPTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "not JSON": lambda _: b"hello",
    "not UTF-8": lambda data: data.replace(b"desk 7", b"desk \xff"),
    "trailing bytes": lambda data: data + b"{}",
    "missing field": lambda data: data.replace(b'"task"', b'"tusk"'),
    "negative task": lambda data: data.replace(b'"task":3', b'"task":-3'),
    "task as text": lambda data: data.replace(b'"task":3', b'"task":"3"'),
    "id in capitals": lambda data: data.replace(b"a" * 64, b"A" * 64),
    "time without zone": lambda data: data.replace(b"12:00:00Z", b"12:00:00"),
    "unknown kind of end": lambda data: data.replace(b'"exited"', b'"vanished"'),
    "infinite speed": lambda data: data.replace(b"1234.5", b"1e999"),
    "name too long": lambda data: data.replace(b"desk 7", b"x" * 201),
    "nested without end": lambda _: b"[" * 100_000,
}


@pytest.mark.parametrize("change", RECEIPTS.values(), ids=RECEIPTS.keys())
def test_malformed_receipt(change: Callable[[bytes], bytes], cs: Party) -> None:
    """A receipt is exactly of its form, or the answer is refused."""
    answer = forged(cs)
    answer.files["receipt.json"] = change(answer.files["receipt.json"])
    assert refusal(answer.build(), cs.root) == "answer-receipt"


@pytest.mark.parametrize(
    "digests",
    [
        {},
        dict.fromkeys(FILES, "0" * 64),
        {**written(enrolled())[1].digests, "out/more": "0" * 64},
    ],
    ids=["none", "others", "one more"],
)
def test_digests_that_disagree(digests: dict[str, str], cs: Party) -> None:
    """The receipt's digests are those of exactly the other files."""
    assert refusal(forged(cs, changes={"digests": digests}).build(), cs.root) == "answer-receipt"


def test_missing_receipt(cs: Party) -> None:
    """Without a receipt it is no answer."""
    answer = forged(cs)
    del answer.files["receipt.json"]
    assert refusal(answer.build(), cs.root) == "missing-file"


@pytest.mark.parametrize("server", ["1" * 32, "x", ""])
def test_answer_in_the_name_of_another_server(server: str, cs: Party) -> None:
    """A CS answers for itself only, however valid its signature."""
    assert refusal(forged(cs, changes={"cs": server}).build(), cs.root) == "answer-receipt"


def test_expired_answer_certificate() -> None:
    """An answer is judged at its commit time, not at the time of reading."""
    cs = enrolled()
    jar, _ = written(cs)
    end = cs.certificate.not_valid_after_utc
    assert open_answer(io.BytesIO(jar), roots=[cs.root], at=end).receipt.task == 3
    with pytest.raises(BundleRefusedError, match="certificate-expired"):
        open_answer(io.BytesIO(jar), roots=[cs.root], at=end + timedelta(seconds=1))


@pytest.mark.parametrize("name", ["receipt.json", "job.toml", "../x", "out"])
def test_nothing_else_is_written(name: str, cs: Party) -> None:
    """A writer cannot be talked into an answer that its reader refuses."""
    with pytest.raises(BundleRefusedError):
        write_answer(io.BytesIO(), receipt=receipt_of(cs), files=[(name, b"")], key=cs.key, chain=cs.chain)


def test_signers_and_answers_below_one_root_stay_apart() -> None:
    """With the organisation's own root for both, each reader still takes only its kind."""
    organisation = Organisation(NOW)
    root, ada = organisation.root, organisation.signing("ada")
    cs, signer = enrolled(organisation), Party(ada.key, ada.chain)
    assert opened(written(cs)[0], root).receipt == written(cs)[1]
    assert refusal_of(Forger(signer=signer).build(), roots=[root]) == "accepted"
    assert refusal(Forger(signer=signer, files=forged(cs).files).build(), root) == "certificate"
    assert refusal_of(written(cs)[0], roots=[root]) == "certificate"


def test_an_answer_key_that_a_server_made_for_another() -> None:
    """A CS's one-time key certifies an answer key for that CS only, whatever name it puts in."""
    organisation = Organisation(NOW)
    invitation = organisation.invitation(Role.CS)
    other = "1" * 32
    key = organisation.forge(Kind.ANSWER, invitation.identity, answer_uri(other), lifetime=86_400.0)
    forger = Party(key.key, key.chain)
    assert refusal(written(forger)[0], organisation.root) == "answer-receipt"
