"""Windows: a part of a file as a file of its own, without holes, always as the file is now."""

from __future__ import annotations

import io
import itertools
import os
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.bundle.window import AbsentError, Present, Window

PLACES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12)


def test_it_reads_like_a_file_of_these_bytes_alone(tmp_path: Path) -> None:
    """Seeking and reading at random gives what a file that holds the part alone gives."""
    content = random.Random(1).randbytes(1000)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        window, alone = Window(file, range(100, 900)), io.BytesIO(content[100:900])
        draw = random.Random(2)
        for _ in range(500):
            offset, size = draw.randrange(900), draw.randrange(-1, 300)
            assert window.seek(offset) == alone.seek(offset)
            assert window.read(size) == alone.read(size) and window.tell() == alone.tell()
        assert window.seek(-5, os.SEEK_END) == 795 and window.read(10) == content[895:900]
        assert window.seek(-7, os.SEEK_CUR) == 793
        assert file.tell() == 0
        with pytest.raises(ValueError, match="before"):
            window.seek(-1)


def test_what_came_after_it_was_opened_is_read(tmp_path: Path) -> None:
    """Nothing is buffered: bytes that are written next to what was read are seen."""
    with (tmp_path / "file").open("w+b", buffering=0) as file:
        file.truncate(100)
        window = Window(file, range(0, 100))
        assert window.read(10) == bytes(10)
        os.pwrite(file.fileno(), b"x" * 90, 10)
        assert window.read(90) == b"x" * 90


def test_holes_are_never_read(tmp_path: Path) -> None:
    """A read that touches a byte which has not come names the first hole, in the whole file, and gives nothing."""
    (tmp_path / "file").write_bytes(bytes(100))
    present = Present()
    present.add(range(20, 40))
    with (tmp_path / "file").open("rb") as file:
        window = Window(file, range(10, 90), present)
        window.seek(10)
        assert window.read(20) == bytes(20)
        window.seek(25)
        with pytest.raises(AbsentError) as absent:
            window.read(10)
        assert absent.value.place == range(40, 45) and absent.value.code == "file-changed"
        present.add(range(40, 45))
        assert window.read(10) == bytes(10)


@given(PLACES, st.integers(0, 70), st.integers(0, 20))
def test_what_is_missing(places: list[tuple[int, int]], start: int, length: int) -> None:
    """Whatever came in whatever order, what is missing is what did not come, in the fewest ranges."""
    present, came = Present(), set[int]()
    for begin, size in places:
        present.add(range(begin, begin + size))
        came |= set(range(begin, begin + size))
    holes = present.missing(range(start, start + length))
    assert [byte for hole in holes for byte in hole] == [
        byte for byte in range(start, start + length) if byte not in came
    ]
    assert all(left.stop < right.start for left, right in itertools.pairwise(holes))
