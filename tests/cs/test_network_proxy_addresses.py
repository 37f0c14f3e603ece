"""Which addresses a granted name may lead to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs.network_proxy_addresses import Kind, Machine, allowed, kind_of, plain
from cs.network_proxy_rules import NotCarriedError, Reach
from rjs.network_places import network_place

PLACE = "data.example.org:443"
NAMED = Reach(frozenset({PLACE}))
PRIVATE = Reach(frozenset({PLACE}), frozenset({PLACE}))
MACHINE = Machine(
    frozenset(map(ip_address, ("9.9.9.2", "2a00:1::2", "127.0.0.1", "::1", "10.1.0.2"))),
    tuple(map(ip_network, ("9.9.9.0/24", "2a00:1::/64", "10.1.0.0/16"))),
)

KINDS: list[tuple[str, Kind]] = [
    ("8.8.8.8", "public"), ("2a00:1450::1", "public"), ("11.0.0.0", "public"), ("172.32.0.0", "public"),
    ("127.0.0.1", "loopback"), ("127.255.255.255", "loopback"), ("::1", "loopback"),
    ("0.0.0.0", "no host's"), ("0.1.2.3", "no host's"), ("::", "no host's"),
    ("224.0.0.1", "no host's"), ("239.255.255.250", "no host's"), ("ff02::1", "no host's"),
    ("ff0e::1", "no host's"),
    ("240.0.0.1", "no host's"), ("255.255.255.255", "no host's"),
    ("169.254.169.254", "link-local"), ("fe80::1", "link-local"), ("febf::1", "link-local"),
    ("10.0.0.1", "private"), ("172.16.0.1", "private"), ("172.31.255.255", "private"),
    ("192.168.1.1", "private"),
    ("100.64.0.1", "private"), ("100.127.255.255", "private"), ("fc00::1", "private"), ("fd77::1", "private"),
    ("fec0::1", "private"), ("64:ff9b:1::808:808", "private"),
    ("192.0.2.1", "special"), ("198.51.100.1", "special"), ("203.0.113.1", "special"),
    ("198.18.0.1", "special"),
    ("198.19.255.255", "special"), ("192.0.0.1", "special"), ("192.88.99.1", "special"),
    ("2001:db8::1", "special"),
    ("3fff::1", "special"), ("2001:2::1", "special"), ("2001:20::1", "special"), ("100::1", "special"),
    ("4000::1", "special"),
    ("fe00::1", "special"), ("1::1", "special"),
    # IPv4 within IPv6
    ("::ffff:8.8.8.8", "public"), ("::ffff:127.0.0.1", "loopback"), ("::ffff:10.0.0.1", "private"),
    ("::ffff:0.0.0.0", "no host's"), ("::ffff:169.254.169.254", "link-local"), ("::127.0.0.1", "special"),
    ("::ffff:0:127.0.0.1", "special"), ("64:ff9b::8.8.8.8", "public"), ("64:ff9b::127.0.0.1", "loopback"),
    ("64:ff9b::a00:1", "private"), ("2002:808:808::1", "public"), ("2002:7f00:1::1", "loopback"),
    ("2002:a00:1::", "private"),
    ("2002:a9fe:a9fe::1", "link-local"), ("2001:0:808:808::f7f7:f7f7", "public"),
    ("2001:0:7f00:1::f7f7:f7f7", "loopback"),
    ("2001:0:808:808::80ff:fffe", "loopback"), ("2a00:1450::5efe:a00:1", "private"),
    ("2a00:1450::200:5efe:7f00:1", "loopback"),
]  # fmt: skip


@pytest.mark.parametrize(("address", "kind"), KINDS)
def test_each_address_has_a_kind(address: str, kind: Kind) -> None:
    """The tables, their edges, and IPv4 in its disguises."""
    assert kind_of(plain(address)) == kind


@pytest.mark.parametrize(("address", "kind"), KINDS)
def test_a_name_leads_to_public_addresses_alone(address: str, kind: Kind) -> None:
    """Unless the owner granted it as private, which opens private ones and no others."""
    assert _reached(address, NAMED) == (kind == "public")
    assert _reached(address, PRIVATE) == (kind in ("public", "private"))


@pytest.mark.parametrize(("address", "kind"), KINDS)
def test_an_address_that_was_granted_itself_is_dialled(address: str, kind: Kind) -> None:
    """But for those that are no host's; and the grant is for this address alone."""
    if address.startswith("::ffff:"):
        return  # no place has this form
    place = network_place(f"[{address}]:443" if ":" in address else f"{address}:443")
    reach = Reach(frozenset({place}))
    assert _reached(address, reach, place) == (kind != "no host's")
    assert not _reached("127.0.0.2", reach, place)


@pytest.mark.parametrize(
    "address", ["9.9.9.2", "2a00:1::2", "10.1.0.2", "::ffff:9.9.9.2", "64:ff9b::9.9.9.2", "2002:909:902::1"]
)
def test_this_machine_itself_is_not_reached(address: str) -> None:
    """Whatever its addresses are, and also where the name was granted as private."""
    with pytest.raises(NotCarriedError, match="the machine that runs the job"):
        allowed([plain(address)], PLACE, PRIVATE, MACHINE)


@pytest.mark.parametrize("address", ["9.9.9.77", "2a00:1::77", "10.1.0.77", "::ffff:9.9.9.77"])
def test_neighbours_are_as_private_addresses(address: str) -> None:
    """A public address of the owner's own network is behind the same firewall as the owner."""
    with pytest.raises(NotCarriedError, match="--private"):
        allowed([plain(address)], PLACE, NAMED, MACHINE)
    assert allowed([plain(address)], PLACE, PRIVATE, MACHINE) == (plain(address),)


def test_of_several_addresses_those_allowed_are_dialled() -> None:
    """In their order; one that is denied spoils not the others, and is not dialled."""
    found = [plain(each) for each in ("127.0.0.1", "8.8.8.8", "10.0.0.1", "2a00:1450::1")]
    assert list(map(str, allowed(found, PLACE, NAMED, MACHINE))) == ["8.8.8.8", "2a00:1450::1"]
    with pytest.raises(NotCarriedError, match=r"data\.example\.org:443 leads to the machine"):
        allowed(found[::2], PLACE, NAMED, MACHINE)
    with pytest.raises(NotCarriedError):
        allowed([], PLACE, NAMED, MACHINE)


def test_a_scope_is_no_way_around() -> None:
    """It is forgotten before an address is judged."""
    assert kind_of(plain("fe80::1%eth0")) == "link-local"
    assert plain("2a00:1::2%eth0") in MACHINE.addresses


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_address_is_public_that_python_knows_as_none(address: IPv4Address | IPv6Address) -> None:
    """Nothing that its own tables call loopback, link-local, multicast or unspecified, whatever its version."""
    if kind_of(address) == "public":
        others = (address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified)
        assert not any(others)
        assert not address.is_reserved or address.version == 6


@given(st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}"]))
def test_disguised_ipv4_is_what_it_is_undisguised(address: IPv4Address, disguise: str) -> None:
    """No disguise makes an address more reachable."""
    assert kind_of(plain(disguise.format(address))) == kind_of(address)


def _reached(address: str, reach: Reach, place: str = PLACE) -> bool:
    try:
        return allowed([plain(address)], place, reach, Machine()) == (plain(address),)
    except NotCarriedError:
        return False
