"""Real cells by our own calls, as root and as an ordinary account: what is inside, and what stays outside."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cs.sandbox import inside
from cs.sandbox.plan import COVERED, Bind, Plan

if TYPE_CHECKING:
    from tests.cs.sandbox.conftest import Ground

NEW_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")


def test_every_wall_stands(ground: Ground) -> None:
    """What tries from inside to get at the machine finds nothing."""
    plan = ground.plan()
    roots = sorted({bind.target.split("/")[1] for bind in plan.binds} | {place[1:] for place in COVERED})
    expected = json.dumps([roots, plan.tmp_bytes])
    text = Path(inside.__file__).read_text(encoding="utf-8")
    done = ground.run(f"import sys\nsys.argv[1:] = [{expected!r}]\nexec({text!r})", plan)
    assert (json.loads(done.stdout), done.stderr.strip().isdigit()) == ([], True)


def test_the_report_is_the_cells_number_and_ends_when_the_walls_stand(ground: Ground) -> None:
    """Whoever reads it to its end knows that nothing failed, and whom to kill."""
    code = "import os, time\nprint(os.getpid(), os.getsid(0), os.path.exists('/proc/self/fd/%d' % report))"
    done = ground.run(code, ground.plan())
    assert done.stdout.split() == ["1", "1", "False"]
    assert int(done.stderr) > 1


def test_a_job_writes_where_it_may_and_the_owner_owns_it(ground: Ground) -> None:
    """A writable source is the machine's own folder; a read-only one is not to be changed in any way."""
    work, books = ground.make("work"), ground.make("books")
    (books / "book").write_text("read me")
    printed = ground.inside(
        "import os\n"
        "open('/work/made', 'w').write('by the job')\n"
        "for attempt in (lambda: open('/books/book', 'w'), lambda: os.unlink('/books/book'),\n"
        "                lambda: os.chmod('/books', 0o777), lambda: os.utime('/books/book')):\n"
        "    try: attempt()\n"
        "    except OSError as error: print(error.errno, end=' ')\n"
        "print(open('/books/book').read(), os.stat('/work/made').st_uid)\n",
        Bind(str(work), "/work", writable=True),
        Bind(str(books), "/books"),
    )
    assert printed == "30 30 30 30 read me 1000"
    assert (work / "made").read_text() == "by the job"
    assert (work / "made").stat().st_uid == work.stat().st_uid


@pytest.mark.parametrize("name", ["with space", "zeile\nzwei", "tab\t\\040", "ü☃", "'quoted\""])
def test_any_name_can_be_bound(ground: Ground, name: str) -> None:
    """No list of mounts is read, so no name needs escaping."""
    ground.make(name, "here")
    assert ground.inside(f"print(open({'/x/' + name!r}).read())", Bind(str(ground.folder), "/x")) == "here"


def test_a_file_is_bound_as_a_file(ground: Ground) -> None:
    """And into a folder that is there only for it."""
    ground.make("one", "of it")
    ground.make("two", "other")
    code = "import os\nprint(os.listdir('/deep/down'), open('/deep/down/file').read())"
    assert ground.inside(code, Bind(str(ground.folder / "one"), "/deep/down/file")) == "['file'] of it"


def test_a_readable_link_is_the_same_link_inside(ground: Ground) -> None:
    """It means what it means in the cell: nothing of the machine comes in by it."""
    (ground.folder / "link").symlink_to("/etc/shadow")
    code = "import os\nprint(os.readlink('/x'), os.path.exists('/x'))"
    assert ground.inside(code, Bind(str(ground.folder / "link"), "/x")) == "/etc/shadow False"


@pytest.mark.parametrize(
    ("bind", "words"),
    [
        (Bind("{0}/gone", "/x"), "'{0}/gone', which a cell needs, is not there"),
        (Bind("{0}/gone", "/x", writable=True), "'{0}/gone', which a cell needs, is not there"),
        (Bind("{0}/link", "/x", writable=True), "'{0}/link' is a symbolic link"),
        (Bind("{0}/file", "/work/link/made"), "'/work/link/made' cannot be made in a cell"),
        (Bind("{0}/file", "/work/link"), "'/work/link' cannot be made in a cell"),
        (Bind("{0}/file", "/usr/new/file"), "'/usr/new/file' cannot be made in a cell"),
        (Bind("{0}/file", "/usr/bin"), "'/usr/bin' cannot be made in a cell"),
        (Bind("{0}/file", "/tmp/x"), "nothing of the machine can be at '/tmp/x'"),
    ],
)
def test_a_place_that_leads_elsewhere_is_refused(ground: Ground, bind: Bind, words: str) -> None:
    """With a sentence that names it; and nothing is made outside, where a job's link led."""
    outside, work = ground.make("outside"), ground.make("work")
    ground.make("file", "text")
    (ground.folder / "link").symlink_to(outside)
    (work / "link").symlink_to(outside)
    bind = bind._replace(source=bind.source.format(ground.folder))
    done = ground.run("print('inside')", ground.plan(Bind(str(work), "/work", writable=True), bind))
    *_, last = done.stderr.splitlines()
    assert last.startswith(f"error: {words.format(ground.folder)}")
    assert done.stdout == ""
    assert list(outside.iterdir()) == []


def test_the_folders_in_memory_are_bounded(ground: Ground) -> None:
    """By bytes and by the number of files, each for itself."""
    printed = ground.inside(
        "import os\n"
        "for place in ('/tmp', '/dev/shm'):\n"
        "    try:\n"
        "        with open(place + '/big', 'wb', 0) as file:\n"
        "            while True: file.write(bytes(65536))\n"
        "    except OSError as error: print(error.errno)\n"
        "    print(os.path.getsize(place + '/big'), os.statvfs(place).f_files)\n"
    )
    assert printed.split() == ["28", str(ground.plan().tmp_bytes), "65536"] * 2


def test_nothing_that_listens_outside_is_reached(ground: Ground) -> None:
    """Neither the machine's loopback nor its sockets without a file."""
    name = f"\0rjs-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen()
        printed = ground.inside(
            "import socket\n"
            f"for family, address in ((socket.AF_INET, {tcp.getsockname()!r}), (socket.AF_UNIX, {name!r})):\n"
            "    print(socket.socket(family).connect_ex(address))\n"
        )
    assert printed.split() == ["111", "111"]


def test_no_process_outside_can_be_named(ground: Ground) -> None:
    """Not to signal it, not to ask its session or priority."""
    printed = ground.inside(
        "import os, signal\n"
        f"for attempt in (lambda: os.kill({os.getpid()}, 0), lambda: os.getsid({os.getpid()}),\n"
        f"                lambda: os.getpriority(os.PRIO_PROCESS, {os.getpid()}), lambda: os.kill(-1, 0)):\n"
        "    try: print(attempt())\n"
        "    except OSError as error: print(error.errno)\n"
    )
    assert printed.split() == ["3", "3", "3", "3"]


def test_no_system_setting_can_be_written(ground: Ground) -> None:
    """Not even by root's own account, which no capability is asked of for some of them."""
    printed = ground.inside(
        "import os\n"
        "written = []\n"
        "for folder, _, names in os.walk('/proc'):\n"
        "    for name in names:\n"
        "        path = folder + '/' + name\n"
        "        if os.path.islink(path): continue\n"
        "        try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))\n"
        "        except OSError: continue\n"
        "        written.append(path)\n"
        "print([path for path in written if os.stat(path).st_rdev != os.stat('/dev/null').st_rdev])\n"
    )
    assert printed == "[]"


def test_the_owners_groups_and_session_stay_outside(ground: Ground) -> None:
    """The account inside is 1000 and in no group that the cell can name."""
    code = "import os\nprint(os.getresuid(), os.getresgid(), [g for g in os.getgroups() if g != 65534])"
    assert ground.inside(code) == "(1000, 1000, 1000) (1000, 1000, 1000) []"


def test_the_account_can_be_looked_up(ground: Ground) -> None:
    """By name and number, and the host by its own name, without asking anybody."""
    code = (
        "import pwd, grp, socket\n"
        "print(pwd.getpwuid(1000).pw_name, grp.getgrgid(1000).gr_name, socket.gethostbyname(socket.gethostname()),\n"
        "  sorted({found[4][0] for found in socket.getaddrinfo('localhost', 80)}))"
    )
    assert ground.inside(code) == "job job 127.0.0.1 ['127.0.0.1', '::1']"


def test_set_id_programs_give_nothing(ground: Ground) -> None:
    """A set-user-id program in a writable folder runs as whoever starts it."""
    work = ground.make("work")
    program = work / "id"
    program.write_bytes(Path("/usr/bin/id").read_bytes())
    program.chmod(0o6755)
    printed = ground.inside(
        "import os, subprocess\nprint(subprocess.run(['/work/id', '-u'], capture_output=True, text=True).stdout)",
        Bind(str(work), "/work", writable=True),
    )
    assert printed == "1000"


def test_what_the_machine_forbids_in_a_mount_stays_forbidden(ground: Ground) -> None:
    """The flags of a source's mount, and of one below it, are kept: noexec, noatime and read-only here."""
    data = ground.make("data")
    prepare = (
        f"mount -t tmpfs -o noexec,noatime none {data} && mkdir {data}/below && "
        f'mount -t tmpfs -o noexec,ro none {data}/below && exec "$@"'
    )
    code = "print([line.split()[4:6] for line in open('/proc/self/mountinfo') if ' /data' in line])"
    plan = ground.plan(Bind(str(data), "/data", writable=True))
    done = ground.run(code, plan, (*NEW_MOUNTS, "/bin/sh", "-c", prepare, "sh"))
    assert done.stderr.strip().isdigit(), done.stderr
    assert done.stdout.strip() == str(
        [
            ["/data", "rw,nosuid,nodev,noexec,noatime"],
            ["/data/below", "ro,nosuid,nodev,noexec,relatime"],
        ]
    )


def test_a_covered_proc_is_a_clear_failure(ground: Ground) -> None:
    """As in many containers, whose /proc is covered in part: the kernel mounts none that would show more."""
    cover = (*NEW_MOUNTS, "/bin/sh", "-c", 'mount -t tmpfs none /proc/sys && exec "$@"', "sh")
    done = ground.run("print('inside')", ground.plan(), cover)
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("error: the kernel mounts no new /proc here")


def test_the_program_itself_cannot_be_changed(ground: Ground) -> None:
    """/proc/self/exe of a process that executed nothing leads out of the cell: to a read-only mount."""
    printed = ground.inside(
        "import os\n"
        "path = '/proc/self/exe'\n"
        "for attempt in (lambda: os.chmod(path, 0o755), lambda: os.utime(path),\n"
        "                lambda: os.setxattr(path, 'user.x', b'')):\n"
        "    try: print(attempt())\n"
        "    except OSError as error: print(error.errno)\n"
        "print(os.statvfs(path).f_flag & os.ST_RDONLY)\n"
    )
    assert printed.split() == ["30", "30", "30", "1"]


def test_a_program_is_sealed_once(ground: Ground) -> None:
    """It executes itself anew with the same arguments, number and descriptors, and then no more."""
    code = (
        "import os, sys; sys.path.append(sys.argv[1]); from cs.sandbox import walls; "
        "os.write(1, b'%d ' % os.getpid()); walls.seal_program(); print(sys.argv[2:], sys.flags.no_site)"
    )
    argv = [*ground.prefix, ground.python, "-I", "-S", "-B", "-c", code, str(ground.library), "an argument"]
    done = ground.run_command(argv)
    first, second, *rest = done.stdout.split(" ", 2)
    assert (done.stderr, first == second, rest) == ("", True, ["['an argument'] 1\n"])


def test_the_cells_end_is_the_end_of_all_in_it(ground: Ground) -> None:
    """A daemon that left its session dies with pid 1: nothing holds the pipe that it inherited."""
    code = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)\nprint('gone')"
    assert ground.inside(code) == "gone"


def test_a_plan_that_makes_no_sense_makes_no_process(ground: Ground) -> None:
    """It is refused before anything is forked, by one line."""
    done = ground.run("print('inside')", Plan((Bind("/usr", "/usr/../usr"),), 0))
    assert (done.stdout, done.stderr) == ("", "error: a cell needs memory for its /tmp, not 0 bytes\n")


def test_the_standard_library_is_enough(ground: Ground) -> None:
    """What raises walls loads under the system's Python without any package, and without what starts slowly."""
    code = (
        "import sys; sys.path.append(sys.argv[1]); from cs.sandbox import bubblewrap, inside, system, trial, walls; "
        "print(sorted({'rjs', 'attr', 'msgspec', 'pathlib', 'subprocess', 'dataclasses'} & set(sys.modules)))"
    )
    done = ground.run_command([ground.python, "-I", "-S", "-B", "-c", code, str(ground.library)])
    assert (done.stderr, done.stdout) == ("", "[]\n")
