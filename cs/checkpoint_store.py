"""Checkpoints on disk at the compute server: one folder, in which the newest of each task is kept.

The name says of which attempt one is, and which one of it, so that after a restart the folder is all there is to
know.
Two folders of the kind are used: for what is offered to the WS, and for what may not leave this machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import attrs
import msgspec

from cs import limits
from cs.spool import Spooled, load_spooled
from rjs.attempts import AttemptId, Fence
from rjs.crash_points import crash_point
from rjs.files import sync_folder

_NAME = re.compile(r"([0-9a-f]{64})\.(\d{1,10})\.(\d{1,19})\.(\d{1,19})\.(\d{1,19})\.(\d{1,10})\.jar")


@attrs.frozen(order=True)
class CheckpointName:
    """Which checkpoint is meant: of a task, they are ordered by fence and then by sequence."""

    attempt: AttemptId
    sequence: int

    @property
    def task(self) -> tuple[str, int]:
        """The job and the task that it is of."""
        return self.attempt.job, self.attempt.task

    @property
    def order(self) -> tuple[Fence, int]:
        """Newer ones have higher ones."""
        return self.attempt.fence, self.sequence

    def file(self) -> str:
        """The name of its file."""
        job, task, fence = self.attempt.job, self.attempt.task, self.attempt.fence
        return f"{job}.{task}.{fence.generation}.{fence.lease}.{fence.sequence}.{self.sequence}.jar"


def parse_file(name: str) -> CheckpointName | None:
    """The checkpoint that a file name states, if it is one that ``CheckpointName.file`` gives."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    job, *numbers = match.groups()
    task, generation, lease, fenced, sequence = map(int, numbers)
    try:
        attempt = msgspec.convert((job, task, (generation, lease, fenced)), AttemptId)
    except msgspec.ValidationError:  # numbers that could not travel
        return None
    found = CheckpointName(attempt, sequence)
    return found if found.file() == name else None


class CheckpointStore:
    """The newest checkpoint of each task, as long as there is room and it is not old. All but ``newest`` block."""

    def __init__(self, folder: Path, cap: int = limits.CHECKPOINTS) -> None:
        self._folder = folder
        self._cap = cap
        self._newest: dict[tuple[str, int], CheckpointName] = {}

    def recover(self, now: float) -> list[CheckpointName]:
        """At start: what is there; older ones, expired ones, and what a killed process left half written go."""
        for path in sorted(self._folder.iterdir()):
            name = parse_file(path.name)
            if name is None:
                path.unlink()
            else:
                self._take_in(name)
        self._expire(now)
        return sorted(self._newest.values())

    def newest(self, job: str, task: int) -> CheckpointName | None:
        """The newest of this task."""
        return self._newest.get((job, task))

    def path(self, name: CheckpointName) -> Path:
        """Where it is."""
        return self._folder / name.file()

    def keep(self, name: CheckpointName, write: Callable[[BinaryIO], object], now: float) -> None:
        """Let ``write`` make the checkpoint; it is there whole and durable, or not at all, in place of older ones of
        the task. The oldest of other tasks go where there is no room. Raises OSError, and what ``write`` raises."""
        part = self.path(name).with_suffix(".part")
        try:
            with part.open("w+b") as file:
                write(file)
                file.flush()
                os.utime(file.fileno(), (now, now))
                os.fsync(file.fileno())
            crash_point("cs.checkpoint.signed")
            part.replace(self.path(name))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(self._folder)
        self._take_in(name)
        self._expire(now)
        self._make_room(name)

    def load(self, name: CheckpointName) -> Spooled:
        """What an offer states. Raises OSError."""
        return load_spooled(self.path(name))

    def forget(self, name: CheckpointName) -> None:
        """It is not needed any more; nor are older ones of the task."""
        self.path(name).unlink(missing_ok=True)
        newest = self._newest.get(name.task)
        if newest is not None and newest.order <= name.order:
            self.forget_task(*name.task)

    def forget_task(self, job: str, task: int) -> None:
        """The task needs none any more."""
        name = self._newest.pop((job, task), None)
        if name is not None:
            self.path(name).unlink(missing_ok=True)

    def _take_in(self, name: CheckpointName) -> None:
        before = self._newest.get(name.task)
        kept, older = (before, name) if before is not None and before.order > name.order else (name, before)
        self._newest[name.task] = kept
        if older is not None and older != kept:
            self.path(older).unlink(missing_ok=True)

    def _expire(self, now: float) -> None:
        for name in tuple(self._newest.values()):
            if now - self._stat(name).st_mtime > limits.CHECKPOINT_LIFE:
                self.forget_task(*name.task)

    def _make_room(self, kept: CheckpointName) -> None:
        found = {name: self._stat(name) for name in self._newest.values()}
        total = sum(each.st_size for each in found.values())
        for name in sorted(found, key=lambda each: found[each].st_mtime_ns):
            if total <= self._cap:
                return
            if name != kept:
                total -= found[name].st_size
                self.forget_task(*name.task)

    def _stat(self, name: CheckpointName) -> os.stat_result:
        return self.path(name).lstat()
