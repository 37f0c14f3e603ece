"""The spool: signed answers on disk from the moment they are complete until their commit notice.

An answer's name says which attempt it is of, so that after a restart the folder is all there is to know. Before one
that an earlier process left there is offered, it is read as its receivers will (``fault_of``).
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import attrs
import msgspec
from twisted.logger import Logger

from rjs.answers.answer_jar import open_answer
from rjs.attempts import AttemptId
from rjs.bundle.errors import BundleRefusedError
from rjs.crash_points import crash_point
from rjs.files import sync_folder
from rjs.identity.certificates import Identity
from rjs.identity.keys import spki_digest
from rjs.limits import INLINE_ANSWER
from rjs.quarantine import Quarantine
from rjs.wall_time import Wall

Damaged = dict[AttemptId, str]
"""What is wrong with the answer of each of these attempts."""

_log = Logger("cs.spool")

_NAME = re.compile(r"([0-9a-f]{64})\.(\d{1,10})\.(\d{1,19})\.(\d{1,19})\.(\d{1,19})\.jar")


@attrs.frozen
class Spooled:
    """An answer's bytes as they will be offered: ``data`` is empty for one too large to travel along."""

    path: Path
    size: int
    sha256: str
    data: bytes = attrs.field(repr=False)


class Spool:
    """Answers in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recover(self) -> list[AttemptId]:
        """At start: the answers that wait; what a killed process left half written is removed."""
        found = []
        for path in sorted(self._folder.iterdir()):
            attempt = parse_name(path.name)
            if attempt is not None:
                found.append(attempt)
            elif path.name.endswith(".part") and not path.is_dir():
                path.unlink()
            else:
                _log.warn("{path} is no answer of ours; it is left alone", path=path)
        return found

    def set_aside(
        self, attempts: Iterable[AttemptId], owner: Identity, quarantine: Quarantine, now: Wall
    ) -> Damaged:
        """At start: move every damaged answer into ``quarantine``; which they were, and what is wrong with each.

        Blocks: reads all of them. Raises OSError where one cannot be moved.
        """
        damaged = {}
        for attempt in attempts:
            why = fault_of(self.path(attempt), attempt, owner)
            if why:
                what = f"answer of task {attempt.task} of job {attempt.job[:16]}"
                quarantine.take(self.path(attempt), why, now(), what)
                damaged[attempt] = why
        return damaged

    def path(self, attempt: AttemptId) -> Path:
        """Where the answer of ``attempt`` is."""
        return self._folder / name_of(attempt)

    def keep(self, attempt: AttemptId, write: Callable[[BinaryIO], object]) -> None:
        """Let ``write`` make the answer; it is there whole and durable, or not at all."""
        part = self.path(attempt).with_suffix(".part")
        try:
            with part.open("w+b") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            crash_point("cs.answer.signed")
            part.replace(self.path(attempt))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)

    def load(self, attempt: AttemptId) -> Spooled:
        """What an offer states. Raises OSError."""
        return load_spooled(self.path(attempt))

    def forget(self, attempt: AttemptId) -> None:
        """The verdict is final."""
        self.path(attempt).unlink(missing_ok=True)


def load_spooled(path: Path) -> Spooled:
    """What an offer of this file states. Raises OSError."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= INLINE_ANSWER:
            data = file.read()
            return Spooled(path, len(data), hashlib.sha256(data).hexdigest(), data)
        return Spooled(path, size, hashlib.file_digest(file, "sha256").hexdigest(), b"")


def fault_of(path: Path, attempt: AttemptId, owner: Identity) -> str:
    """What is wrong with the file as ``owner``'s answer of ``attempt``; empty where nothing is, or none can say now.

    The time is that of the certificates, not the clock's: a desktop that starts in 1970 throws nothing away.
    """
    began = max(each.not_valid_before_utc for each in owner.chain)
    try:
        with path.open("rb") as file:
            answer = open_answer(file, roots=[owner.root], at=began)
    except BundleRefusedError as refused:
        return str(refused)
    except OSError as error:
        return f"it cannot be read: {error.strerror}" if error.errno == errno.EIO else ""
    if answer.signer.spki != spki_digest(owner.chain[0]):
        return "it is signed with another key than this compute server's"
    receipt = answer.receipt
    stated = AttemptId(receipt.bundle_id, receipt.task, receipt.fence)
    return "" if stated == attempt else f"it is the answer of another attempt: {name_of(stated)}"


def name_of(attempt: AttemptId) -> str:
    """The file name of an attempt's answer."""
    fence = attempt.fence
    return f"{attempt.job}.{attempt.task}.{fence.generation}.{fence.lease}.{fence.sequence}.jar"


def parse_name(name: str) -> AttemptId | None:
    """The attempt that a file name states, if it is one that ``name_of`` gives."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    job, *numbers = match.groups()
    task, *fence = map(int, numbers)
    try:
        attempt = msgspec.convert((job, task, fence), AttemptId)
    except msgspec.ValidationError:  # numbers that could not travel
        return None
    return attempt if name_of(attempt) == name else None
