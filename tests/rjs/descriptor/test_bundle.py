"""The descriptor of real, signed bundles, and what their tasks are run with."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from rjs.bundle.testing import NOW, make_signer, signed_jar
from rjs.bundle.verify import OpenedBundle, open_bundle
from rjs.descriptor import DescriptorError, TaskList, read_descriptor
from rjs.errors import RefusedError

PYTHON = b'name = "job"\nruntime = "python"\nentry = "run.py"\n'
JAVA = b'name = "job"\nruntime = "java"\n'
JNLP = b"""<jnlp><information><title>Web start</title></information>
<resources><j2se version="17+"/><jar href="main.jar" main="true"/></resources>
<application-desc main-class="org.example.Main"/></jnlp>"""
SIGNER = make_signer()


def bundle(files: dict[str, bytes], main_class: str = "") -> OpenedBundle:
    attributes = {"Main-Class": main_class} if main_class else {}
    return open_bundle(io.BytesIO(signed_jar(SIGNER, files, attributes)), at=NOW)


def refused(files: dict[str, bytes], main_class: str = "") -> str:
    with pytest.raises(DescriptorError) as caught:
        read_descriptor(bundle(files, main_class))
    assert isinstance(caught.value, RefusedError)
    assert caught.value.code == "descriptor"
    return caught.value.sentence


def arguments(toml: bytes, **files: bytes) -> Iterator[list[str]]:
    opened = bundle({"job.toml": PYTHON + toml, "run.py": b"", **files})
    job = read_descriptor(opened)
    return map(TaskList(opened, job).arguments, range(job.tasks))


def test_arguments_of_a_count() -> None:
    """Tasks that are only counted share their arguments."""
    assert list(arguments(b'args = ["{index}/{count}"]\ntasks = 2')) == [["0/2"], ["1/2"]]


def test_arguments_of_a_list() -> None:
    """A task's own arguments follow the common ones, and are expanded too."""
    found = arguments(b'args = ["-v"]\ntasks = [["{index}"], [], ["b", "{count}"]]')
    assert list(found) == [["-v", "0"], ["-v"], ["-v", "b", "3"]]


def test_arguments_of_a_file() -> None:
    """So are those that a file of the bundle lists."""
    found = arguments(b'args = ["-v"]\ntasks = "list"', list=b"a 'b c'\n'{index} of {count}'\n")
    assert list(found) == [["-v", "a", "b c"], ["-v", "1 of 2"]]


def test_a_file_of_tasks_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many tasks are asked for, in whatever order."""
    opened = bundle({"job.toml": PYTHON + b'tasks = "list"', "run.py": b"", "list": b"a\nb\nc\n"})
    tasks, read = TaskList(opened, read_descriptor(opened)), []

    def counted(self: OpenedBundle, name: str, cap: int) -> bytes:
        read.append(name)
        return whole(self, name, cap)

    whole = OpenedBundle.read
    monkeypatch.setattr(OpenedBundle, "read", counted)
    assert [tasks.arguments(index) for index in (2, 0, 1)] == [["c"], ["a"], ["b"]]
    assert read == ["list"]


def test_main_class_of_the_manifest() -> None:
    """A Java job without an entry is run by the manifest's class, and refused without either."""
    assert read_descriptor(bundle({"job.toml": JAVA}, "org.example.Main")).entry == "org.example.Main"
    assert "no Main-Class" in refused({"job.toml": JAVA})
    assert "no Main-Class" in refused({"job.toml": JAVA}, "-version")


def test_a_jar_with_a_main_class() -> None:
    """A JAR without a descriptor is a job if it can be run."""
    job = read_descriptor(bundle({"A.class": b""}, "A"))
    assert (job.runtime, job.entry, job.tasks, job.needs.runtime) == ("java", "A", 1, "java")
    assert "there is none" in refused({"A.class": b""})


def test_jnlp() -> None:
    """A JNLP descriptor is one; with job.toml it is one too many."""
    job = read_descriptor(bundle({"JNLP-INF/APPLICATION.JNLP": JNLP}))
    assert (job.name, job.runtime, job.entry) == ("Web start", "java", "org.example.Main")
    both = {"job.toml": PYTHON, "run.py": b"", "JNLP-INF/APPLICATION.JNLP": JNLP}
    assert "a bundle has one descriptor" in refused(both)


@pytest.mark.parametrize(
    "files", [{"job.toml": PYTHON, "run.py": b""}, {"JNLP-INF/APPLICATION.JNLP": JNLP}, {"A.class": b""}]
)
def test_files_where_answers_go(files: dict[str, bytes]) -> None:
    """However a job is described, it brings no files that could pass for its answers."""
    assert "where answers go" in refused({**files, "Out/x": b""}, "A")
