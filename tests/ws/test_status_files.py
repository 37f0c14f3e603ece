"""Status files on a disk that fails: what could not be written is written later, the newest text of each file."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from rjs.background import Tasks
from rjs.ids import BundleId
from ws import limits
from ws.homes import JOBS, STATUS_SUFFIX, Homes
from ws.job import JobState
from ws.status_files import StatusFiles


class FailingWorkers:
    """Works at once, or fails as told."""

    fault: OSError | None = None

    async def run(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """See Workers."""
        if self.fault is not None:
            raise self.fault
        return function(*args, **kwargs)


def nothing(job: BundleId) -> JobState:
    """There are no jobs."""
    raise KeyError(job)


class Setting:
    """The status files of ada, on a disk that may be full."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.homes, self.workers = folder, Homes(folder), FailingWorkers()
        self.homes.create("ada")
        self.files = StatusFiles(self.homes, self.workers, Clock(), Tasks("test"), nothing)

    def told(self, name: str) -> str:
        """The last line of a file's status, or nothing."""
        path = self.folder / "ada" / JOBS / (name + STATUS_SUFFIX)
        return path.read_text().splitlines()[-1] if path.exists() else ""


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


def test_what_could_not_be_written_is_written_later(setting: Setting) -> None:
    """When there is room again each file gets its newest text, once; a text written meanwhile is not undone."""
    setting.workers.fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for name, sentence in (("a.jar", "old"), ("b.jar", "old"), ("a.jar", "new")):
        setting.files.refused("ada", name, sentence)
    setting.files.retry()
    assert setting.told("a.jar") == setting.told("b.jar") == ""
    setting.workers.fault = None
    setting.files.refused("ada", "b.jar", "newer")
    setting.files.retry()
    assert setting.told("a.jar") == "refused: new"
    assert setting.told("b.jar") == "refused: newer"
    (setting.folder / "ada" / JOBS / ("a.jar" + STATUS_SUFFIX)).unlink()
    setting.files.retry()
    assert setting.told("a.jar") == ""


def test_a_full_disk_is_told_once(setting: Setting) -> None:
    """Not for every file, nor for every try: the log is on a full disk too."""
    setting.workers.fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with capturedLogs() as logged:
        for number in range(100):
            setting.files.refused("ada", f"{number}.jar", "no")
        setting.files.retry()
    assert [each["log_level"] for each in logged] == [LogLevel.warn]


def test_what_is_kept_is_bounded(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the cap the oldest go; a name that is too long for the disk is not tried again."""
    monkeypatch.setattr(limits, "STATUS_KEPT", 3)
    setting.workers.fault = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    for number in range(10):
        setting.files.refused("ada", f"{number}.jar", "no")
    setting.workers.fault = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    setting.files.refused("ada", "long.jar", "no")
    setting.workers.fault = None
    setting.files.retry()
    names = [*(f"{number}.jar" for number in range(10)), "long.jar"]
    assert [name for name in names if setting.told(name)] == ["7.jar", "8.jar", "9.jar"]
