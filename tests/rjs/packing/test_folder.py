"""What a bundle takes out of a person's folder, and what it refuses, all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rjs import limits
from rjs.errors import UsageError
from rjs.packing import PackingError, gather

TOML = 'name = "small"\nruntime = "python"\nentry = "run.py"\n'


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A job that can be packed."""
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.toml").write_text(TOML)
    (folder / "run.py").write_text("print('hello')\n")
    return folder


def test_files_are_taken_with_their_names_sizes_and_modes(job: Path) -> None:
    """Files in folders come too, in a stable order; an owner's executable bit is kept."""
    (job / "lib").mkdir()
    (job / "lib" / "tool").write_bytes(b"#!")
    (job / "lib" / "tool").chmod(0o700)
    taken = gather(job)
    assert [(file.name, file.size, file.executable) for file in taken.files] == [
        ("job.toml", len(TOML), False),
        ("lib/tool", 2, True),
        ("run.py", 15, False),
    ]
    assert taken.size == len(TOML) + 17
    assert taken.descriptor.entry == "run.py"


def test_what_does_not_belong_to_the_job_stays_out_and_is_named(job: Path) -> None:
    """Caches, version control, empty folders, an old run's outputs and the bundle itself are left out, said so."""
    for name in (".git", "__pycache__", "out", "lib/__pycache__", "empty"):
        (job / name).mkdir(parents=True)
    for name in (".git/HEAD", "lib/__pycache__/x.pyc", "out/band.ppm", "lib/a.py", "a.jar"):
        (job / name).write_text("x")
    taken = gather(job, without=job / "a.jar")
    assert [file.name for file in taken.files] == ["job.toml", "lib/a.py", "run.py"]
    assert set(taken.left_out) == {
        ".git", "__pycache__", "a.jar", "empty/ (empty)", "lib/__pycache__", "out",
    }  # fmt: skip


def test_everything_that_is_wrong_is_said_at_once(job: Path) -> None:
    """Links, pipes, names that no verifier takes, places for signatures and mistakes in job.toml, in one refusal."""
    (job / "link").symlink_to("/etc/passwd")
    (job / "folder-link").symlink_to("/etc")
    os.mkfifo(job / "pipe")
    (job / "a:b").write_text("x")
    (job / "con.txt").write_text("x")
    (job / "Run.py").write_text("x")
    (job / "META-INF").mkdir()
    (job / "META-INF" / "X.SF").write_text("x")
    (job / "job.toml").write_text(TOML + "color = 1\n")
    with pytest.raises(PackingError) as refused:
        gather(job)
    faults = "\n".join(refused.value.faults)
    for part in ("'link' is a symbolic", "'folder-link' is a symbolic", "'pipe' is a pipe", "a:b", "con.txt",
                 "'Run.py' and 'run.py'", "META-INF/X.SF", "job.toml: line 4: field 'color'"):  # fmt: skip
        assert part in faults
    assert refused.value.sentence.count("\n") == len(refused.value.faults)


def test_a_name_that_is_no_utf8_is_refused_in_visible_form(job: Path) -> None:
    """Bytes that spell no text do not reach a bundle, nor the terminal."""
    (job / os.fsdecode(b"\xff.txt")).write_text("x")
    with pytest.raises(PackingError, match=r"udcff"):
        gather(job)


def test_folders_deeper_than_allowed_are_refused_not_forgotten(job: Path) -> None:
    """A folder too deep is named, whatever lies in it."""
    deep = job.joinpath(*["d"] * (limits.MAX_NAME_DEPTH + 5))
    deep.mkdir(parents=True)
    (deep / "x").write_text("x")
    with pytest.raises(PackingError, match="deeper"):
        gather(job)


def test_size_and_number_are_refused_before_anything_is_read(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sparse file of many gigabytes is refused at once; so are too many files."""
    with (job / "huge").open("wb") as file:
        file.truncate(limits.MAX_ARCHIVE_BYTES)
    monkeypatch.setattr(limits, "MAX_ENTRIES", 2)
    with pytest.raises(PackingError) as refused:
        gather(job)
    assert len(refused.value.faults) == 2


def test_a_folder_without_a_descriptor_is_explained(tmp_path: Path) -> None:
    """The refusal says which file to add, and what to write into it."""
    with pytest.raises(PackingError, match=r"job\.toml: there is none; add one"):
        gather(tmp_path)


@pytest.mark.parametrize("name", ["run", 'a "quoted" name', "日本"])
def test_a_script_gets_a_descriptor(tmp_path: Path, name: str) -> None:
    """The script's name and number of tasks survive quoting; nothing else of its folder comes along."""
    script = tmp_path / "run it.py"
    script.write_text("pass\n")
    (tmp_path / "secret").write_text("x")
    taken = gather(script, tasks=7, name=name)
    assert [file.name for file in taken.files] == ["job.toml", "run it.py"]
    assert (taken.descriptor.name, taken.descriptor.entry, taken.descriptor.tasks) == (name, "run it.py", 7)


def test_only_a_python_script_is_a_job_by_itself(tmp_path: Path) -> None:
    """A JAR given by mistake is not packed as if it were a script."""
    (tmp_path / "x.jar").write_bytes(b"PK")
    with pytest.raises(PackingError, match="neither a folder"):
        gather(tmp_path / "x.jar")


def test_a_script_brings_the_modules_beside_it_that_it_imports(tmp_path: Path) -> None:
    """Its neighbours that it reaches, what a pattern names, and nothing else of its folder, whatever that holds."""
    (tmp_path / "run.py").write_text("import near\n")
    (tmp_path / "near.py").write_text("")
    (tmp_path / "far.py").write_text("def f(:")
    (tmp_path / "link.py").symlink_to("far.py")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("1")
    taken = gather(tmp_path / "run.py", include=["data/*.csv"])
    assert {file.name: file.why for file in taken.files} == {
        "data/a.csv": "included by data/*.csv",
        "job.toml": "made for the job",
        "near.py": "reached from run.py:1",
        "run.py": "the entry",
    }
    assert taken.left_out == ()


def test_a_link_to_a_script_is_the_script_that_it_leads_to(tmp_path: Path) -> None:
    """As for Python itself, the script's folder is where it really lies."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "run.py").write_text("import near\n")
    (tmp_path / "real" / "near.py").write_text("")
    (tmp_path / "link.py").symlink_to("real/run.py")
    assert [file.name for file in gather(tmp_path / "link.py").files] == ["job.toml", "near.py", "run.py"]


def test_of_a_folder_only_what_is_reached_where_that_is_asked_for(job: Path) -> None:
    """The rest is named as left out, and is not judged."""
    (job / "run.py").write_text("import near\n")
    for name in ("near.py", "unused.py", "a.csv", "b.csv"):
        (job / name).write_text("")
    (job / "link").symlink_to("/etc/passwd")
    (job / "__pycache__").mkdir()
    taken = gather(job, reached_only=True, include=["a.*"])
    assert {file.name: file.why for file in taken.files} == {
        "a.csv": "included by a.*",
        "job.toml": "the descriptor",
        "near.py": "reached from run.py:1",
        "run.py": "the entry",
    }
    assert set(taken.left_out) == {"__pycache__", "b.csv", "link", "unused.py"}


def test_a_whole_folder_is_judged_by_what_its_entry_reaches(job: Path) -> None:
    """A script for the submitter's own machine may import what it likes; the job's own imports may not."""
    (job / "plot.py").write_text("import numpy\ndef f(:")
    assert {file.why for file in gather(job).files} == {"whole folder"}
    (job / "run.py").write_text("import plot\n")
    with pytest.raises(PackingError, match=r"plot\.py:2: is no valid Python"):
        gather(job)


def test_patterns_are_for_what_is_not_taken_anyway(job: Path) -> None:
    """A pattern beside a whole folder is a misunderstanding; one that names nothing is a mistake."""
    with pytest.raises(UsageError, match="--reached-only"):
        gather(job, include=["*.csv"])
    with pytest.raises(PackingError, match=r"--include '\*\.cvs' names no file"):
        gather(job, include=["*.cvs"], reached_only=True)


def test_a_script_has_one_descriptor(job: Path) -> None:
    """A job.toml beside a script cannot be included under the name of the one that is made."""
    with pytest.raises(PackingError, match=r"job\.toml is made for a script"):
        gather(job / "run.py", include=["*"])
    assert {file.name for file in gather(job, include=["*"], reached_only=True).files} == {
        "job.toml",
        "run.py",
    }


def test_what_the_job_imports_cannot_stay_out(job: Path) -> None:
    """An import from a folder that no bundle takes is told, not left to fail."""
    (job / "run.py").write_text("import out.helper\n")
    (job / "out").mkdir()
    (job / "out" / "helper.py").write_text("")
    with pytest.raises(PackingError, match=r"'out/helper\.py' is reached from run\.py:1, but stays out"):
        gather(job)


@pytest.mark.parametrize("reached_only", [False, True])
def test_a_descriptor_that_is_no_small_file_is_one_fault(job: Path, reached_only: bool) -> None:
    """A link or a giant in the place of job.toml is named as such, and not as missing."""
    (job / "job.toml").rename(job / "other.toml")
    (job / "job.toml").symlink_to("other.toml")
    with pytest.raises(PackingError) as linked:
        gather(job, reached_only=reached_only)
    assert linked.value.faults == ("'job.toml' is a symbolic link; put what it leads to in its place",)
    (job / "job.toml").unlink()
    with (job / "job.toml").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(PackingError) as giant:
        gather(job, reached_only=reached_only)
    assert giant.value.faults == (f"job.toml is larger than {limits.MAX_DESCRIPTOR_BYTES} bytes; shorten it",)


def test_imports_are_judged_beside_a_wrong_descriptor(job: Path) -> None:
    """Mistakes in job.toml do not hide those in the sources."""
    (job / "job.toml").write_text(TOML + "tasks = 0\n")
    (job / "run.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(PackingError) as refused:
        gather(job)
    assert [fault.split(":")[0] for fault in refused.value.faults] == ["run.py", "job.toml"]
