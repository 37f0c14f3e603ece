"""The constant pool of a Java class file: which Java it needs, its name, what it calls and the texts in it.

Everything else about a class is for ``jdeps`` to read. Reference: The Java Virtual Machine Specification, SE 21,
sections 4.1 and 4.4.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

import attrs

FIRST_JAVA: Final = 44
"""Major version of a class file less this is the Java that it needs (section 4.1, table 4.1-A)."""

_MAGIC: Final = 0xCAFEBABE
_HEAD: Final = struct.Struct(">IHHH")
_PAIR: Final = struct.Struct(">HH")
_UTF8, _CLASS, _STRING, _METHOD, _INTERFACE_METHOD, _NAME_AND_TYPE = 1, 7, 8, 10, 11, 12
_SIZES: Final[Mapping[int, int]] = {
    3: 4, 4: 4, 5: 8, 6: 8, _CLASS: 2, _STRING: 2, 9: 4, _METHOD: 4, _INTERFACE_METHOD: 4, _NAME_AND_TYPE: 4,
    15: 3, 16: 2, 17: 4, 18: 4, 19: 2, 20: 2,
}  # fmt: skip
"""Bytes after the tag of each kind of constant; texts say their own length (section 4.4)."""
_TAKES_TWO: Final = (5, 6)


class ClassFileError(Exception):
    """These bytes are no class file that Java would load."""


@attrs.frozen
class ClassFile:
    """What one class states. Names are dotted, as a person writes them; ``java`` is the oldest Java that loads it.

    ``calls`` are (class, method); ``texts`` every text constant.
    """

    name: str
    java: int
    calls: frozenset[tuple[str, str]]
    texts: frozenset[str]


def read_class(data: bytes) -> ClassFile:
    """Read a class file's head and constant pool, or raise ClassFileError."""
    try:
        magic, _, major, count = _HEAD.unpack_from(data)
        if magic != _MAGIC:
            raise ClassFileError("it does not begin like a class file")
        pool, end = _constants(data, count)
        _, this = _PAIR.unpack_from(data, end)
        return ClassFile(pool.class_name(this), major - FIRST_JAVA, pool.calls(), pool.texts())
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise ClassFileError("its constants cannot be read") from error


@attrs.frozen
class _Constants:
    """Constants by index, each with its tag: texts decoded, others as they stand."""

    utf8: Mapping[int, str]
    others: Mapping[int, tuple[int, bytes]]

    def class_name(self, index: int) -> str:
        return self.utf8[self._one(index, _CLASS)].replace("/", ".")

    def calls(self) -> frozenset[tuple[str, str]]:
        methods = [body for tag, body in self.others.values() if tag in (_METHOD, _INTERFACE_METHOD)]
        return frozenset(self._call(*_PAIR.unpack(body)) for body in methods)

    def texts(self) -> frozenset[str]:
        return frozenset(
            self.utf8[int.from_bytes(body, "big")] for tag, body in self.others.values() if tag == _STRING
        )

    def _call(self, owner: int, name_and_type: int) -> tuple[str, str]:
        tag, body = self.others[name_and_type]
        if tag != _NAME_AND_TYPE:
            raise ClassFileError("a method has no name")
        return self.class_name(owner), self.utf8[_PAIR.unpack(body)[0]]

    def _one(self, index: int, wanted: int) -> int:
        tag, body = self.others[index]
        if tag != wanted:
            raise ClassFileError("a constant is not of the kind that is asked for")
        return int.from_bytes(body, "big")


def _constants(data: bytes, count: int) -> tuple[_Constants, int]:
    """Read the pool of ``count - 1`` places after the head; gives it and where it ends."""
    utf8: dict[int, str] = {}
    others: dict[int, tuple[int, bytes]] = {}
    place, index = _HEAD.size, 1
    while index < count:
        tag = data[place]
        if tag == _UTF8:
            length = int.from_bytes(data[place + 1 : place + 3], "big")
            utf8[index] = _text(data[place + 3 : place + 3 + length])
            place += 3 + length
        else:
            others[index] = tag, data[place + 1 : place + 1 + _SIZES[tag]]
            place += 1 + _SIZES[tag]
        index += 2 if tag in _TAKES_TWO else 1
    return _Constants(utf8, others), place


def _text(encoded: bytes) -> str:
    """Decode modified UTF-8 (section 4.4.7): NUL takes two bytes, and what is beyond 16 bits two surrogates."""
    if encoded.isascii():
        return encoded.decode("ascii")
    plain = encoded.replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
    return plain.encode("utf-16-be", "surrogatepass").decode("utf-16-be", "replace")
