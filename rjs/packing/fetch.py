"""Brings the wheels that a lock names to this machine, each as exactly the bytes whose digest the lock states."""

from __future__ import annotations

import shutil
import tempfile
import urllib.request
import weakref
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import attrs
from packaging.pylock import PackageWheel

from rjs import limits
from rjs.bundle.names import shown
from rjs.errors import RefusedError
from rjs.packing.tree import DiskFile, UnfitFileError, look_at


class Scratch:
    """A private folder that lasts as long as somebody holds it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="rjs-wheels-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def fetch(wheel: PackageWheel, sha256: str, scratch: Scratch) -> DiskFile:
    """Give the wheel, from its place on this machine or into ``scratch``.

    Whatever it is called and wherever it comes from, it has the digest ``sha256`` (hex), or RefusedError ``pack``.
    """
    address = urlsplit(wheel.url or "")
    if address.scheme in ("https", "http"):
        path = _downloaded(address.geturl(), scratch.path / sha256)
    else:
        path = Path(unquote(address.path) if address.scheme == "file" else wheel.path or "").resolve()
    try:
        file = look_at(path)
    except (UnfitFileError, OSError) as error:
        raise _refused(wheel, str(error)) from None
    digest = file.digest()
    if digest.hex() != sha256:
        raise _refused(wheel, "it is not the file that the lock names: its SHA-256 differs")
    return attrs.evolve(file, executable=False, sha256=digest, scratch=scratch)


def _downloaded(url: str, path: Path) -> Path:
    """Copy what is at ``url``, which is on the web, to ``path``: at most as much as a bundle holds."""
    try:
        with (
            urllib.request.urlopen(url, timeout=limits.DOWNLOAD_STALL) as answer,  # noqa: S310
            path.open("wb") as file,
        ):
            _copy(answer, file)
    except (OSError, ValueError) as error:
        raise RefusedError("pack", f"{shown(url)} cannot be fetched: {error}") from None
    return path


def _copy(source: BinaryIO, file: BinaryIO) -> None:
    left = limits.MAX_ARCHIVE_BYTES
    while chunk := source.read(limits.READ_CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"it is larger than {limits.MAX_ARCHIVE_BYTES} bytes")
        file.write(chunk)


def _refused(wheel: PackageWheel, why: str) -> RefusedError:
    return RefusedError("pack", f"the wheel {shown(wheel.filename)} cannot be taken: {why}")
