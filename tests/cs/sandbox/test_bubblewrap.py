"""The same cells by bubblewrap, as an ordinary account: the words, and the real program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cs.sandbox import bubblewrap, inside
from cs.sandbox.plan import COVERED, Bind, Plan, PlanError

if TYPE_CHECKING:
    from tests.cs.sandbox.conftest import Ground

BWRAP = "/usr/bin/bwrap"
_EXECUTE = """\
import json, os, sys
sys.path.append(sys.argv[1])
from cs.sandbox import bpf, bubblewrap
from cs.sandbox.plan import Bind, Plan
binds, tmp_bytes, hostname = json.loads(sys.argv[2])
plan = Plan(tuple(Bind(*bind) for bind in binds), tmp_bytes, hostname)
reading, calls = os.pipe()
os.write(calls, bpf.program())
os.close(calls)
os.set_inheritable(reading, True)
command = [os.path.realpath(sys.executable), "-I", "-S", "-B", "-c", sys.argv[3]]
status = os.dup(2)
os.set_inheritable(status, True)
argv = bubblewrap.bubblewrap_argv("/usr/bin/bwrap", plan, command, seccomp=reading, status=status)
os.execv(argv[0], argv)
"""

ordinary = pytest.mark.parametrize("ground", ["ordinary"], indirect=True)


def run(ground: Ground, code: str, *binds: Bind) -> tuple[str, dict[str, int]]:
    """What ``code`` prints as pid 1 of a cell, and what bubblewrap says of it."""
    plan = json.dumps(ground.plan(*binds))
    argv = [*ground.prefix, ground.python, "-I", "-S", "-B", "-c", _EXECUTE, str(ground.library), plan, code]
    done = ground.run_command(argv)
    said: dict[str, int] = {}
    for line in done.stderr.splitlines():
        said |= json.loads(line)
    return done.stdout.strip(), said


def words(*binds: Bind, command: tuple[str, ...] = ("/bin/true",)) -> list[str]:
    return bubblewrap.bubblewrap_argv(BWRAP, Plan(binds, 4096), command, seccomp=8, status=9)


@ordinary
def test_every_wall_stands(ground: Ground) -> None:
    """What tries from inside to get at the machine finds nothing, as with our own calls."""
    plan = ground.plan()
    roots = sorted({bind.target.split("/")[1] for bind in plan.binds} | {place[1:] for place in COVERED})
    text = Path(inside.__file__).read_text(encoding="utf-8")
    arguments = [json.dumps([roots, plan.tmp_bytes])]
    printed, said = run(ground, f"import sys\nsys.argv[1:] = {arguments!r}\nexec({text!r})")
    assert (json.loads(printed), said["exit-code"]) == ([], 0)
    assert said["child-pid"] > 1


@ordinary
def test_a_job_writes_where_it_may(ground: Ground) -> None:
    """And nowhere else."""
    work, books = ground.make("work"), ground.make("books")
    code = (
        "import os\n"
        "print(os.getpid(), sorted(os.environ), os.getcwd())\n"
        "open('/work/made', 'w').write('by the job')\n"
        "try: open('/books/made', 'w')\n"
        "except OSError as error: print(error.errno)\n"
    )
    printed, _ = run(ground, code, Bind(str(work), "/work", writable=True), Bind(str(books), "/books"))
    assert printed == "1 ['LC_CTYPE', 'PWD'] /\n30"
    assert (work / "made").read_text() == "by the job"


@ordinary
def test_a_link_is_the_same_link_inside(ground: Ground) -> None:
    """The same as with our own calls."""
    (ground.folder / "link").symlink_to("/etc/shadow")
    code = "import os\nprint(os.readlink('/x'), os.path.exists('/x'))"
    assert run(ground, code, Bind(str(ground.folder / "link"), "/x"))[0] == "/etc/shadow False"


@ordinary
def test_no_system_setting_can_be_written(ground: Ground) -> None:
    """All of /proc is read-only or covered."""
    code = (
        "import os\n"
        "written = []\n"
        "for folder, _, names in os.walk('/proc'):\n"
        "    for name in names:\n"
        "        try: os.close(os.open(folder + '/' + name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))\n"
        "        except OSError: continue\n"
        "        written.append(folder + '/' + name)\n"
        "print(written)\n"
    )
    assert run(ground, code)[0] == "[]"


def test_sources_that_are_not_there_are_refused_by_name(tmp_path: Path) -> None:
    """Before anything is started."""
    with pytest.raises(PlanError, match="'/nowhere/at-all', which a cell needs, is not there"):
        words(Bind("/nowhere/at-all", "/x"))
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PlanError, match="is a symbolic link"):
        words(Bind(str(tmp_path / "link"), "/x", writable=True))


def test_a_plan_is_checked_here_too() -> None:
    """What our own calls refuse is not worded for another program."""
    with pytest.raises(PlanError, match="nothing of the machine can be at '/proc/x'"):
        words(Bind("/usr", "/proc/x"))


def test_the_command_is_no_option() -> None:
    """A command that looks like one is not taken for one."""
    assert words(command=("--bind", "/", "/"))[-4:] == ["--", "--bind", "/", "/"]


def test_the_walls_are_all_worded(tmp_path: Path) -> None:
    """In the order in which they are raised; writable sources alone are bound writable."""
    argv = words(Bind(str(tmp_path), "/work", writable=True), Bind("/usr", "/usr"))
    assert argv[0] == BWRAP
    assert {
        "--unshare-all",
        "--unshare-user",
        "--die-with-parent",
        "--new-session",
        "--as-pid-1",
        "--clearenv",
    } <= set(argv)
    assert " ".join(argv).count("--bind ") == 1
    assert f"--bind {tmp_path} /work --ro-bind /usr /usr" in " ".join(argv)
    assert "--cap-drop ALL" in " ".join(argv)
    assert argv[argv.index("--seccomp") + 1] == "8"
    assert argv[argv.index("--json-status-fd") + 1] == "9"
    assert argv.index("--remount-ro") < argv.index("--seccomp")
