"""A wheel is one distribution's, of the format that we know, and its files can coexist where they are unpacked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from wheelhouse import make_wheel

from rjs.errors import RefusedError
from rjs.wheels import open_wheel


def refusal(path: Path, name: str = "") -> str:
    with path.open("rb") as file, pytest.raises(RefusedError) as refused:
        open_wheel(file, name or path.name)
    assert refused.value.code == "bad-wheel"
    return refused.value.sentence


def test_names_and_requirements_are_those_of_the_wheel(tmp_path: Path) -> None:
    """Whatever the spelling of its name."""
    path = make_wheel(
        tmp_path, "My.Lib", {"my/lib.py": "x = 1\n"}, requires=["other>=1", "more; extra == 'x'"]
    )
    with path.open("rb") as file:
        wheel = open_wheel(file, path.name)
    assert {name for name in wheel.files if "dist-info" not in name} == {"my/lib.py"}
    assert wheel.requires == ("other>=1", "more; extra == 'x'")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"other-1.0.dist-info/METADATA": ""}, "alone"),
        ({"lib-1.0.data/purelib/lib.py": "", "lib.py": ""}, "twice"),
        ({"lib-1.0.data/purelib/Lib.py": "", "lib.py": ""}, "cannot"),
        ({"lib-1.0.data/purelib/lib/x.py": "", "lib": ""}, "cannot"),
        ({"../x.py": ""}, "cannot"),
        ({"con.py": ""}, "cannot"),
    ],
)
def test_wheels_with_two_meanings_are_refused(tmp_path: Path, files: Mapping[str, str], said: str) -> None:
    """Another's metadata, files that would fall on one another, names that are no plain path everywhere."""
    assert said in refusal(make_wheel(tmp_path, "lib", files))


def test_another_format_another_name_and_no_wheel_are_refused(tmp_path: Path) -> None:
    """Format 2 may mean other things; a file's name says whose it is; nothing else is a wheel."""
    assert "format" in refusal(make_wheel(tmp_path, "new", {}, format_version="2.0"))
    path = make_wheel(tmp_path, "lib", {})
    assert "metadata of other" in refusal(path, "other-1.0-py3-none-any.whl")
    assert refusal(path, "lib.whl")
    path.write_bytes(b"no archive")
    assert refusal(path)
