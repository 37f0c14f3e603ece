"""What a cell may be asked to be, and what every cell has of the machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cs.sandbox.plan import Bind, Plan, PlanError, check
from cs.sandbox.system import system_binds

PYTHON = "/usr/bin/python3"


def complaint(plan: Plan) -> str:
    with pytest.raises(PlanError) as caught:
        check(plan)
    return str(caught.value)


@pytest.mark.parametrize(
    "path",
    ["", "/", "usr", "/usr/", "//usr", "/usr//lib", "/usr/./lib", "/usr/../etc", "/..", "/usr\0/lib", "."],
)
def test_only_plain_paths_are_taken(path: str) -> None:
    """Neither as a source nor as a target: what a path means is to be seen in it."""
    assert "is not a plain absolute path" in complaint(Plan((Bind(path, "/x"),), 1))
    assert "is not a plain absolute path" in complaint(Plan((Bind("/x", path),), 1))


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/dev", "/dev/sda", "/dev/shm/x", "/tmp", "/tmp/x"])
def test_what_a_cell_has_of_its_own_is_not_covered(target: str) -> None:
    """No bind comes over the cell's processes, devices and memory."""
    assert repr(target) in complaint(Plan((Bind("/usr", target),), 1))


def test_names_that_only_begin_alike_are_free() -> None:
    """/process is not below /proc; "..x" is a name like any other."""
    check(Plan((Bind("/tmp/x", "/process"), Bind("/dev/..x", "/tmpfs/..x")), 1))


@pytest.mark.parametrize(("size", "hostname"), [(0, "rjs"), (-1, "rjs"), (1, ""), (1, "x" * 65), (1, "a\0b")])
def test_a_cell_has_memory_and_a_name(size: int, hostname: str) -> None:
    """Zero would be a folder without bounds."""
    assert complaint(Plan((), size, hostname))


def test_a_plan_travels_as_json() -> None:
    """As lists, from which the same value is made."""
    plan = Plan((Bind("/a", "/b", True), Bind("/c", "/d")), 5)
    binds, *rest = json.loads(json.dumps(plan))
    assert Plan(tuple(Bind(*bind) for bind in binds), *rest) == plan


def test_the_system_of_every_cell_makes_sense() -> None:
    """All sources are there, all is read-only, nothing is named twice."""
    binds = system_binds(PYTHON)
    check(Plan(binds, 1))
    assert all(os.path.lexists(bind.source) and not bind.writable for bind in binds)
    assert len({bind.target for bind in binds}) == len(binds)
    assert "/usr" in [bind.target for bind in binds]


def test_the_machines_accounts_and_names_stay_outside() -> None:
    """The files that say who is here are ours; of /etc there is what our documentation lists, and no more."""
    of_etc = {bind.target: bind.source for bind in system_binds(PYTHON) if bind.target.startswith("/etc/")}
    ours = {name for name, source in of_etc.items() if source != name}
    assert ours == {
        f"/etc/{name}" for name in ("passwd", "group", "hosts", "hostname", "host.conf", "nsswitch.conf")
    }
    known = ("ld.so.cache", "alternatives", "java", "fonts", "localtime", "timezone", "ssl", "pki")
    assert all(name.removeprefix("/etc/").startswith(known) for name in set(of_etc) - ours)
    assert "root" not in Path(of_etc["/etc/passwd"]).read_text(encoding="ascii")


def installation(home: Path, *names: str) -> str:
    """A folder with an interpreter and ``names`` in it; the interpreter's path."""
    for name in ("bin", *names):
        (home / name).mkdir(parents=True)
    (home / "bin" / "program").touch()
    return str(home / "bin" / "program")


def added(python: str, java: str | None = None) -> list[str]:
    everywhere = {bind.target for bind in system_binds(PYTHON)}
    return [bind.target for bind in system_binds(python, java) if bind.target not in everywhere]


def test_an_interpreter_elsewhere_comes_with_its_libraries_alone(tmp_path: Path) -> None:
    """Its installation may be somebody's home: nothing else of it is seen, no other program either."""
    python = installation(tmp_path / "home", "lib", "Documents", "share/keyrings")
    (tmp_path / "home/bin/secret-tool").touch()
    assert added(python) == [python, str(tmp_path / "home/lib")]


def test_a_virtual_machine_elsewhere_comes_with_its_pieces(tmp_path: Path) -> None:
    """Programs, libraries and settings."""
    java = installation(tmp_path / "jdk", "lib", "conf", "demo")
    assert added(PYTHON, java) == [str(tmp_path / "jdk" / name) for name in ("bin", "lib", "conf")]


def test_links_to_an_interpreter_are_followed_outside(tmp_path: Path) -> None:
    """What is bound is where the program really is: there it is started."""
    python = installation(tmp_path / "python-3.11.7", "lib")
    (tmp_path / "python-3").symlink_to(tmp_path / "python-3.11.7")
    assert added(str(tmp_path / "python-3/bin/program")) == [python, str(tmp_path / "python-3.11.7/lib")]


def test_what_is_below_usr_is_there_already() -> None:
    """The system's own Python and Java add nothing."""
    assert added(PYTHON, "/usr/bin/env") == []
