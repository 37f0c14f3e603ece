"""A file with the arguments of every task: UTF-8, one task a line, words split as a POSIX shell splits them.

Nothing is expanded: ``$``, ``*``, ``#`` and ``;`` are letters like others. A quote ends on its line.
"""

from __future__ import annotations

import re
from array import array
from codecs import BOM_UTF8
from typing import Final

from rjs import limits

_WORD: Final = re.compile(r"""(?:[^ \t'"\\]++|'[^']*+'|"(?:[^"\\]|\\.)*+"|\\.)++""")
_LINE: Final = re.compile(rf"(?:[ \t]++|{_WORD.pattern})*+")
_PIECE: Final = re.compile(r"""[^'"\\]+|'[^']*'|"(?:[^"\\]|\\.)*+"|\\.""")
_IN_DOUBLE: Final = re.compile(r'\\([$`"\\])')
"""Before these alone a backslash is special within double quotes (POSIX, XCU 2.2.3)."""
_CONTROL: Final = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f]")
_LISTED: Final = 10


class TaskFileError(Exception):
    """The file does not list tasks; ``mistakes`` says what to mend, each with its line."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("; ".join(mistakes))
        self.mistakes = mistakes


def count_tasks(content: bytes) -> int:
    """How many tasks the file lists, each of them sound. Raises TaskFileError."""
    lines = _lines(content)
    if not lines:
        raise TaskFileError(["it has no lines; write one for each task"])
    if len(lines) > limits.MAX_TASKS:
        raise TaskFileError([f"it has {len(lines)} lines; a job has at most {limits.MAX_TASKS} tasks"])
    mistakes = []
    for number, line in enumerate(lines, 1):
        if fault := _fault(line):
            mistakes.append(f"line {number} {fault}")
            if len(mistakes) == _LISTED:
                break
    if mistakes:
        raise TaskFileError(mistakes)
    return len(lines)


class TaskLines:
    """The lines of a file that ``count_tasks`` has accepted; the last of a million is found as fast as the first."""

    def __init__(self, content: bytes) -> None:
        self._content = content.removeprefix(BOM_UTF8)
        self._starts = array("I", [0])
        self._starts.extend(each.end() for each in re.finditer(b"\n", self._content))

    def words(self, index: int) -> list[str]:
        """The arguments of task ``index``, from 0."""
        start = self._starts[index]
        end = self._content.find(b"\n", start)
        line = self._content[start:end] if end >= 0 else self._content[start:]
        return _words(line.removesuffix(b"\r").decode())


def _lines(content: bytes) -> list[str]:
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise TaskFileError([f"line {line} is not UTF-8; save the file as UTF-8"]) from None
    if control := _CONTROL.search(text):
        line = text.count("\n", 0, control.start()) + 1
        raise TaskFileError([f"line {line} has the control character {control[0]!a}; remove it"])
    return text.removesuffix("\n").split("\n") if text else []


def _fault(line: str) -> str:
    """What is wrong with a line; empty when it lists arguments."""
    if not line or line.isspace():
        return "is empty; remove it, or write '' for an empty argument"
    if not _LINE.fullmatch(line):
        return "has a quote or a backslash without its end; close it, or put a backslash before it"
    if len(line) > limits.MAX_ARGUMENT_BYTES // 4 and len(line.encode()) > limits.MAX_ARGUMENT_BYTES:
        return f"is longer than {limits.MAX_ARGUMENT_BYTES} bytes; put what is long into a file"
    if len(line) >= 2 * limits.MAX_ARGUMENTS and len(_WORD.findall(line)) > limits.MAX_ARGUMENTS:
        return f"has more than {limits.MAX_ARGUMENTS} arguments"
    return ""


def _words(line: str) -> list[str]:
    return ["".join(map(_unquoted, _PIECE.findall(word))) for word in _WORD.findall(line)]


def _unquoted(piece: str) -> str:
    match piece[0]:
        case "'":
            return piece[1:-1]
        case '"':
            return _IN_DOUBLE.sub(r"\1", piece[1:-1])
        case "\\":
            return piece[1]
    return piece
