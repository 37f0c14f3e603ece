"""Interpreters described from afar: as they describe themselves where they run."""

from __future__ import annotations

import platform
import sys

import pytest
from packaging.markers import Marker, default_environment
from packaging.specifiers import SpecifierSet
from packaging.tags import sys_tags

from rjs.needs import PLATFORMS
from rjs.packing.targets import LATER, PYTHONS, marker_of, specifier_of, targets_of, this_platform

MARKERS = (
    "os_name", "sys_platform", "platform_machine", "platform_system", "python_version", "implementation_name",
    "platform_python_implementation",
)  # fmt: skip


def is_newer_glibc() -> bool:
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(map(int, version.split("."))) >= (2, 34)


@pytest.mark.skipif(
    platform.python_implementation() != "CPython" or not is_newer_glibc(),
    reason="wheels are vendored for CPython on systems that accept what the newest glibc here asks for",
)
def test_this_interpreter_is_described_as_it_describes_itself() -> None:
    """Markers that do not name a release agree, and every tag that is vendored for it is one that it accepts."""
    targets = targets_of(this_platform(), f"3.{sys.version_info.minor}")
    own = dict(default_environment())
    for target in targets:
        assert {key: target.environment[key] for key in MARKERS} == {key: own[key] for key in MARKERS}
        assert set(target.tags) <= set(sys_tags())


def test_a_platforms_marker_is_true_there_alone() -> None:
    """Whichever Python."""
    for place in PLATFORMS:
        true = [each for each in PLATFORMS if Marker(marker_of(place)).evaluate(
            dict(targets_of(each, "3.12")[0].environment))]  # fmt: skip
        assert true == [place]


@pytest.mark.parametrize("bits", range(1, 2 ** (len(PYTHONS) + 1)))
def test_a_specifier_admits_exactly_the_pythons_it_stands_for(bits: int) -> None:
    """Every set of known versions and later ones that holds one known version at least."""
    versions = (*PYTHONS, LATER)
    served = {version for index, version in enumerate(versions) if bits >> index & 1}
    if served == {LATER}:
        return
    specifier = SpecifierSet(specifier_of(served))
    assert {version for version in versions if specifier.contains(f"{version}.4")} == served
    assert not specifier.contains("3.10.9")
