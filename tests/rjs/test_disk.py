"""The disk under a server: what it takes is found out by writing, and a server waits until it takes what it must."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rjs import limits
from rjs.background import ImmediateWorkers
from rjs.disk import DiskWatch, is_of_disk, look
from rjs.errors import OverloadedError, UnreachableError
from rjs.status import SOCKET, read_status

Break = Callable[[int], None]


@pytest.fixture
def disk_says(monkeypatch: pytest.MonkeyPatch) -> Break:
    """From now on every write fails with this error number; 0: none does."""
    write = os.write

    def say(number: int) -> None:
        def failing(descriptor: int, data: bytes) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "write", failing if number else write)

    return say


def test_a_healthy_disk_says_nothing(tmp_path: Path) -> None:
    """There is room, and what was written to see that is gone."""
    state = look(tmp_path)
    assert (state.code, state.sentence, state.writable) == ("", "", True) and state.free > limits.DISK_RESERVE
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code", "remedy"),
    [
        (errno.ENOSPC, "disk-full", "make room"), (errno.EDQUOT, "disk-full", "quota"),
        (errno.EROFS, "disk-read-only", "mount it anew"), (errno.EIO, "disk-failing", "system's log"),
        (errno.EMFILE, "no-descriptors", "ulimit -n"), (errno.ENFILE, "no-descriptors", "this machine"),
        (errno.EPERM, "disk-failing", "system's log"),
    ],
)  # fmt: skip
def test_each_trouble_has_its_name_and_remedy(
    tmp_path: Path, disk_says: Break, number: int, code: str, remedy: str
) -> None:
    """What the system says of a write is what the owner of the machine reads, with what to do."""
    disk_says(number)
    state = look(tmp_path)
    assert (state.code, state.writable) == (code, False)
    assert os.strerror(number) in state.sentence and remedy in state.sentence
    assert list(tmp_path.iterdir()) == []


def test_little_room_is_named_before_there_is_none(tmp_path: Path) -> None:
    """Below the reserve what was begun goes on, and nothing new begins."""
    state = look(tmp_path, reserve=1 << 62)
    assert (state.code, state.writable) == ("disk-low", True) and "MiB more" in state.sentence


def test_few_files_left_is_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk can be full of files, however small."""
    found = os.statvfs(tmp_path)
    few = os.statvfs_result([*found[:7], 10, *found[8:]])
    monkeypatch.setattr(os, "statvfs", lambda path: few)
    assert look(tmp_path).code == "disk-low" and "10 files" in look(tmp_path).sentence


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    """Whoever can plant a link in the folder cannot have another file overwritten."""
    (tmp_path / "letter").write_text("dear")
    (tmp_path / ".probe").symlink_to(tmp_path / "letter")
    assert look(tmp_path).code == "disk-failing"
    assert (tmp_path / "letter").read_text() == "dear"


@pytest.mark.parametrize(
    ("number", "ours"), [(errno.ENOSPC, True), (errno.EMFILE, True), (errno.ENOENT, False)]
)
def test_what_is_the_disks_fault(number: int, ours: bool) -> None:
    """A missing file says nothing about the disk."""
    assert is_of_disk(OSError(number, "x")) is ours


def test_changes_are_told_once_and_heal(tmp_path: Path, disk_says: Break) -> None:
    """Each way, once; nothing new is taken in meanwhile, with the reason."""
    told: list[str] = []
    watch = DiskWatch(tmp_path, ImmediateWorkers(), lambda state: told.append(state.code))
    watch.check_room()
    for number in (errno.ENOSPC, errno.ENOSPC, 0, 0):
        disk_says(number)
        _run(watch)
        if number:
            with pytest.raises(OverloadedError, match="disk-full"):
                watch.check_room()
    watch.check_room()
    assert told == ["disk-full", ""]
    assert watch.document()["fault"] == ""


def _run(watch: DiskWatch) -> None:
    with pytest.raises(StopIteration):
        watch.look().send(None)


WAITER = """
import sys
from pathlib import Path
import rjs.disk
healthy = Path(sys.argv[2])
real = rjs.disk.look
rjs.disk.look = lambda folder: real(folder) if healthy.exists() else rjs.disk.DiskState(
    "disk-full", "it takes no writes: make room", False, 0, 0)
rjs.disk.await_disk(Path(sys.argv[1]), "ws")
print("serves", flush=True)
"""


def test_a_server_waits_for_its_disk_and_says_so(tmp_path: Path) -> None:
    """Whoever asks for the status hears why; once there is room, it goes on by itself."""
    folder, healthy = tmp_path / "ws", tmp_path / "healthy"
    folder.mkdir()
    (folder / "lock").touch()
    argv = [sys.executable, "-c", WAITER, str(folder), str(healthy)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiter:
        assert waiter.stdout is not None and waiter.stderr is not None
        assert waiter.stderr.readline() == "disk-full: it takes no writes: make room\n"
        assert "does not serve yet: it takes no writes: make room" in _refusal(folder)
        assert (folder / SOCKET).stat().st_mode & 0o777 == 0o600
        healthy.touch()
        assert waiter.stdout.readline() == "serves\n"
        assert waiter.wait(10) == 0


def _refusal(folder: Path) -> str:
    """What the status says once there is one."""
    for _ in range(500):
        with pytest.raises(UnreachableError) as caught:
            read_status(folder)
        if "does not serve" in str(caught.value):
            return str(caught.value)
        time.sleep(0.01)
    raise AssertionError("no status came")


RESTARTER = """
import os, subprocess, sys
from pathlib import Path
from rjs.disk import await_disk, restart
again = "RJS_STARTED_AGAIN" in os.environ
await_disk(Path(sys.argv[1]), "ws")
print(os.getpid(), again, "RJS_STARTED_AGAIN" in os.environ, flush=True)
if not again:
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    print(child.pid, flush=True)
    restart("the journal cannot be written")
"""


def test_a_restart_is_the_same_process_with_nothing_in_memory(tmp_path: Path) -> None:
    """Its children, whose ends of what they shared were closed, are seen off."""
    script = tmp_path / "server.py"
    script.write_text(RESTARTER)
    ran = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=30, check=True
    )
    first, child, second = ran.stdout.splitlines()
    assert first == second.replace("True", "False")
    assert not Path(f"/proc/{child}").exists()


def test_the_status_of_a_held_folder_is_left_alone(tmp_path: Path) -> None:
    """A second process that waits for the disk does not answer in place of the server that runs."""
    folder = tmp_path / "ws"
    folder.mkdir()
    holder = (
        "import fcntl, sys; lock = open(sys.argv[1] + '/lock', 'w'); fcntl.flock(lock, 2);"
        "print('held', flush=True); sys.stdin.read()"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", holder, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as held,
        socket.socket(socket.AF_UNIX) as door,
    ):
        assert held.stdout is not None and held.stdout.readline() == "held\n"
        door.bind(str(folder / SOCKET))
        before = (folder / SOCKET).stat().st_ino
        argv = [sys.executable, "-c", WAITER, str(folder), str(tmp_path / "never")]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as waiter:
            assert waiter.stderr is not None and waiter.stderr.readline()
            time.sleep(0.2)
            assert (folder / SOCKET).stat().st_ino == before
            waiter.kill()
        held.communicate()
