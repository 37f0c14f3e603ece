"""A hostile or broken folder: the packer names every fault, follows and executes nothing, and never hangs."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from rjs import limits
from rjs.packing import PackingError, gather
from rjs.packing.tree import ChangedFileError, Tree
from rjs.packing.walk import reach

TOML = 'name = "x"\nruntime = "python"\nentry = "run.py"\n'


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.toml").write_text(TOML)
    (folder / "run.py").write_text("")
    return folder


def faults_of(path: Path, **options: bool) -> str:
    with pytest.raises(PackingError) as refused:
        gather(path, **options)  # type: ignore[arg-type]  # all of them are flags here
    return "\n".join(refused.value.faults)


@pytest.mark.parametrize("reached_only", [False, True])
def test_every_fault_is_named_at_once(job: Path, reached_only: bool) -> None:
    """Links, pipes, sockets, names, broken and missing modules, a wrong descriptor: one refusal names all."""
    modules = ["linked", "pipe", "plug", "broken", "nulls", "latin", "package", "con", "fine"]
    (job / "run.py").write_text("".join(f"import {name}\n" for name in [*modules, "nowhere_to_be_found"]))
    (job / "linked.py").symlink_to("/etc/passwd")
    os.mkfifo(job / "pipe.py")
    with socket.socket(socket.AF_UNIX) as plug:
        here = Path.cwd()
        os.chdir(job)  # a socket's path is short
        try:
            plug.bind("plug.py")
        finally:
            os.chdir(here)
    (job / "broken.py").write_text("x = 1\nclass\n")
    (job / "nulls.py").write_bytes(b"x = 1\n\0\n")
    (job / "latin.py").write_bytes(b"s = '\xe4'\n")
    (job / "package").symlink_to("/etc")
    (job / "con.py").write_text("")
    (job / "fine.py").write_bytes(b"# coding: latin-1\ns = '\xe4'\n")
    (job / "job.toml").write_text(TOML + "colour = 1\n")
    faults = faults_of(job, reached_only=reached_only)
    for part in (
        "'linked.py' is a symbolic link", "'pipe.py' is a pipe", "'plug.py' is a pipe, socket",
        "broken.py:2: is no valid Python", "nulls.py:", "latin.py:1: is no valid Python",
        "'package' is a symbolic link", "'con.py' has a part that is a device name",
        "run.py:10: nowhere_to_be_found is not", "job.toml: line 4: field 'colour'",
    ):  # fmt: skip
        assert part in faults
    assert "fine" not in faults
    assert faults.count("\n") == 9, faults


def test_a_device_is_no_file_of_a_job(job: Path) -> None:
    """What reads without end is not read at all."""
    try:
        os.mknod(job / "zero.py", 0o666 | 0o020000, os.makedev(1, 5))
    except PermissionError:  # an ordinary user cannot plant one here; a link to one is what is left to them
        (job / "zero.py").symlink_to("/dev/zero")
    (job / "run.py").write_text("import zero\n")
    assert "'zero.py' is a" in faults_of(job)


def test_a_script_that_is_a_pipe_or_a_link_to_a_device_does_not_hang(tmp_path: Path) -> None:
    """The file that is named on the command line is judged like any other."""
    os.mkfifo(tmp_path / "pipe.py")
    assert "'pipe.py' is a pipe" in faults_of(tmp_path / "pipe.py")
    (tmp_path / "zero.py").symlink_to("/dev/zero")
    assert "'zero' is a pipe, socket, device" in faults_of(tmp_path / "zero.py")


def test_a_module_of_many_gigabytes_is_not_read(job: Path) -> None:
    """A sparse source is refused by its size, with nothing of it in memory."""
    (job / "run.py").write_text("import huge\n")
    with (job / "huge.py").open("wb") as file:
        file.truncate(limits.MAX_ARCHIVE_BYTES)
    assert f"larger than {limits.MAX_ARCHIVE_BYTES} bytes" in faults_of(job)


def test_a_large_source_is_taken_and_not_looked_into(job: Path) -> None:
    """A generated table of some megabytes is an ordinary file; that its imports are not seen is said."""
    (job / "run.py").write_text("import table\n")
    (job / "table.py").write_text("x = 1\n" * (limits.MAX_SOURCE_BYTES // 6 + 1))
    taken = gather(job)
    assert "table.py" in {file.name for file in taken.files}
    assert taken.warnings == ("table.py: is too large to be looked into; what it imports is not seen",)


@pytest.mark.parametrize(
    "tower", ["-" * 200_000 + "1", "a" + ".b" * 100_000, "(" * 100_000, "f(" * 90 + ")" * 90]
)
def test_nesting_without_end_is_survived(job: Path, tower: str) -> None:
    """The interpreter's own parser is neither crashed nor led into endless recursion."""
    (job / "run.py").write_text(f"import deep\n{tower if tower.startswith('f') else ''}\n")
    (job / "deep.py").write_text(f"x = {tower}\n")
    found = reach(Tree(job), "run.py")
    assert set(found.files) == {"run.py", "deep.py"}


def test_folders_without_end_are_one_fault(job: Path) -> None:
    """A tower of folders is not climbed beyond what a bundle may hold."""
    deep = job.joinpath(*["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "x.py").write_text("")
    (job / "run.py").write_text("import " + ".".join(["d"] * 300 + ["x"]) + "\n")
    assert faults_of(job).count("\n") == 0
    assert gather(job, reached_only=True).warnings[0].endswith("of which the job has no file")


def test_a_circle_of_links_is_not_entered(job: Path) -> None:
    """A link to the folder itself is a fault, and no way down."""
    (job / "again").symlink_to(".")
    (job / "run.py").write_text("import again.again.again.run\n")
    assert faults_of(job).count("'again' is a symbolic link") == 1


def test_packing_executes_nothing(job: Path) -> None:
    """Neither the entry, nor what it imports, nor what hides behind a codec, a package or a customisation runs."""
    trace = job.parent / "trace"
    evil = f"open({str(trace)!r}, 'w').close()\n"
    (job / "run.py").write_text(evil + "import evil, package.inner, sitecustomize, encodings_evil\n")
    (job / "package").mkdir()
    names = [
        "evil",
        "sitecustomize",
        "usercustomize",
        "encodings_evil",
        "package/__init__",
        "package/inner",
        "conftest",
    ]
    for name in names:
        (job / f"{name}.py").write_text(evil)
    (job / "encodings_evil.py").write_text(f"# coding: latin-1\n{evil}")
    here, path = Path.cwd(), list(sys.path)
    os.chdir(job)
    try:
        gather(Path("run.py"))
        gather(Path(), reached_only=True)
    finally:
        os.chdir(here)
    assert not trace.exists()
    assert sys.path == path
    assert not {"evil", "package", "encodings_evil"} & set(sys.modules)


def test_hostile_names_reach_no_terminal(job: Path) -> None:
    """Escapes and line breaks in names are shown, not sent: no fault can pass for two, or repaint the screen."""
    (job / "a\x1b[2J\nfake: all is well.py").write_text("")
    (job / os.fsdecode(b"b\xff.py")).write_text("")
    (job / "run.py").write_text("__import__('a\\x1b[2J\\nfake: all is well')\n")
    with pytest.raises(PackingError) as refused:
        gather(job)
    assert "\x1b" not in refused.value.sentence
    assert refused.value.sentence.count("\n") == len(refused.value.faults) == 2


def test_ten_thousand_files_are_packed(job: Path) -> None:
    """Work grows with the number of files, not with its square: each folder is listed once."""
    (job / "run.py").write_text("".join(f"import m.m{number}\n" for number in range(2_000)))
    for folder in ("m", "data"):
        (job / folder).mkdir()
    for number in range(2_000):
        (job / "m" / f"m{number}.py").write_text("import os\n")
    for number in range(8_000):
        (job / "data" / f"{number}.csv").write_text("")
    listed: list[str] = []

    class Watched(Tree):
        def _list(self, folder: str) -> dict[str, os.DirEntry[str]]:
            listed.append(folder)
            return dict(super()._list(folder))

    assert len(reach(Watched(job), "run.py").files) == 2_001
    assert sorted(listed) == ["", "m"]
    assert len(gather(job).files) == 10_002


def test_a_bundle_holds_what_was_judged_whoever_writes_meanwhile(job: Path) -> None:
    """While somebody rewrites a module, what is packed is what was followed, or the file is refused as changed."""
    module = job / "flip.py"
    (job / "run.py").write_text("import flip\n")
    for name in ("near_a", "near_b"):
        (job / f"{name}.py").write_text("")
    contents = [b"import near_a\n", b"import near_b\n"]
    module.write_bytes(contents[0])
    done = threading.Event()

    def rewrite() -> None:
        for turn in range(1_000_000):
            if done.is_set():
                return
            module.write_bytes(contents[turn % 2])

    writer = threading.Thread(target=rewrite)
    writer.start()
    refused = 0
    try:
        for _ in range(100):
            try:
                taken = {file.name: file for file in gather(job, reached_only=True).files}
                packed = b"".join(taken["flip.py"].chunks())
            except ChangedFileError:
                refused += 1
            else:
                for name in ("near_a", "near_b"):
                    assert (f"{name}.py" in taken) == (name.encode() in packed)
    finally:
        done.set()
        writer.join()
    assert refused
