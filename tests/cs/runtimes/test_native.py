"""How executables are started, and which are not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from cs.prepared import Prepared
from cs.runtimes import command_of
from cs.spawner.messages import Ended
from rjs.descriptor.model import Descriptor, Resource
from rjs.errors import RefusedError
from rjs.needs import Platform

Prepare = Callable[..., Prepared]
Run = Callable[[Prepared], tuple[Ended, str]]

HERE = Platform("linux", "x86_64")


def job(entry: str = "", **entries: str) -> Descriptor:
    """A job with an executable for each system."""
    resources = tuple(Resource(platform=Platform(os), entry=each) for os, each in entries.items())
    return Descriptor(name="j", runtime="native", entry=entry, resources=resources).on(HERE)


def test_a_compiled_program(prepare: Prepare, run: Run, tmp_path: Path) -> None:
    """In its folder, with its arguments, its environment and nothing else's; its status is the task's."""
    (tmp_path / "p.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\nextern char **environ;\n"
        "int main(int n, char **a) { for (char **e = environ; *e; e++) if (e[0][0] == 'R') puts(*e);\n"
        'printf("%s %s %d\\n", a[1], a[2], fopen("data", "r") != 0); return 4; }\n'
    )
    subprocess.run(["cc", "-o", tmp_path / "p", tmp_path / "p.c"], check=True, timeout=60)
    files = {"bin/p!": (tmp_path / "p").read_bytes(), "data": ""}
    prepared = prepare(files, job(linux="bin/p"), arguments=("one", "two words"))
    ended, said = run(prepared)
    assert ended.exit_status == 4
    assert said.splitlines()[-1] == "one two words 1"
    assert sorted(line.partition("=")[0] for line in said.splitlines()[:-1]) == [
        "RJS_CHECKPOINT", "RJS_CONTROL", "RJS_NAME", "RJS_OUTPUT", "RJS_TASK_COUNT", "RJS_TASK_INDEX",
    ]  # fmt: skip


def test_a_script_is_an_executable(prepare: Prepare, run: Run) -> None:
    """By its first line."""
    ended, said = run(prepare({"s!": "#!/bin/sh\necho $HOME; exit 5"}, job("s")))
    assert ended.exit_status == 5
    assert said.endswith("/job\n")


def test_the_right_one_of_several(prepare: Prepare) -> None:
    """This platform's; the job's own where it has none."""
    files = {"lin!": "#!/bin/sh", "win!": "MZ", "any!": "#!/bin/sh"}
    prepared = prepare(files, job("any", windows="win", linux="lin"))
    assert command_of(prepared).argv == (str(prepared.workplace.job / "lin"),)


@pytest.mark.parametrize(
    ("entry", "files", "code"),
    [
        ("s", {"s": "#!/bin/sh"}, "not-executable"),
        ("", {"s!": ""}, "no-executable"),
        ("t", {"s!": ""}, "no-executable"),
    ],
)
def test_what_cannot_be_run_is_refused(
    prepare: Prepare, entry: str, files: dict[str, str], code: str
) -> None:
    """Only what was signed as executable is executed."""
    with pytest.raises(RefusedError) as caught:
        command_of(prepare(files, job(entry)))
    assert caught.value.code == code
