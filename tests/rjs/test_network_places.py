"""Network places in the one form that compares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs.network_places import PlaceRefusedError, network_place, ungranted


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("data.example.org:443", "data.example.org:443"),
        ("DATA.Example.Org:443", "data.example.org:443"),
        ("localhost:1", "localhost:1"),
        ("xn--bcher-kva.example:65535", "xn--bcher-kva.example:65535"),
        ("192.0.2.7:80", "192.0.2.7:80"),
        ("[2001:DB8:0:0::1]:80", "[2001:db8::1]:80"),
    ],
)
def test_a_place_has_one_form(text: str, form: str) -> None:
    """Small letters and canonical addresses, so that equal places are equal texts."""
    assert network_place(text) == form == network_place(form)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", ":443", "data.example.org", "data.example.org:", "data.example.org:0", "data.example.org:65536",
        "data.example.org:0443", "data.example.org:+443", "data.example.org:443 ", " data.example.org:443",
        "data.example.org:\u0664\u0664\u0663", "data.example.org.:443", ".example.org:443", "a..org:1", "*:443",
        "*.example.org:443", "user@data.example.org:443", "http://data.example.org:443", "data.example.org/x:443",
        "a_b.org:1", "-a.org:1", "a-.org:1", f"{'a' * 64}.org:1", f"{'a.' * 127}org:1", "b\u00fccher.example:1",
        "\u212aelvin.example:1", "127.1:80", "0x7f.0.0.1:80", "0x7f000001:80", "2130706433:80", "127.0.0.01:80",
        "1.2.3.4.5:80", "256.0.0.1:80", "10.0.0.0/8:80", "2001:db8::1:80", "[2001:db8::1]", "[::1%lo]:80",
        "[::ffff:127.0.0.1]:80", "[]:80", "[localhost]:80", "a\nb:80", "a:80\n", "a:80,b:81",
    ],
)  # fmt: skip
def test_what_is_no_single_place_is_refused(text: str) -> None:
    """No wildcards, ranges, other spellings of an address, schemes, or characters that only look alike."""
    with pytest.raises(PlaceRefusedError):
        network_place(text)
    assert ungranted([text], [text]) == (text,)


@given(st.text(max_size=40))
def test_any_text_is_a_place_or_refused(text: str) -> None:
    """Nothing else is raised, and the form is a fixed point."""
    try:
        form = network_place(text)
    except PlaceRefusedError:
        return
    assert network_place(form) == form
