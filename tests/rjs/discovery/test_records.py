"""What strangers announce is read strictly: a well-formed announcement of our cluster, or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rjs import limits
from rjs.discovery.records import (
    Announcement,
    NotOursError,
    Seen,
    Service,
    parse_announcement,
    parse_name,
    parse_text,
)
from rjs.ids import BootId, ClusterId, ServerId

OURS = Announcement(Service.CS, ServerId("0a" * 16), BootId("1b" * 16), ClusterId("2c" * 8), 9002)
ADDRESSES = ("10.0.0.7",)

hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32)
announcements = st.builds(
    Announcement,
    st.sampled_from(Service),
    hexadecimal.map(ServerId),
    hexadecimal.map(BootId),
    st.text("0123456789abcdef", min_size=16, max_size=16).map(ClusterId),
    st.integers(1, 65535),
    st.integers(1, 9999),
)


def parse(text: bytes, name: str = OURS.name, port: int | None = 9002) -> Seen:
    return parse_announcement(Service.CS, OURS.cluster, name, text, port, ADDRESSES)


def text(*entries: bytes) -> bytes:
    """A TXT record of the entries."""
    return b"".join(bytes([len(entry)]) + entry for entry in entries)


def entries(**changed: str | None) -> bytes:
    """Our TXT record with some fields changed or left out."""
    fields = {"id": OURS.id, "boot": OURS.boot, "cluster": OURS.cluster, "v": "1"} | changed
    return text(*(f"{key}={value}".encode() for key, value in fields.items() if value is not None))


@given(announcements)
def test_what_is_announced_is_seen(announcement: Announcement) -> None:
    """Every field arrives as it was sent."""
    a = announcement
    seen = parse_announcement(a.service, a.cluster, a.name, a.text, a.port, ADDRESSES)
    assert seen == Seen(a.service, a.id, a.boot, ADDRESSES, a.port, a.version)


@given(st.binary(max_size=2 * limits.ANNOUNCED_TEXT))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No TXT record raises anything but NotOursError, and what is read is what was there."""
    try:
        found = parse_text(data)
    except NotOursError:
        return
    assert text(*(f"{key}={value}".encode() for key, value in found.items())) == data


@given(st.text(max_size=200))
def test_any_name_is_read_or_refused(name: str) -> None:
    """No name raises anything but NotOursError, and an id is 32 lower-case hex digits."""
    try:
        server = parse_name(Service.CS, name + "." + Service.CS.value)
    except NotOursError:
        return
    assert server == name
    assert len(bytes.fromhex(server)) == 16


@pytest.mark.parametrize(
    ("code", "data"),
    [
        ("text", b"\xff"),
        ("text", entries()[:-1]),
        ("text", text(b"novalue")),
        ("text", entries(v="١")),
        ("text", entries() + text(b"v=1")),
        ("text", entries(more="x" * 250, evenmore="x" * 240)),
        ("id", entries(id=None)),
        ("id", entries(id="0b" * 16)),
        ("cluster", entries(cluster=None)),
        ("cluster", entries(cluster="2d" * 8)),
        ("boot", entries(boot=None)),
        ("boot", entries(boot="1B" * 16)),
        ("boot", entries(boot="1b" * 15)),
        ("boot", entries(boot="1b" * 16 + "\n")),
        ("version", entries(v=None)),
        ("version", entries(v="0")),
        ("version", entries(v="99999")),
        ("version", entries(v="-1")),
    ],
)
def test_a_wrong_field_is_named(code: str, data: bytes) -> None:
    """Each field that is cut, repeated, missing, foreign or malformed is refused under its own code."""
    with pytest.raises(NotOursError) as refused:
        parse(data)
    assert refused.value.code == f"announcement.{code}"


@pytest.mark.parametrize("port", [None, 0, -1, 65536])
def test_a_port_is_a_port(port: int | None) -> None:
    """What cannot be dialled is refused."""
    with pytest.raises(NotOursError, match="port"):
        parse(OURS.text, port=port)


@pytest.mark.parametrize(
    "name",
    [OURS.id, OURS.id.upper() + "." + Service.CS.value, OURS.id + "." + Service.LUS.value, "x" + OURS.name],
)
def test_a_name_is_an_id_of_that_service(name: str) -> None:
    """An instance of another service, or one that is not named by an id, is refused."""
    with pytest.raises(NotOursError, match="name"):
        parse(OURS.text, name=name)


def test_a_later_release_may_say_more() -> None:
    """A key that this release does not know is ignored."""
    assert parse(entries(colour="blue")) == parse(OURS.text)


def test_addresses_are_needed_and_capped() -> None:
    """Without an address that may be dialled there is nothing to see; of many, the newest are taken."""
    many = tuple(f"10.0.0.{number}" for number in range(100))
    for addresses in ((), many):
        arguments = (Service.CS, OURS.cluster, OURS.name, OURS.text, 9002, addresses)
        if addresses:
            assert parse_announcement(*arguments).addresses == many[: limits.ANNOUNCED_ADDRESSES]
        else:
            with pytest.raises(NotOursError, match="no address"):
                parse_announcement(*arguments)


def test_whom_a_cs_serves() -> None:
    """A CS may announce the LUS that it serves; a malformed one makes the announcement nobody's."""
    cs, lus, boot, cluster = ServerId("a" * 32), ServerId("b" * 32), BootId("c" * 32), ClusterId("d" * 16)
    for serves in (None, lus):
        said = Announcement(Service.CS, cs, boot, cluster, 9002, serves=serves)
        seen = parse_announcement(Service.CS, cluster, said.name, said.text, 9002, ("10.0.0.1",))
        assert seen.serves == serves
    wrong = said.text.replace(b"lus=b", b"lus=B")
    with pytest.raises(NotOursError):
        parse_announcement(Service.CS, cluster, said.name, wrong, 9002, ("10.0.0.1",))
