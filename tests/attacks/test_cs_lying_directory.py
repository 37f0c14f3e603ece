"""A LUS that sends parts of a bundle whose directory lies: each costs bounded requests and is refused."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

import rjs.limits
from cs import limits
from cs.fetch import fetch
from rjs.background import ImmediateWorkers
from rjs.bundle import zip
from rjs.bundle.forger import Forger, RawMember, RawZip
from rjs.bundle.verify import open_bundle
from rjs.errors import RefusedError
from rjs.limits import BLOB_CHUNK, GIB, KIB, MIB
from rjs.needs import Needs, Platform
from rjs.wire.messages import BlobData, BlobRead, JobBrief
from rjs.wire.session import Session

DESCRIPTOR = b"""name = "parts"
runtime = "python"
entry = "main.py"
[[resources]]
os = "macos"
files = ["big.bin"]
"""
FILES = {
    "job.toml": DESCRIPTOR,
    "main.py": b"pass\n",
    "big.bin": bytes(range(256)) * 8 * KIB,
    "last.bin": b"x" * 500,
}
LINUX, MAC = Platform("linux", "x86_64"), Platform("macos", "aarch64")
FORGER = Forger(files=FILES)
JAR = FORGER.build()
with open_bundle(io.BytesIO(JAR), at=datetime.now(UTC)) as opened:
    JOB, SIGNER = opened.bundle_id, opened.signer.spki

Lie = Callable[[RawZip], None]
LIES: dict[str, tuple[Lie, str]] = {}


def lie(code: str) -> Callable[[Lie], Lie]:
    def register(change: Lie) -> Lie:
        LIES[change.__name__] = (change, code)
        return change

    return register


@lie("zip-layout")
def an_entry_that_begins_too_late(archive: RawZip) -> None:
    archive.member("last.bin").central["offset"] = 5000


@lie("zip-layout")
def all_entries_at_one_place(archive: RawZip) -> None:
    for member in archive.members:
        member.central["offset"] = 0


@lie("zip-layout")
def an_entry_behind_the_directory(archive: RawZip) -> None:
    archive.member("last.bin").central["offset"] = 0xFFFFFFF0


@lie("zip-layout")
def a_content_larger_than_its_place(archive: RawZip) -> None:
    archive.member("main.py").central |= {"compressed": 100, "size": 100}


@lie("zip-layout")
def a_content_smaller_than_its_place(archive: RawZip) -> None:
    archive.member("big.bin").central |= {"compressed": 10, "size": 10}


@lie("zip-layout")
def a_gap_that_passes_for_an_extra_field(archive: RawZip) -> None:
    archive.member("last.bin").before = bytes(60_000)


@lie("zip-limit")
def a_manifest_as_large_as_the_file(archive: RawZip) -> None:
    member = archive.member("META-INF/MANIFEST.MF")
    member.content += b"\r\n" * 9 * MIB


@lie("signature-files")
def thousands_of_signature_files(archive: RawZip) -> None:
    archive.members[4:4] = [RawMember(b"META-INF/%d.SF" % number, bytes(10 * KIB)) for number in range(500)]


@lie("zip-header")
def a_local_header_of_another_file(archive: RawZip) -> None:
    archive.member("big.bin").local["name"] = b"bad.bin"


@lie("zip-end")
def more_of_everything_than_there_is(archive: RawZip) -> None:
    archive.end |= {"count": 0xFFFF, "here": 0xFFFF}


@lie("zip-limit")
def a_directory_of_a_gigabyte(archive: RawZip) -> None:
    archive.end |= {"length": GIB}


@lie("zip-extra")
def an_extra_field_with_another_name(archive: RawZip) -> None:
    archive.member("big.bin").local["extra"] = b"\x75\x70\x04\x00name"


@lie("zip-layout")
def a_file_of_nothing_but_extra_fields(archive: RawZip) -> None:
    """Each is an extra field as long as a header can state, and well formed: Unix times and more."""
    extra = b"UT" + (65_000).to_bytes(2, "little") + bytes(65_000)
    archive.members[4:4] = [RawMember(b"%d" % number, b"x", local={"extra": extra}) for number in range(80)]


@lie("zip-extra")
def extra_fields_of_a_directory_that_are_too_long(archive: RawZip) -> None:
    archive.member("main.py").extra = b"UT" + (1021).to_bytes(2, "little") + bytes(1021)


class Lus:
    """Sends what it has, and counts."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.requests = self.bytes = 0

    async def request(self, read: BlobRead, kind: object) -> BlobData:
        self.requests += 1
        self.bytes += read.length
        return BlobData(data=self.content[read.offset : read.offset + read.length])


def outcome_of(content: bytes, folder: Path, room: int = GIB, platform: Platform = LINUX) -> tuple[str, Lus]:
    """The refusal's code, or ``accepted``; and what it cost."""
    lus, ended = Lus(content), list[Any]()
    brief = JobBrief(
        job=JOB, name="x", signer=SIGNER, tasks=1, size=len(content), sha256="0" * 64, needs=Needs()
    )
    fetching = fetch(
        brief, cast(Session, lus), folder / "job.jar", platform, lambda _: None,
        room=room, workers=ImmediateWorkers(), timers=Clock(),
    )  # fmt: skip
    ensureDeferred(fetching).addBoth(ended.append)
    error = getattr(ended[0], "value", None)
    if error is None:
        ended[0].close()
        return "accepted", lus
    assert isinstance(error, RefusedError), error
    return error.code, lus


def test_an_honest_directory_is_accepted(tmp_path: Path) -> None:
    """The control: what this platform needs comes, and the file for another one does not."""
    assert len(JAR) > limits.WHOLE
    code, lus = outcome_of(JAR, tmp_path)
    assert code == "accepted" and lus.bytes < 100 * KIB


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_refused(name: str, tmp_path: Path) -> None:
    """It costs no more bytes than the file has, and a request an entry; the reader refuses it, and nothing stays."""
    change, code = LIES[name]
    archive = FORGER.archive()
    change(archive)
    content = archive.build()
    found, lus = outcome_of(content, tmp_path)
    assert found == code
    assert lus.requests < 20 + len(archive.members) + len(content) // BLOB_CHUNK
    assert lus.bytes <= len(content)
    assert list(tmp_path.iterdir()) == []


def test_extra_fields_are_refused_before_they_come(tmp_path: Path) -> None:
    """What lies around contents is too long: of megabytes of it nothing comes but the directory."""
    archive = FORGER.archive()
    a_file_of_nothing_but_extra_fields(archive)
    content = archive.build()
    code, lus = outcome_of(content, tmp_path)
    assert len(content) > 5 * MIB and code == "zip-layout" and lus.bytes <= 64 * KIB


def test_a_skeleton_has_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than so many bytes never come before the signer is known, however they are spread."""
    monkeypatch.setattr(rjs.limits, "MAX_SKELETON_BYTES", 30 * KIB)
    archive = FORGER.archive()
    extra = b"UT" + (1000).to_bytes(2, "little") + bytes(1000)
    archive.members[4:4] = [RawMember(b"%d" % number, b"x", local={"extra": extra}) for number in range(40)]
    code, lus = outcome_of(archive.build(), tmp_path)
    assert code == "zip-limit" and lus.bytes <= 64 * KIB


def test_no_more_comes_than_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the owner gives jobs' files, and what is free, is compared with what is needed here before it comes."""
    big = len(FILES["big.bin"])
    assert outcome_of(JAR, tmp_path, room=big, platform=MAC)[0] == "no-room"
    assert outcome_of(JAR, tmp_path, room=len(JAR), platform=MAC)[0] == "accepted"
    code, lus = outcome_of(JAR, tmp_path, room=0)  # little always has room
    assert code == "accepted" and lus.bytes < 100 * KIB
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=big + 1))
    code, lus = outcome_of(JAR, tmp_path, platform=MAC)
    assert code == "accepted"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=big - 100 * KIB))
    code, lus = outcome_of(JAR, tmp_path, platform=MAC)
    assert code == "no-room" and lus.bytes < 100 * KIB
    assert [each.name for each in tmp_path.iterdir()] == ["job.jar"]


def test_a_file_of_nothing_but_a_tail(tmp_path: Path) -> None:
    """Two gigabytes are stated, and only an end record is there: it costs one range."""
    end = zip.END.pack(zip.END_SIGNATURE, 0, 0, 1, 1, 100, 2 * GIB - 122, 0)

    class Endless(Lus):
        async def request(self, read: BlobRead, kind: object) -> BlobData:
            self.requests += 1
            return BlobData(data=end.rjust(read.length, b"\0"))

    lus, ended = Endless(b""), list[Any]()
    brief = JobBrief(job=JOB, name="x", signer=SIGNER, tasks=1, size=2 * GIB, sha256="0" * 64, needs=Needs())
    fetching = fetch(
        brief, cast(Session, lus), tmp_path / "job.jar", Platform(), lambda _: None,
        room=GIB, workers=ImmediateWorkers(), timers=Clock(),
    )  # fmt: skip
    ensureDeferred(fetching).addBoth(ended.append)
    assert ended[0].value.code == "zip-directory" and lus.requests == 1
    assert list(tmp_path.iterdir()) == []
