"""What a compute server offers one task."""

from __future__ import annotations

import platform
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cs import limits
from cs.config import CsSettings
from cs.offer import disk_given, offering
from rjs.limits import GIB, MIB
from rjs.needs import ARCHITECTURES, OPERATING_SYSTEMS, Needs, Offer, Platform, lack, platform_of


@pytest.mark.parametrize(
    ("system", "machine", "expected"),
    [
        ("Linux", "x86_64", "linux-x86_64"),
        ("Linux", "aarch64", "linux-aarch64"),
        ("Darwin", "arm64", "macos-aarch64"),
        ("Windows", "AMD64", "windows-x86_64"),
        ("Windows", "ARM64", "windows-aarch64"),
        ("FreeBSD", "riscv64", "freebsd-riscv64"),
        ("", "", "any-any"),
    ],
)
def test_a_platform_has_one_name(system: str, machine: str, expected: str) -> None:
    """Whatever the machine calls itself; what has no name of ours keeps its own."""
    assert str(platform_of(system, machine)) == expected


def test_this_machine_serves_an_ordinary_job(tmp_path: Path) -> None:
    """What is read off the machine is of the known kinds, travels on the wire, and is enough for the defaults."""
    offer = offering(CsSettings(), tmp_path, "17").now()
    assert (offer.platform.os, offer.platform.arch) in [
        (o, a) for o in OPERATING_SYSTEMS for a in ARCHITECTURES
    ]
    assert offer.python == platform.python_version()
    assert lack(Needs(java=">=17", python=">=3.11"), offer) is None
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(offer), type=Offer) == offer


def test_the_owner_bounds_what_is_offered(tmp_path: Path) -> None:
    """Settings count in MiB and cores, and never promise more cores than there are."""
    offer = offering(CsSettings(memory=64, cores=1, disk=300), tmp_path).now()
    assert (offer.memory, offer.cores, offer.disk, offer.java) == (64 * MIB, 1, 300 * MIB, "")
    assert offering(CsSettings(cores=limits.CORES), tmp_path).now().cores < limits.CORES


@given(st.integers(0, 2**40), st.integers(0, 2**60))
def test_no_more_disk_is_given_than_there_is(bound: int, free: int) -> None:
    """Never beyond the owner's bound nor what is free, half of it by default, and never by much less."""
    given = disk_given(bound, free)
    most = min(bound, free) if bound else free // 2
    assert given <= most and given < 2**48
    assert given >= min(most, 2**48 - 1) * 7 // 8 - limits.DISK_STEP


def test_small_changes_are_no_other_offer() -> None:
    """A gigabyte more or less among a hundred is not told."""
    assert disk_given(0, 201 * GIB) == disk_given(0, 202 * GIB) == 96 * GIB
    assert disk_given(0, 100 * MIB) == 0
    assert disk_given(5 * GIB, 6 * GIB) == 5 * GIB


def test_an_unknown_platform_serves_jobs_for_any() -> None:
    """A job that names no platform runs wherever its runtime is."""
    offer = Offer(memory=GIB, cores=1, disk=GIB, python="3.11.7", platform=platform_of("Haiku", "sparc"))
    assert lack(Needs(), offer) is None
    assert lack(Needs(platforms=(Platform("linux"),)), offer) is not None
