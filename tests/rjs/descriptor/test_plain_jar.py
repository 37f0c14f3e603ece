"""A JAR with a main class alone is a job."""

from __future__ import annotations

import pytest

from rjs.descriptor.errors import DescriptorError
from rjs.descriptor.model import Descriptor
from rjs.descriptor.plain_jar import plain_jar
from rjs.needs import Needs


def test_one_task_of_the_main_class() -> None:
    """With the defaults for everything else."""
    expected = Descriptor(name="a.Main", runtime="java", entry="a.Main", needs=Needs(runtime="java"))
    assert plain_jar({"main-class": "a.Main", "manifest-version": "1.0"}) == expected
    assert plain_jar({"manifest-version": "1.0"}) is None
    assert plain_jar({"main-class": " "}) is None


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"rjs-name": "one", "implementation-title": "two"}, "one"),
        ({"implementation-title": "two"}, "two"),
        ({"implementation-title": "\u202e\u200b"}, "Main"),
        ({"implementation-title": "t\x1b[2J"}, "t[2J"),
        ({"implementation-title": "x" * 200}, "x" * 100),
        ({}, "Main"),
    ],
)
def test_its_name(headers: dict[str, str], name: str) -> None:
    """The name that it was signed with, its title, its main class: the first that can be shown."""
    job = plain_jar({"main-class": "Main", **headers})
    assert job is not None
    assert job.name == name


@pytest.mark.parametrize(
    "main_class", ["-version", "@arguments", "a..b", "a/b", "a b", "1a", "a.", "-jar x.jar"]
)
def test_what_is_no_class_is_refused(main_class: str) -> None:
    """It would be an option of the virtual machine, or a file of them."""
    with pytest.raises(DescriptorError, match="Main-Class"):
        plain_jar({"main-class": main_class})
