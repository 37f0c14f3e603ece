"""What a bundle takes out of a person's folder, and what it refuses, all at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rjs import limits
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
                 "'Run.py' and 'run.py'", "META-INF/X.SF", "job.toml: field 'color'"):  # fmt: skip
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
