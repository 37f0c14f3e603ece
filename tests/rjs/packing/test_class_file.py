"""Class files as far as packing looks into them, and hostile ones."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.packing.class_file import ClassFileError, read_class


def utf8(data: bytes) -> bytes:
    return b"\x01" + struct.pack(">H", len(data)) + data


def pair(tag: int, one: int, two: int) -> bytes:
    return struct.pack(">BHH", tag, one, two)


def one(tag: int, index: int) -> bytes:
    return struct.pack(">BH", tag, index)


POOL = [
    utf8(b"org/example/Main"), one(7, 1),  # 2: this class
    utf8(b"java/lang/Class"), one(7, 3),
    utf8(b"forName"), utf8(b"()V"), pair(12, 5, 6), pair(10, 4, 7),  # 8: Class.forName
    utf8(b"a text"), one(8, 9),
    b"\x05" + bytes(8), b"",  # 11: a long takes two places
    utf8("zwölf".encode() + b"\xc0\x80\xed\xa0\xbd\xed\xb8\x80"), one(8, 13),  # with NUL and a pair of surrogates
]  # fmt: skip
CLASS = struct.pack(">IHHH", 0xCAFEBABE, 0, 61, len(POOL) + 1) + b"".join(POOL) + struct.pack(">HH", 0x21, 2)


def test_what_a_class_states() -> None:
    """Its name, its Java, its calls and its texts, in the encoding that Java has for them."""
    found = read_class(CLASS)
    assert (found.name, found.java) == ("org.example.Main", 17)
    assert found.calls == {("java.lang.Class", "forName")}
    assert found.texts == {"a text", "zwölf\0😀"}


@pytest.mark.parametrize(
    "data", [b"", b"\xca\xfe\xba\xbe", CLASS[:-3], b"PK" + CLASS[2:], CLASS.replace(b"\x07", b"\x08")]
)
def test_what_is_no_class_is_refused(data: bytes) -> None:
    """Cut, of another kind, or with constants of the wrong kind."""
    with pytest.raises(ClassFileError):
        read_class(data)


@given(
    st.lists(st.tuples(st.integers(0, len(CLASS) - 1), st.integers(0, 255)), max_size=6), st.integers(0, 200)
)
def test_hostile_classes_only_fail(changes: list[tuple[int, int]], length: int) -> None:
    """Whatever bytes are changed or cut off, a class is read or refused, and nothing else happens."""
    changed = bytearray(CLASS)
    for place, value in changes:
        changed[place] = value
    try:
        read_class(bytes(changed[:length]))
    except ClassFileError as error:
        assert str(error)
