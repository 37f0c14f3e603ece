"""The skeleton of an archive: enough to judge it exactly as if all of it were there, and not much more."""

from __future__ import annotations

import io
import os
import random
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import attrs
import pytest

from rjs import limits
from rjs.bundle import skeleton as skeletons
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger, RawMember, RawZip
from rjs.bundle.fuzz import CHANGES, make_seeds
from rjs.bundle.testing import NOW
from rjs.bundle.verify import OpenedBundle, open_bundle
from rjs.bundle.window import AbsentError, ArchiveFile, Present, Window

BIG = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def no_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tail is the end record alone, so that small archives too come in parts."""
    monkeypatch.setattr(limits, "TAIL_BYTES", 0)


@attrs.define
class Parts:
    """A file of which only the skeleton came: ``window`` knows its holes, ``zeros`` reads them as the disk would."""

    window: Window
    zeros: Window
    fetched: int
    steps: int


@contextmanager
def parts_of(jar: bytes, names: Collection[str] = ()) -> Iterator[Parts]:
    """Have the skeleton of ``jar``; raises BundleRefusedError like ``skeleton``."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.truncate(len(jar))
        present = Present()
        parts = Parts(Window(file, range(len(jar)), present), Window(file, range(len(jar))), 0, 0)
        for ranges in skeletons.skeleton(parts.window, names):
            parts.steps += 1
            for each in ranges:
                assert 0 <= each.start <= each.stop <= len(jar)
                os.pwrite(file.fileno(), jar[each.start : each.stop], each.start)
                present.add(each)
                parts.fetched += len(each)
        yield parts


def opened(file: ArchiveFile) -> tuple[object, ...] | str:
    """What the judgement is."""
    try:
        return seen(open_bundle(file, at=NOW))
    except AbsentError as absent:
        return f"absent {absent.place}"
    except BundleRefusedError as refused:
        return refused.code


def seen(bundle: OpenedBundle) -> tuple[object, ...]:
    return bundle.bundle_id, bundle.signer, bundle.attributes, dict(bundle.entries), bundle.main_headers


def by_parts(jar: bytes) -> tuple[object, ...] | str:
    """The judgement on the skeleton of ``jar``: accepted or refused, with holes known as with zeros."""
    try:
        with parts_of(jar) as parts:
            judged, on_zeros = opened(parts.window), opened(parts.zeros)
            assert judged == on_zeros or (isinstance(judged, str) and isinstance(on_zeros, str))
            return on_zeros
    except BundleRefusedError as refused:
        return refused.code


def big_archive() -> RawZip:
    """One that has all that there may be: stored, deflated, with a data descriptor, a folder, extra fields."""
    forger = Forger(
        files={"job.toml": b"name = 'job'\n", "a.bin": BIG, "b.bin": BIG[::-1], "c.bin": b"c" * 5000}
    )
    archive = forger.archive()
    for name in ("b.bin", "job.toml"):
        archive.member(name).deflate()
    streamed = archive.member("b.bin")
    streamed.flags |= 8
    fields = streamed.fields({})
    streamed.local = {"crc": 0, "compressed": 0, "size": 0}
    streamed.descriptor = b"PK\x07\x08" + b"".join(
        int(fields[each]).to_bytes(4, "little") for each in ("crc", "compressed", "size")
    )
    archive.member("a.bin").extra = b"\xfe\xca\x00\x00"
    archive.members.insert(4, RawMember(b"folder/", b""))
    return archive


def test_the_skeleton_is_judged_like_the_whole() -> None:
    """Signer, attributes and entries are the same, from a few hundred bytes an entry, and no hole was read."""
    jar = big_archive().build()
    with parts_of(jar) as parts:
        assert opened(parts.window) == opened(io.BytesIO(jar))
        assert parts.fetched < 6000 and parts.steps == 3


def test_a_file_that_was_asked_for_is_there() -> None:
    """The descriptor comes with the skeleton; contents that were not asked for do not."""
    with parts_of(big_archive().build(), {"job.toml", "absent"}) as parts:
        bundle = open_bundle(parts.window, at=NOW)
        assert bundle.read("job.toml", 100) == b"name = 'job'\n"
        for name in ("a.bin", "b.bin", "c.bin"):
            with pytest.raises(AbsentError) as absent:
                bundle.read(name, limits.MIB)
            assert absent.value.place == bundle.place_of(name)[: limits.READ_CHUNK_BYTES]


def test_holes_are_no_content() -> None:
    """Where holes read as zeros, a file in them is refused: nothing but what was signed is ever given."""
    with parts_of(big_archive().build()) as parts:
        bundle = open_bundle(parts.zeros, at=NOW)
        for name in ("job.toml", "a.bin", "b.bin", "c.bin"):
            with pytest.raises(BundleRefusedError) as refused:
                bundle.read(name, limits.MIB)
            assert refused.value.code in ("zip-data", "file-changed")


def test_a_hole_that_keeps_its_crc_is_no_content() -> None:
    """Whoever states the CRC of zeros gets ``file-changed``: what counts is the digest that was signed."""
    archive = big_archive()
    archive.member("c.bin").crc = RawMember(b"", bytes(5000)).fields({})["crc"]
    with parts_of(archive.build()) as parts, pytest.raises(BundleRefusedError, match="file-changed"):
        open_bundle(parts.zeros, at=NOW).read("c.bin", 5000)


def test_random_damage_is_judged_like_the_whole() -> None:
    """Whatever is wrong with an archive: what is accepted by parts is what is accepted whole, with the same signer
    and entries, and what is refused whole is refused by parts."""
    dice, seeds = random.Random(20261121), make_seeds()
    accepted = 0
    for _ in range(1500):
        jar = dice.choice(CHANGES)(dice.choice(seeds), dice).jar
        whole, parts = opened(io.BytesIO(jar)), by_parts(jar)
        assert isinstance(parts, str) == isinstance(whole, str)
        if not isinstance(whole, str):
            assert parts == whole
            accepted += 1
    assert 100 < accepted < 1400
