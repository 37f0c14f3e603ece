"""Attack: a task leaves things in ``rjs/`` of its home, where answer JARs are looked for, that are no answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples import attempt

from cs import limits
from cs.workplace import OutputRefusedError, Workplace
from rjs.answers.answer_jar import STDERR_NAME, STDOUT_NAME

STREAMS = [STDERR_NAME, STDOUT_NAME]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A Java task's folder as it is when the task has ended."""
    made = Workplace(tmp_path, attempt(1))
    made.create()
    made.job.mkdir()
    made.add_answer_folders(java=True)
    made.stdout.write_bytes(b"")
    made.stderr.write_bytes(b"")
    yield made
    made.remove()
    assert not os.path.lexists(made.path)


def names(place: Workplace, *unpacked: str) -> list[str]:
    return sorted(name for name, _ in place.outputs(unpacked))


def refused(place: Workplace, code: str) -> None:
    with pytest.raises(OutputRefusedError) as caught:
        place.outputs()
    assert caught.value.code == code
    assert caught.value.sentence.isprintable()


def test_an_answer_jar_is_collected(place: Workplace) -> None:
    """As in 2006: what the job writes to rjs/ in its home, beside what it writes to out/."""
    (place.answer_jars / "picture.jar").write_bytes(b"PK")
    (place.answer_jars / "MORE.JAR").write_bytes(b"PK")
    (place.answer_jars / "notes.txt").write_text("no answer")
    (place.answer_jars / "deeper").mkdir()
    (place.answer_jars / "deeper" / "x.jar").write_bytes(b"no answer")
    (place.out / "a.jar").write_bytes(b"PK")
    assert names(place) == ["out/MORE.JAR", "out/a.jar", "out/picture.jar", *STREAMS]
    found = dict(place.outputs())
    assert found["out/picture.jar"] == place.answer_jars / "picture.jar"


def test_what_the_bundle_brought_is_no_answer(place: Workplace) -> None:
    """A JAR that was unpacked there is not the job's work."""
    (place.answer_jars / "library.jar").write_bytes(b"PK")
    assert names(place, "rjs/library.jar", "rjs") == STREAMS


def test_only_java_jobs_find_the_folder(tmp_path: Path) -> None:
    """Another job's rjs/ is its own: none is made for it."""
    made = Workplace(tmp_path, attempt(1))
    made.create()
    made.job.mkdir()
    made.add_answer_folders(java=False)
    assert not made.answer_jars.exists()


@pytest.mark.parametrize("kind", ["file", "nothing"])
def test_a_job_may_do_without_the_folder(place: Workplace, kind: str) -> None:
    """It is its own to remove, or to have a file of that name in the bundle."""
    place.answer_jars.rmdir()
    if kind == "file":
        place.answer_jars.write_text("x")
    assert names(place) == STREAMS


def test_a_bundle_may_have_the_folder_or_a_file(tmp_path: Path) -> None:
    """Unpacked before it is made: nothing of the job is replaced."""
    for number, is_file in enumerate([False, True]):
        made = Workplace(tmp_path, attempt(number + 1))
        made.create()
        made.job.mkdir()
        (made.answer_jars.touch if is_file else made.answer_jars.mkdir)()
        made.add_answer_folders(java=True)
        assert made.answer_jars.is_file() == is_file


def test_one_name_twice_is_refused(place: Workplace) -> None:
    """Neither of the two is silently lost."""
    (place.answer_jars / "a.jar").write_bytes(b"1")
    (place.out / "a.jar").write_bytes(b"2")
    refused(place, "output-name")


@pytest.mark.parametrize("target", ["/etc/passwd", "../out", "nowhere"])
def test_links_are_not_followed(place: Workplace, target: str) -> None:
    """A JAR that is a link, and a folder that is one."""
    (place.answer_jars / "a.jar").symlink_to(target)
    refused(place, "output-kind")
    (place.answer_jars / "a.jar").unlink()
    place.answer_jars.rmdir()
    place.answer_jars.symlink_to(target)
    refused(place, "output-kind")


@pytest.mark.parametrize("kind", ["fifo", "folder", "hard link"])
def test_what_is_no_plain_file_of_its_own(place: Workplace, tmp_path: Path, kind: str) -> None:
    """A pipe that nobody writes to, a folder called a JAR, a secret under another name."""
    planted = place.answer_jars / "a.jar"
    if kind == "fifo":
        os.mkfifo(planted)
    elif kind == "folder":
        planted.mkdir()
    else:
        (tmp_path / "secret").write_bytes(b"secret")
        os.link(tmp_path / "secret", planted)
    refused(place, "output-kind")


def test_a_pipe_in_place_of_the_folder(place: Workplace) -> None:
    """Opening it would wait for ever."""
    place.answer_jars.rmdir()
    os.mkfifo(place.answer_jars)
    refused(place, "output-kind")


def test_too_many_and_too_much(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes count with those of out/; its entries are counted too."""
    (place.answer_jars / "a.jar").write_bytes(b"12345")
    (place.out / "b").write_bytes(b"12345")
    monkeypatch.setattr(limits, "OUTPUT", 9)
    refused(place, "output-size")
    monkeypatch.setattr(limits, "OUTPUT", 10)
    assert len(names(place)) == 4
    monkeypatch.setattr(limits, "OUTPUT_FILES", 2)
    for number in range(2):
        (place.answer_jars / f"{number}.txt").touch()
    refused(place, "output-files")
