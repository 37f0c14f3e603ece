"""The web server's copies of bundles: a byte is given of one that is whole, and of no other."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from rjs.errors import RefusedError
from rjs.needs import Needs
from rjs.wire.messages import BlobRead, JobBrief
from ws import limits
from ws.bundles import Bundles

CONTENT = bytes(range(256)) * 40
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def brief(number: int = 1) -> JobBrief:
    return JobBrief(
        job=f"{number:064x}",
        name="x",
        signer="0" * 64,
        tasks=1,
        size=len(CONTENT),
        sha256=SHA256,
        needs=Needs(),
    )


def read(offset: int = 0, length: int = 10, number: int = 1) -> BlobRead:
    return BlobRead(kind="bundle", key=brief(number).job, offset=offset, length=length)


@pytest.fixture
def bundles(tmp_path: Path) -> Bundles:
    made = Bundles(tmp_path)
    made.path(brief().job).write_bytes(CONTENT)
    return made


def test_parts_of_a_whole_bundle(bundles: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read once as a whole, and then in parts."""
    assert bundles.chunk(brief(), read(5)).data == CONTENT[5:15]
    monkeypatch.setattr(hashlib, "file_digest", None)
    assert bundles.chunk(brief(), read(256)).data == CONTENT[:10]


@pytest.mark.parametrize("damage", [b"", CONTENT[:-1], CONTENT[:-1] + b"x", CONTENT + b"x"])
def test_a_spoiled_one_is_not_given(bundles: Bundles, damage: bytes) -> None:
    """Before the first byte, or after some: it is refused with what to do; whole again, it is given again."""
    path = bundles.path(brief().job)
    bundles.chunk(brief(), read())
    path.unlink()
    path.write_bytes(damage)
    for _ in range(2):
        with pytest.raises(RefusedError, match=r"^bundle-damaged: .* submit it again$"):
            bundles.chunk(brief(), read())
    path.unlink()
    path.write_bytes(CONTENT)
    assert bundles.chunk(brief(), read()).data == CONTENT[:10]


def test_one_that_is_gone(bundles: Bundles) -> None:
    """A file that somebody removed is a damaged copy too."""
    bundles.path(brief().job).unlink()
    with pytest.raises(RefusedError, match="No such file"):
        bundles.chunk(brief(), read())


def test_many_ask_at_once(bundles: Bundles) -> None:
    """Workers that ask together cause one reading, and all are answered."""
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(bundles.chunk(brief(), read()).data)) for _ in range(8)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert got == [CONTENT[:10]] * 8


def test_what_is_remembered_is_bounded(bundles: Bundles, monkeypatch: pytest.MonkeyPatch) -> None:
    """More bundles than are remembered cost another reading, and no memory."""
    monkeypatch.setattr(limits, "BUNDLES_JUDGED", 2)
    for number in (1, 2, 3, 1):
        bundles.path(brief(number).job).write_bytes(CONTENT)
        assert bundles.chunk(brief(number), read(number=number)).data == CONTENT[:10]
    assert len(bundles._judged) == 2
