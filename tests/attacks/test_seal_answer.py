"""Sealed answers by compute servers that are enrolled and dishonest, and by whoever can touch them on their way."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rjs import limits
from rjs.answers.answer_jar import Exited, OpenedAnswer, Receipt, open_answer, write_answer
from rjs.answers.sealed_outputs import check_sealed_for, open_outputs, recipients_of, seal_outputs
from rjs.attempts import Fence
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger, RawMember, RawZip
from rjs.bundle.seal import seal
from rjs.bundle.seal_testing import make_recipient
from rjs.bundle.testing import NOW, Party
from rjs.errors import RefusedError
from rjs.identity.certificates import sole_uri
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId, SpkiDigest

ORGANISATION = Organisation(NOW)
ADA = make_recipient("Ada")
OUTPUTS = {"out/picture.bin": b"pixels", "stdout.txt": b"hello\n", "stderr.txt": b""}


def enrolled() -> tuple[Party, Receipt]:
    """A compute server and an honest receipt of it."""
    identity = ORGANISATION.answer(ORGANISATION.invitation(Role.CS))
    cs = Party(identity.key, identity.chain)
    receipt = Receipt(
        bundle_id=BundleId("a" * 64),
        task=3,
        fence=Fence(1, 2, 3),
        signer=SpkiDigest("b" * 64),
        cs=ServerId(sole_uri(cs.certificate).rpartition("/")[2]),
        cs_name="desk 7",
        mflops=1234.5,
        limits={},
        limit_hit=None,
        exit=Exited(0),
        started=NOW,
        ended=NOW,
        wall_seconds=2.0,
        cpu_seconds=1.5,
        max_memory=1000,
    )
    return cs, receipt


def sealed_file(receipt: Receipt, outputs: Mapping[str, bytes] = OUTPUTS) -> bytes:
    out = io.BytesIO()
    seal_outputs(out, receipt=receipt, files=outputs.items(), recipients=[ADA.certificate])
    return out.getvalue()


def answered(cs: Party, receipt: Receipt, sealed: bytes) -> OpenedAnswer:
    """The answer as its reader has it: signed by the compute server, and accepted."""
    out = io.BytesIO()
    write_answer(out, receipt=receipt, files=[("sealed.cms", sealed)], key=cs.key, chain=cs.chain)
    return open_answer(io.BytesIO(out.getvalue()), roots=[ORGANISATION.root], at=NOW)


def refusal(answer: OpenedAnswer, folder: Path, reader: Party = ADA) -> str:
    """Why nothing is unpacked; and nothing is."""
    with pytest.raises(RefusedError) as caught:
        open_outputs(answer, folder / "into", key=reader.key, certificate=reader.certificate)
    assert list(folder.iterdir()) == []
    return caught.value.code


def in_archive(files: Mapping[str, bytes], change: Callable[[RawZip], None] = lambda _: None) -> bytes:
    """A sealed file that holds any ZIP that its maker likes."""
    archive = RawZip([RawMember(name.encode(), content) for name, content in files.items()])
    change(archive)
    plain = archive.build()
    out = io.BytesIO()
    seal(io.BytesIO(plain), len(plain), out, [ADA.certificate])
    return out.getvalue()


def with_receipt(receipt: Receipt, outputs: Mapping[str, bytes]) -> dict[str, bytes]:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in outputs.items()}
    encoded = msgspec.json.encode(msgspec.structs.replace(receipt, digests=digests))
    return {**outputs, "receipt.json": encoded}


@pytest.fixture(scope="module")
def cs() -> tuple[Party, Receipt]:
    return enrolled()


def test_an_honest_sealed_answer(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """The reader gets the outputs and a receipt of them; until then the answer shows neither names nor digests."""
    server, receipt = cs
    answer = answered(server, receipt, sealed_file(receipt))
    assert set(answer.bundle.entries) == {"sealed.cms", "receipt.json"}
    assert answer.is_sealed
    assert set(answer.receipt.digests) == {"sealed.cms"}
    inner = open_outputs(answer, tmp_path / "into", key=ADA.key, certificate=ADA.certificate)
    assert set(inner.digests) == set(OUTPUTS)
    found = {
        str(file.relative_to(tmp_path / "into")): file.read_bytes()
        for file in (tmp_path / "into").rglob("*")
        if file.is_file()
    }
    assert {name: found[name] for name in OUTPUTS} == OUTPUTS
    assert found.keys() - OUTPUTS.keys() == {"receipt.json"}
    assert [each.name for each in tmp_path.iterdir()] == ["into"]


def test_the_forger_can_be_honest(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """An archive that another program wrote is opened, deflated too, so that each attack fails by its own fault."""
    server, receipt = cs

    def deflate(archive: RawZip) -> None:
        archive.member("out/picture.bin").deflate()

    answer = answered(server, receipt, in_archive(with_receipt(receipt, OUTPUTS), deflate))
    open_outputs(answer, tmp_path / "into", key=ADA.key, certificate=ADA.certificate)
    assert (tmp_path / "into" / "out" / "picture.bin").read_bytes() == b"pixels"


@pytest.mark.parametrize(
    "stolen",
    [{"task": 4}, {"bundle_id": "c" * 64}, {"cs": "1" * 32}, {"fence": Fence(1, 2, 4)}, {"exit": Exited(1)}],
    ids=["task", "job", "server", "fence", "exit"],
)
def test_outputs_of_another_attempt(
    stolen: dict[str, object], cs: tuple[Party, Receipt], tmp_path: Path
) -> None:
    """Sealed outputs that somebody else made, for the same reader, do not pass as one's own."""
    server, receipt = cs
    others = sealed_file(msgspec.structs.replace(receipt, **stolen))
    assert refusal(answered(server, receipt, others), tmp_path) == "sealed-outputs"


def test_a_receipt_of_other_files(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """The inner receipt's digests are those of exactly the files beside it."""
    server, receipt = cs
    files = with_receipt(receipt, OUTPUTS)
    for change in ({"stdout.txt": b"other"}, {"out/more": b""}):
        answer = answered(server, receipt, in_archive({**files, **change}))
        assert refusal(answer, tmp_path) == "answer-receipt"


def test_no_receipt_or_a_huge_one(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """Without a receipt that can be read nothing ties the outputs to the attempt."""
    server, receipt = cs
    assert refusal(answered(server, receipt, in_archive(OUTPUTS)), tmp_path) == "sealed-outputs"
    huge = in_archive({**OUTPUTS, "receipt.json": b" " * (limits.MAX_RECEIPT_BYTES + 1)})
    assert refusal(answered(server, receipt, huge), tmp_path) == "sealed-outputs"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("../out/x", "name"),
        ("/etc/passwd", "name"),
        ("out/../../x", "name"),
        ("out\\x", "name"),
        ("run.py", "answer-files"),
        ("sealed.cms", "answer-files"),
        ("OUT/x", "zip-duplicate"),
    ],
)
def test_names_inside(name: str, code: str, cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """What is sealed has no more freedom than what is not: outputs, below the folder."""
    server, receipt = cs
    sealed = in_archive(with_receipt(receipt, {**OUTPUTS, name: b""}))
    assert refusal(answered(server, receipt, sealed), tmp_path) == code


def test_a_bomb_inside(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """A sealed archive that inflates without end is refused by its sizes."""
    server, receipt = cs

    def inflate(archive: RawZip) -> None:
        archive.member("out/picture.bin").deflate()

    files = with_receipt(receipt, {"out/picture.bin": bytes(32 << 20)})
    assert refusal(answered(server, receipt, in_archive(files, inflate)), tmp_path) == "zip-limit"


def test_content_that_is_no_archive(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """Anything else than a ZIP of one reading is refused."""
    server, receipt = cs
    out = io.BytesIO()
    seal(io.BytesIO(b"hello" * 10), 50, out, [ADA.certificate])
    assert refusal(answered(server, receipt, out.getvalue()), tmp_path) == "zip-end"

    def prefix(archive: RawZip) -> None:
        archive.prefix = b"#!/bin/sh\n"

    hidden = in_archive(with_receipt(receipt, OUTPUTS), prefix)
    assert refusal(answered(server, receipt, hidden), tmp_path).startswith("zip-")


def test_a_sealed_file_that_was_changed(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """A compute server that signs a broken sealed file has answered with nothing."""
    server, receipt = cs
    sealed = bytearray(sealed_file(receipt))
    sealed[-30] ^= 1
    assert refusal(answered(server, receipt, bytes(sealed)), tmp_path) == "sealed-data"


def test_another_reader(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """An answer that was sealed for somebody else yields nothing."""
    server, receipt = cs
    answer = answered(server, receipt, sealed_file(receipt))
    assert refusal(answer, tmp_path, make_recipient("Eve")) == "sealed-recipient"


def test_outputs_beside_sealed_ones(cs: tuple[Party, Receipt]) -> None:
    """An answer is sealed as a whole or not at all, for its writer and for its reader."""
    server, receipt = cs
    files = {"sealed.cms": sealed_file(receipt), "stdout.txt": b"hello"}
    with pytest.raises(BundleRefusedError, match="answer-files"):
        write_answer(io.BytesIO(), receipt=receipt, files=files.items(), key=server.key, chain=server.chain)
    forged = Forger(signer=server, files=with_receipt(receipt, files)).build()
    with pytest.raises(BundleRefusedError, match="answer-files"):
        open_answer(io.BytesIO(forged), roots=[ORGANISATION.root], at=NOW)


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["run.py"], "answer-files"),
        (["sealed.cms"], "answer-files"),
        (["receipt.json"], "answer-files"),
        (["out/../x"], "name"),
        (["out/x", "out/x"], "zip-duplicate"),
        (["out/x", "out/X"], "zip-duplicate"),
    ],
)
def test_nothing_else_is_sealed(names: list[str], code: str, cs: tuple[Party, Receipt]) -> None:
    """A writer cannot be talked into sealing what its reader would refuse."""
    with pytest.raises(BundleRefusedError) as caught:
        seal_outputs(
            io.BytesIO(),
            receipt=cs[1],
            files=[(name, b"") for name in names],
            recipients=[ADA.certificate],
        )
    assert caught.value.code == code


def test_the_sealed_archive_is_deterministic(cs: tuple[Party, Receipt]) -> None:
    """The same receipt and outputs, in any order and with the same randomness, give the same encrypted bytes."""
    ends = []
    for files in (list(OUTPUTS.items()), list(reversed(OUTPUTS.items()))):
        out = io.BytesIO()
        seal_outputs(out, receipt=cs[1], files=files, recipients=[ADA.certificate], randomness=bytes)
        ends.append(out.getvalue()[-500:])
    assert ends[0] == ends[1]


def test_an_output_that_changes_while_it_is_sealed(cs: tuple[Party, Receipt], tmp_path: Path) -> None:
    """A file that is not what was measured is refused, and no complete sealed file comes of it."""
    file = tmp_path / "growing"
    file.write_bytes(b"short")

    class Growing(io.BytesIO):
        def write(self, data: object) -> int:
            file.write_bytes(b"longer than before")
            return super().write(data)  # type: ignore[arg-type]  # a buffer

    with pytest.raises(RefusedError) as caught:
        seal_outputs(Growing(), receipt=cs[1], files=[("out/growing", file)], recipients=[ADA.certificate])
    assert caught.value.code in ("seal-input", "sign-input")


def test_what_can_be_told_without_a_key(cs: tuple[Party, Receipt]) -> None:
    """For whom an answer says that it is sealed: exactly the job's recipients, in any order, and whole."""
    server, receipt = cs
    bob, eve = make_recipient("Bob"), make_recipient("Eve")
    out = io.BytesIO()
    pair = [ADA.certificate, bob.certificate]
    seal_outputs(out, receipt=receipt, files=OUTPUTS.items(), recipients=pair)
    both, ada = answered(server, receipt, out.getvalue()), answered(server, receipt, sealed_file(receipt))
    check_sealed_for(both, list(reversed(pair)))
    check_sealed_for(ada, [ADA.certificate])
    wrong = [(ada, pair), (both, [ADA.certificate]), (ada, [eve.certificate]), (ada, [])]
    for answer, recipients in wrong:
        assert told(answer, recipients) == "sealed-recipient"
    for broken in (sealed_file(receipt)[:-1], sealed_file(receipt) + b"\0", b"secret" * 40):
        assert told(answered(server, receipt, broken), [ADA.certificate]) == "sealed-form"


def told(answer: OpenedAnswer, recipients: list[x509.Certificate]) -> str:
    with pytest.raises(RefusedError) as caught:
        check_sealed_for(answer, recipients)
    return caught.value.code


def test_recipients_are_read_from_a_descriptor() -> None:
    """What is no certificate is refused by name."""
    der = ADA.certificate.public_bytes(Encoding.DER)
    assert recipients_of([der, der]) == (ADA.certificate, ADA.certificate)
    with pytest.raises(RefusedError, match="cannot be read") as caught:
        recipients_of([der, der[:-1]])
    assert caught.value.code == "seal-recipient"
