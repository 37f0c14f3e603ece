"""``from rjs import task``, as a job's interpreter sees it and as somebody at home does."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cs.job_library import provide
from rjs.child_python import JOB_PYTHON

JOB = tuple(flag for flag in JOB_PYTHON if flag != "-E")


def run(folder: Path, source: str, environment: dict[str, str], pass_fds: tuple[int, ...] = ()) -> str:
    """What a job's interpreter prints, which finds of ours what is in ``folder``."""
    done = subprocess.run(
        [*JOB, "-c", source], env={"PYTHONPATH": str(folder), **environment}, pass_fds=pass_fds,
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return provide(tmp_path_factory.mktemp("library") / "python")


def test_at_home_it_is_the_only_task(library: Path) -> None:
    """A script can be tried without a cluster: index 0 of 1, progress goes nowhere, a token is refused by name."""
    source = """
from rjs import task
task.progress(0.5, "x")
try: task.token()
except task.NoTokenError as error: print(task.index, task.count, error.code)
"""
    assert run(library, source, {}) == "0 1 no-cluster\n"


def test_it_loads_little(library: Path) -> None:
    """Index and progress need no third-party package, and of ours there is nothing but this."""
    source = """
import sys
from rjs import task
print(sorted({each.partition(".")[0] for each in sys.modules} & {"cryptography", "OpenSSL", "msgspec", "twisted"}))
try: import rjs.errors
except ImportError: print("no more")
try: import cs
except ImportError: print("no cs")
"""
    assert run(library, source, {"RJS_TASK_INDEX": "3", "RJS_TASK_COUNT": "9"}) == "[]\nno more\nno cs\n"


def test_progress_is_a_line(library: Path) -> None:
    """What is said is one JSON object a line, whatever the text holds; a child that has no channel says nothing."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        source = """
import subprocess, sys
from rjs import task
task.progress(0.25, "two\\nlines " + "x" * 300)
task.progress(0.26, "too soon")
task.progress(1, "done")
subprocess.run([*sys.orig_argv[:4], "-c", "from rjs import task; task.progress(0.5)"], check=True, close_fds=False)
"""
        run(library, source, {"RJS_CONTROL": f"fd:{theirs.fileno()}"}, (theirs.fileno(),))
        theirs.close()
        said = [json.loads(line) for line in ours.makefile("rb")]
    assert [each["fraction"] for each in said] == [0.25, 1.0]
    assert said[0]["text"].startswith("two lines x") and len(said[0]["text"]) == 200


@pytest.mark.parametrize("control", ["", "3", "fd:", "fd:x", "fd:99", "fd:0"])
def test_what_is_no_channel_is_none(library: Path, control: str) -> None:
    """Whatever stands in the environment, a descriptor that is not a socket of this process is left alone."""
    assert (
        run(library, "from rjs import task; task.progress(0.5); print('fine')", {"RJS_CONTROL": control})
        == "fine\n"
    )


def test_it_finds_the_packages_of_the_installation(library: Path) -> None:
    """For a token a job that brings none uses the compute server's own packages, and no others of it."""
    source = """
import rjs.task_token as tokens
print(tokens.needed("OpenSSL.SSL").__name__, tokens.needed("msgspec.msgpack").__name__)
try: tokens.needed("twisted")
except Exception as error: print(error.code)
"""
    assert run(library, source, {}) == "OpenSSL.SSL msgspec.msgpack\nno-package\n"
    assert sys.executable == JOB[0]


def test_folders_and_arguments(library: Path) -> None:
    """They are as the environment and the command line say; at home, folders where the script was started."""
    source = """
from rjs import task
print(task.output_folder, task.checkpoint_folder, task.arguments)
task.checkpoint()
"""
    assert run(library, source, {}) == "out checkpoint ()\n"
    stated = {"RJS_OUTPUT": "/o", "RJS_CHECKPOINT": "/c"}
    assert run(library, source, stated) == "/o /c ()\n"


def test_a_checkpoint_is_asked_for_and_waited_for(library: Path) -> None:
    """One line asks; the function returns when the answer has come, and says why none was taken."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        source = """
from rjs import task
task.checkpoint()
try: task.checkpoint()
except task.CheckpointError as error: print(error.code, error)
"""
        ours.sendall(
            b'{"id": 1, "checkpoint": 1}\n{"id": 2, "error": "checkpoint-kind", "sentence": "a is a link"}\n'
        )
        told = run(library, source, {"RJS_CONTROL": f"fd:{theirs.fileno()}"}, (theirs.fileno(),))
        theirs.close()
        said = [json.loads(line) for line in ours.makefile("rb")]
    assert said == [{"ask": "checkpoint", "id": 1}, {"ask": "checkpoint", "id": 2}]
    assert told == "checkpoint-kind checkpoint-kind: a is a link\n"
