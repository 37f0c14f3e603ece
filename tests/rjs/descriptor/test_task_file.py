"""Files of tasks: split as a shell splits, refused with the line that is wrong."""

from __future__ import annotations

import shlex
import subprocess
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs import limits
from rjs.descriptor.task_file import TaskFileError, TaskLines, count_tasks


def tasks(content: bytes) -> list[list[str]]:
    return [TaskLines(content).words(index) for index in range(count_tasks(content))]


def mistakes(content: bytes) -> list[str]:
    with pytest.raises(TaskFileError) as caught:
        count_tasks(content)
    return caught.value.mistakes


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a", [["a"]]),
        (b"a b\n c\td \n", [["a", "b"], ["c", "d"]]),
        (b"a\r\nb\r\n", [["a"], ["b"]]),
        (b"\xef\xbb\xbfa\n", [["a"]]),
        (b"''", [[""]]),
        (b"'a b'\"c d\"e\\ f", [["a bc de f"]]),
        (b'"\\$ \\` \\" \\\\ \\a" \'\\n\'', [['$ ` " \\ \\a', "\\n"]]),
        (b"$HOME *.txt #x ;y `z` ~ {a,b} !", [["$HOME", "*.txt", "#x", ";y", "`z`", "~", "{a,b}", "!"]]),
        ("ä\u2028b\u00a0c".encode(), [["ä\u2028b\u00a0c"]]),
    ],
)
def test_lines(content: bytes, expected: list[list[str]]) -> None:
    """Blanks separate, quotes and backslashes join, nothing is expanded."""
    assert tasks(content) == expected


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a\n\nb", 2),
        (b"a\n \t\nb", 2),
        (b"a\n'b\nc'\n", 2),
        (b'"', 1),
        (b'a "b\\"', 1),
        (b"a\\\nb", 1),
        (b"ok\nok\na\0b", 3),
        (b"ok\na\rb", 2),
        (b"ok\n\xff", 2),
        (b"ok\n" + b"x" * (limits.MAX_ARGUMENT_BYTES + 1), 2),
        (b"ok\n" + "ä".encode() * (limits.MAX_ARGUMENT_BYTES // 2 + 1), 2),
        (b"ok\n" + b"x " * (limits.MAX_ARGUMENTS + 1), 2),
    ],
)
def test_lines_that_are_none(content: bytes, line: int) -> None:
    """A mistake names its line; a quote ends on the line where it begins."""
    assert mistakes(content)[0].startswith(f"line {line} ")


def test_counts() -> None:
    """A file lists at least one task and at most as many as a job may have, and only some mistakes are listed."""
    assert mistakes(b"") == ["it has no lines; write one for each task"]
    assert count_tasks(b"a\n" * limits.MAX_TASKS) == limits.MAX_TASKS
    assert "at most" in mistakes(b"a\n" * (limits.MAX_TASKS + 1))[0]
    assert len(mistakes(b"'\n" * 1000)) == 10


@pytest.mark.parametrize("line", [b"\\" * 2, b"a'", b'"\\"', b"a\\ ", b"'a'", b"\"'"])
def test_no_line_takes_long(line: bytes) -> None:
    """Whatever the largest file repeats, it is judged in seconds: nothing is tried again and again."""
    content = (line * (limits.MAX_ARGUMENT_BYTES // len(line)) + b"\n") * 200
    started = time.perf_counter()
    with suppress(TaskFileError):
        count_tasks(content)
    assert time.perf_counter() - started < 10


LINES = st.text(st.sampled_from("ab \t'\"\\ä#;*"), min_size=1, max_size=20)


@given(LINES)
def test_splits_like_shlex(line: str) -> None:
    """Python's own splitter agrees on lines without the letters that it does not unescape within double quotes."""
    try:
        expected = shlex.split(line)
    except ValueError:
        assert mistakes(line.encode())
        return
    assert tasks(line.encode()) == [expected] if expected else mistakes(line.encode())


def test_splits_like_a_shell() -> None:
    """The system's shell splits such lines in the same way."""
    line = r"""a "b  c" 'd "e" f' g\ h "i\"j\\k\$l\`m\n" '' "" 'x'"y"z\\"""
    script = f"for each in {line}; do printf '%s\\n' \"$each\"; done"
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    assert tasks(line.encode()) == [said.removesuffix("\n").split("\n")]
