"""The ZIP reader alone: how much it reads, and of whom it takes what."""

from __future__ import annotations

import io

import pytest

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import RawMember, RawZip, deflated
from rjs.bundle.zip import DEFLATED, read_archive


def test_a_bomb_stops_at_its_stated_size() -> None:
    """Inflating more than stated ends at once: nothing beyond the stated size reaches the caller."""
    member = RawMember(b"bomb", b"", method=DEFLATED, raw=deflated(bytes(64 * limits.MIB)), size=10)
    archive = read_archive(io.BytesIO(RawZip([member]).build()))
    seen = 0
    with pytest.raises(BundleRefusedError, match="zip-data"):
        for chunk in archive.chunks(archive.files["bomb"]):
            seen += len(chunk)
    assert seen <= 10


@pytest.mark.parametrize("size", [0, 1, limits.READ_CHUNK_BYTES, limits.READ_CHUNK_BYTES * 3 + 1])
@pytest.mark.parametrize("deflate", [False, True])
def test_contents_arrive_in_bounded_pieces(size: int, deflate: bool) -> None:
    """Any size, stored or deflated, arrives whole and never in a piece larger than the chunk size."""
    content = (bytes(range(251)) * (size // 251 + 1))[:size]
    member = RawMember(b"file", content)
    if deflate:
        member.deflate()
    archive = read_archive(io.BytesIO(RawZip([member]).build()))
    chunks = list(archive.chunks(archive.files["file"]))
    assert b"".join(chunks) == content
    assert max(map(len, chunks), default=0) <= limits.READ_CHUNK_BYTES


def test_files_out_of_order_in_the_directory() -> None:
    """The order of the directory is free; the local entries still cover the file without a gap."""
    archive = RawZip([RawMember(b"a", b"1"), RawMember(b"b", b"22")])
    jar = archive.build()
    records = jar[jar.index(b"PK\x01\x02") : jar.index(b"PK\x05\x06")]
    swapped = records[len(records) // 2 :] + records[: len(records) // 2]
    found = read_archive(io.BytesIO(jar.replace(records, swapped)))
    assert {name: b"".join(found.chunks(member)) for name, member in found.files.items()} == {
        "a": b"1",
        "b": b"22",
    }
