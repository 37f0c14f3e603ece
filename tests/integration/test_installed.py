"""The tests see the package as pip installed it, and what pip installed is whole."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

import cs
import lus
import rjs
import ws
from rjs.cli.example import example_folder

pytestmark = pytest.mark.integration
SITE = Path(sysconfig.get_path("purelib")).resolve()
RJS = Path(sys.executable).with_name("rjs")


@pytest.mark.parametrize("package", [rjs, lus, cs, ws], ids=lambda package: package.__name__)
def test_packages_come_from_the_environment_not_from_the_checkout(package: object) -> None:
    """`make test` judges what a user gets: files that setup.py forgets are missing here too."""
    assert Path(str(vars(package)["__file__"])).resolve().is_relative_to(SITE)


def test_what_tests_start_is_the_installed_package_too() -> None:
    """A process started in the checkout's folder does not pick up the checkout."""
    script = "import rjs; print(rjs.__file__)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert Path(done.stdout.strip()).resolve().is_relative_to(SITE)


def test_the_installed_command_is_this_version(tmp_path: Path) -> None:
    """The console script runs from anywhere and agrees with the distribution's metadata."""
    done = subprocess.run([RJS, "--version"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == f"rjs {metadata.version('rjs-cluster')}\n"


def test_every_part_of_a_role_that_is_offered_is_there() -> None:
    """The command line reaches the roles through these entry points only."""
    offered = metadata.distribution("rjs-cluster").entry_points.select(group="rjs.roles")
    assert {entry.name for entry in offered} >= {"ws.init", "ws.run", "lus.run", "cs.run", "cs.benchmark"}
    for entry in offered:
        assert callable(entry.load()), entry.name


def test_the_example_is_installed() -> None:
    """`rjs demo` finds its job without a checkout."""
    assert example_folder("mandelbrot").is_relative_to(SITE)
