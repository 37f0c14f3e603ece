"""Which addresses are announced, and which may be dialled on a stranger's word."""

from __future__ import annotations

from ipaddress import ip_address, ip_interface

import pytest

from rjs import limits
from rjs.discovery.addresses import Interface, check_wanted, choose, read_interfaces
from rjs.errors import ConfigError

LOOPBACK = [ip_interface("127.0.0.1/8"), ip_interface("::1/128")]
DESKTOP: list[Interface] = [
    *LOOPBACK,
    ip_interface("fe80::5/64"),
    ip_interface("2001:db8::5/64"),
    ip_interface("192.0.2.5/24"),
]


def on_link(found: list[Interface], wanted: list[str], addresses: list[str]) -> list[str]:
    return list(choose(found, wanted).on_link(map(ip_address, addresses)))


def test_the_most_widely_valid_addresses_come_first() -> None:
    """Loopback is not announced beside others, link-local comes last."""
    assert choose(DESKTOP, []).to_announce() == ("192.0.2.5", "2001:db8::5", "fe80::5")


def test_a_machine_without_network_is_its_own_lan() -> None:
    """When there is only loopback, loopback is announced and may be dialled."""
    assert choose(LOOPBACK, []).to_announce() == ("127.0.0.1", "::1")
    assert on_link(LOOPBACK, [], ["127.0.0.1", "::1", "192.0.2.7"]) == ["127.0.0.1", "::1"]


def test_only_on_link_addresses_may_be_dialled() -> None:
    """Neighbours are; hosts elsewhere, this machine's loopback and unscoped link-local ones are not."""
    neighbours = ["192.0.2.7", "2001:db8::7", "fe80::7%2"]
    elsewhere = ["198.51.100.7", "2001:db8:1::7", "fe80::7", "127.0.0.1", "::1", "::ffff:192.0.2.7"]
    assert on_link(DESKTOP, [], [*elsewhere, *neighbours]) == neighbours


def test_listed_interfaces_are_the_only_ones() -> None:
    """Restricted to loopback, nothing but loopback is announced or dialled."""
    assert choose(DESKTOP, ["127.0.0.1"]).to_announce() == ("127.0.0.1",)
    assert on_link(DESKTOP, ["127.0.0.1"], ["192.0.2.7", "::1", "127.0.0.1"]) == ["127.0.0.1"]


def test_an_absent_interface_is_not_replaced_by_others() -> None:
    """A listed address that this machine does not have leaves nothing: never more than was asked for."""
    assert choose(DESKTOP, ["192.0.2.6"]).to_announce() == ()
    assert on_link(DESKTOP, ["192.0.2.6"], ["192.0.2.7", "127.0.0.1"]) == []


def test_announced_addresses_are_capped() -> None:
    """A host with very many addresses announces a few."""
    many = [ip_interface(f"10.{number}.0.1/24") for number in range(100)]
    assert len(choose(many, []).to_announce()) == limits.ANNOUNCED_ADDRESSES


def test_every_wrong_entry_is_named() -> None:
    """A list of interfaces with names in it is refused, all of them at once."""
    with pytest.raises(ConfigError, match=r"'eth0', '10\.0\.0\.0/8'"):
        check_wanted(["127.0.0.1", "eth0", "::1", "10.0.0.0/8"])


def test_this_machine_has_loopback() -> None:
    """Reading the interfaces of a real machine finds at least loopback with its network."""
    assert ip_interface("127.0.0.1/8") in read_interfaces()
