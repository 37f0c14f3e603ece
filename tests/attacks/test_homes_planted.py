"""Attack: a user plants links, folders and pipes in the home that the WS writes to and reads from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rjs.errors import RefusedError
from ws.homes import ANSWERS, JOBS, STATUS_SUFFIX, Homes, check_bundle_name

JOB = "ab" * 32
LINKED = r"Not a directory|symbolic links"
OWN = b"the web server's own"


@pytest.fixture
def homes(tmp_path: Path) -> Homes:
    (tmp_path / "homes").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "key").write_bytes(OWN)
    made = Homes(tmp_path / "homes")
    made.create("ada")
    made.create("bob")
    return made


def untouched(homes: Homes) -> bool:
    own = homes.path.parent / "own"
    return {path.name: path.read_bytes() for path in own.iterdir()} == {"key": OWN}


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def replace_by_link(path: Path, target: Path) -> None:
    path.rmdir()
    path.symlink_to(target)


def test_an_answer_is_delivered_once(homes: Homes) -> None:
    """Whole, under the job's short id, and the second time nothing changes."""
    assert homes.deliver("ada", JOB, 3, b"answer")
    assert not homes.deliver("ada", JOB, 3, b"another")
    folder = homes.path / "ada" / ANSWERS / JOB[:16]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"3.jar": b"answer"}
    assert (folder / "3.jar").stat().st_mode & 0o077 == 0


def test_a_large_answer_is_copied(homes: Homes, tmp_path: Path) -> None:
    """From the staged file, which stays."""
    (tmp_path / "staged").write_bytes(b"x" * 3_000_000)
    assert homes.deliver("ada", JOB, 0, tmp_path / "staged")
    assert (homes.path / "ada" / ANSWERS / JOB[:16] / "0.jar").stat().st_size == 3_000_000
    assert (tmp_path / "staged").exists()


@pytest.mark.parametrize("target", ["own", "homes/bob/ans"])
def test_a_linked_ans_is_not_followed(homes: Homes, target: str) -> None:
    """Not to the server's folders, and not to another user's: the answer waits."""
    replace_by_link(homes.path / "ada" / ANSWERS, homes.path.parent / target)
    with pytest.raises(OSError, match=LINKED):
        homes.deliver("ada", JOB, 0, b"answer")
    assert untouched(homes)
    assert list((homes.path / "bob" / ANSWERS).iterdir()) == []


def test_a_linked_job_folder_is_not_followed(homes: Homes) -> None:
    """The folder of a job's answers may be planted before its first answer."""
    (homes.path / "ada" / ANSWERS / JOB[:16]).symlink_to(homes.path.parent / "own")
    with pytest.raises(OSError, match=LINKED):
        homes.deliver("ada", JOB, 0, b"answer")
    assert untouched(homes)


@pytest.mark.parametrize("kind", ["file", "link to a file", "dangling link", "folder", "pipe"])
def test_nothing_is_overwritten(homes: Homes, kind: str) -> None:
    """Whatever has the answer's name stays as it is, and what it points to as well."""
    folder = homes.path / "ada" / ANSWERS / JOB[:16]
    folder.mkdir()
    planted = folder / "0.jar"
    match kind:
        case "file":
            planted.write_bytes(b"mine")
        case "link to a file":
            planted.symlink_to(homes.path.parent / "own" / "key")
        case "dangling link":
            planted.symlink_to(homes.path.parent / "own" / "new")
        case "folder":
            planted.mkdir()
        case _:
            os.mkfifo(planted)
    before = planted.lstat()
    assert not homes.deliver("ada", JOB, 0, b"answer")
    assert planted.lstat() == before or planted.lstat().st_ino == before.st_ino
    assert listed(folder) == ["0.jar"]
    assert untouched(homes)


def test_a_planted_part_is_no_obstacle(homes: Homes) -> None:
    """What has the name of our unfinished file, link or not, is replaced and never written through."""
    folder = homes.path / "ada" / ANSWERS / JOB[:16]
    folder.mkdir()
    (folder / ".0.jar.part").symlink_to(homes.path.parent / "own" / "key")
    assert homes.deliver("ada", JOB, 0, b"answer")
    assert listed(folder) == ["0.jar"]
    assert untouched(homes)


def test_a_linked_jobs_is_neither_read_nor_written(homes: Homes) -> None:
    """A link makes no bundle of another user's files, and no status file elsewhere."""
    (homes.path / "bob" / JOBS / "b.jar").write_bytes(b"bob's")
    replace_by_link(homes.path / "ada" / JOBS, homes.path / "bob" / JOBS)
    assert [found.account for found in homes.bundles(["ada", "bob"])] == ["bob"]
    assert homes.misnamed("ada") == []
    with pytest.raises(OSError, match=LINKED):
        homes.write_status("ada", "b.jar", "state: done\n")
    assert listed(homes.path / "bob" / JOBS) == ["b.jar"]


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_bundle_is_a_plain_file(homes: Homes, kind: str) -> None:
    """Neither a link to the server's key nor a pipe is read, and nothing blocks."""
    planted = homes.path / "ada" / JOBS / "x.jar"
    match kind:
        case "link":
            planted.symlink_to(homes.path.parent / "own" / "key")
        case "pipe":
            os.mkfifo(planted)
        case _:
            planted.mkdir()
    for found in homes.bundles(["ada"]):
        with pytest.raises(RefusedError), homes.open_file(found.account, found.file_name):
            pass


def test_a_swapped_bundle_has_another_stamp(homes: Homes) -> None:
    """Another file, other bytes or a link in its place are not what was judged."""
    path = homes.path / "ada" / JOBS / "x.jar"
    path.write_bytes(b"one")
    (first,) = homes.bundles(["ada"])
    other = path.with_name("other")
    other.write_bytes(b"two")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    (second,) = homes.bundles(["ada"])
    assert second.stamp != first.stamp
    path.unlink()
    path.symlink_to(homes.path.parent / "own" / "key")
    with pytest.raises(RefusedError), homes.open_file(second.account, second.file_name):
        pass


def test_a_status_replaces_a_link_and_leaves_its_target(homes: Homes) -> None:
    """The status file of a planted name is ours; what the name pointed to is not touched."""
    status = homes.path / "ada" / JOBS / f"x.jar{STATUS_SUFFIX}"
    status.symlink_to(homes.path.parent / "own" / "key")
    homes.write_status("ada", "x.jar", "state: done\n")
    assert not status.is_symlink()
    assert status.read_text() == "state: done\n"
    assert untouched(homes)


def test_a_status_that_cannot_be_written_leaves_nothing(homes: Homes) -> None:
    """A planted folder costs its user the status, and the disk nothing."""
    (homes.path / "ada" / JOBS / f"x.jar{STATUS_SUFFIX}").mkdir()
    for _ in range(3):
        with pytest.raises(OSError, match="directory"):
            homes.write_status("ada", "x.jar", "state: done\n")
    assert listed(homes.path / "ada" / JOBS) == [f"x.jar{STATUS_SUFFIX}"]


@pytest.mark.parametrize(
    "name",
    [
        b"..jar", b".hidden.jar", b"-rf.jar", b"new\nline.jar", b"\x1b[31m.jar", "right\u202eto-left.jar".encode(),
        b"a\xff.jar", b"x" * 126 + b".jar",
    ],
)  # fmt: skip
def test_odd_names_are_misnamed(homes: Homes, name: bytes) -> None:
    """No status is written beside such a name, and no job is made of it; it is told under a name of ours."""
    path = os.fsencode(homes.path / "ada" / JOBS) + b"/" + name
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    assert homes.bundles(["ada"]) == []
    assert homes.misnamed("ada") == [os.fsdecode(name)]
    with pytest.raises(RefusedError, match="file-name"):
        check_bundle_name(os.fsdecode(name))


@pytest.mark.parametrize("account", ["..", ".", "", "a/b", "../bob", "A", "a\n"])
def test_an_account_is_no_path(homes: Homes, account: str) -> None:
    """A name that is no account's reaches no folder."""
    for act in (
        lambda: homes.create(account),
        lambda: homes.deliver(account, JOB, 0, b""),
        lambda: homes.write_status(account, "x.jar", ""),
    ):
        with pytest.raises(RefusedError):
            act()
