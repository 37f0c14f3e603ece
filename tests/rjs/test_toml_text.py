"""TOML that is written is the TOML that is read."""

from __future__ import annotations

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from rjs.toml_text import TomlValue, toml_table, toml_value

texts = st.text(st.characters(codec="utf-8"))
values: st.SearchStrategy[TomlValue] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)


@given(values)
def test_what_is_written_is_read(value: TomlValue) -> None:
    """Every text, control characters and DEL among them, every number, list and table comes back as it was."""
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


def test_a_table_with_its_header() -> None:
    """A table stands as a person would write it, key by key."""
    assert toml_table("[needs]", {"cores": 2, "os": ("linux", "macos")}) == (
        '[needs]\ncores = 2\nos = ["linux", "macos"]\n'
    )
