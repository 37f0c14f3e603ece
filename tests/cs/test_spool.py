"""The spool: an answer is there whole or not at all, and its name says all that a restart needs."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import A, attempt

from cs.spool import Spool, name_of, parse_name
from rjs.attempts import AttemptId, Fence
from rjs.limits import INLINE_ANSWER

X, Y = attempt(1), attempt(2, task=1)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


@pytest.mark.parametrize("size", [0, 1, INLINE_ANSWER, INLINE_ANSWER + 1])
def test_an_answer_is_offered_as_it_was_written(spool: Spool, size: int) -> None:
    """Size and digest are those of the bytes; only a small answer travels along."""
    data = b"x" * size
    spool.keep(X, lambda file: file.write(data))
    offered = spool.load(X)
    assert (offered.size, offered.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert offered.data == (data if size <= INLINE_ANSWER else b"")


def test_answers_outlive_the_process(spool: Spool, tmp_path: Path) -> None:
    """The next process finds them by their names, until they are forgotten."""
    for each in (X, Y):
        spool.keep(each, lambda file: file.write(b"answer"))
    assert Spool(tmp_path).recover() == [X, Y]
    spool.forget(X)
    spool.forget(X)
    assert Spool(tmp_path).recover() == [Y]


def test_an_answer_that_fails_half_way_is_not_there(spool: Spool, tmp_path: Path) -> None:
    """Whatever stops the writing, nothing is left of it."""

    def fails(file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        spool.keep(X, fails)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_written_is_removed(spool: Spool, tmp_path: Path) -> None:
    """Parts go; what is no answer of ours stays untouched."""
    (tmp_path / name_of(X)).with_suffix(".part").write_bytes(b"half")
    (tmp_path / "folder.part").mkdir()
    (tmp_path / "notes.txt").write_text("the owner's")
    assert spool.recover() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.part", "notes.txt"]


@given(
    st.builds(
        AttemptId, st.just(A), st.integers(0, 2**31 - 1), st.builds(Fence, *[st.integers(0, 2**63 - 1)] * 3)
    )
)
def test_names_and_attempts_correspond(each: AttemptId) -> None:
    """Every attempt has one name, and its name gives it back."""
    assert parse_name(name_of(each)) == each


@pytest.mark.parametrize(
    "name",
    [
        f"{A}.0.1.1.1.jar\n", f"{A}.00.1.1.1.jar", f"{A.upper()}.0.1.1.1.jar", f"{A}.0.1.1.1.jar.part", "",
        f"../{A}.0.1.1.1.jar", f"{A}.0.1.1.٣.jar", f"{A}.9999999999.1.1.1.jar", f"{A[1:]}.0.1.1.1.jar",
        f"{A}.0.1.1.9999999999999999999.jar",
    ],
)  # fmt: skip
def test_other_names_are_no_attempts(name: str) -> None:
    """Only what we would have written, with numbers that can travel: a planted name jams no session."""
    assert parse_name(name) is None
