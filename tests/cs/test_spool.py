"""The spool: an answer is there whole or not at all, and its name says all that a restart needs."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import A, attempt

from cs.spool import Spool, fault_of, name_of, parse_name
from rjs.answers.answer_jar import Exited, Receipt, write_answer
from rjs.attempts import AttemptId, Fence
from rjs.identity.certificates import Identity, sole_uri
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId, SpkiDigest
from rjs.limits import INLINE_ANSWER
from rjs.quarantine import Quarantine

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


# --- what an earlier process left ---------------------------------------------------------------------------

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
ORGANISATION = Organisation(NOW)


def owner() -> Identity:
    """A compute server's answer key."""
    return ORGANISATION.answer(ORGANISATION.invitation(Role.CS))


OURS = owner()


def answer(spool: Spool, of: AttemptId, stated: AttemptId | None = None, key: Identity = OURS) -> Path:
    """A whole answer in the spool under the name of one attempt, by a key that states another one, or the same."""
    told = stated or of
    server = ServerId(sole_uri(key.chain[0]).rpartition("/")[2])
    receipt = Receipt(
        bundle_id=BundleId(told.job), task=told.task, fence=told.fence, signer=SpkiDigest("0" * 64), cs=server,
        cs_name="desk", mflops=1.0, limits={}, limit_hit=None, exit=Exited(0), started=NOW, ended=NOW,
        wall_seconds=1, cpu_seconds=1, max_memory=1,
    )  # fmt: skip
    files = [("stdout.txt", b"42\n")]
    spool.keep(
        of, lambda file: write_answer(file, receipt=receipt, files=files, key=key.key, chain=key.chain)
    )
    return spool.path(of)


def test_a_sound_answer_stays(spool: Spool, tmp_path: Path) -> None:
    """It is offered, whatever the clock says; no folder is made for nothing."""
    answer(spool, X)
    aside = tmp_path / "aside"
    assert spool.set_aside([X], OURS, Quarantine(aside), lambda: dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) == {}
    assert spool.load(X).size and not aside.exists()


def test_what_damage_does_not_stay(spool: Spool, tmp_path: Path) -> None:
    """One flipped bit in what it holds: it is set aside with the reason, and the others stay."""
    path = answer(spool, X)
    answer(spool, Y)
    whole = path.read_bytes()
    content = whole.index(b"stdout.txt") + len("stdout.txt")
    path.write_bytes(whole[:content] + bytes([whole[content] ^ 1]) + whole[content + 1 :])
    quarantine = Quarantine(tmp_path / "aside")
    assert list(spool.set_aside([X, Y], OURS, quarantine, lambda: NOW)) == [X]
    (aside,) = quarantine.asides()
    assert aside.what == f"answer of task 0 of job {A[:16]}" and aside.why
    assert spool.load(Y).size and not path.exists()


@pytest.mark.parametrize("content", [b"", b"PK", b"\0" * 5000])
def test_what_a_disk_leaves_of_an_answer(spool: Spool, content: bytes) -> None:
    """Nothing, a beginning, zeros: none is offered."""
    path = answer(spool, X)
    path.write_bytes(content)
    assert "zip" in fault_of(path, X, OURS)


def test_the_answer_of_another_attempt(spool: Spool) -> None:
    """A file under another's name is nobody's answer."""
    path = answer(spool, X, Y)
    assert fault_of(path, X, OURS) == f"it is the answer of another attempt: {name_of(Y)}"


def test_the_answer_of_another_server(spool: Spool) -> None:
    """Our spool holds what our key signed."""
    assert fault_of(answer(spool, X, key=owner()), X, OURS).startswith("it is signed with another key")


@pytest.mark.parametrize(
    ("number", "why"), [(errno.EIO, "it cannot be read: Input/output error"), (errno.EMFILE, "")]
)
def test_an_answer_that_cannot_be_read(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    """A sector that is gone is damage; having too much open is none."""
    path = answer(spool, X)

    def fails(self: Path, mode: str) -> BinaryIO:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fails)
    assert fault_of(path, X, OURS) == why
