"""Which sandbox a compute server takes, and when it does not start."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cs.config import CsSettings
from cs.java import Java
from cs.sandbox_choice import Way, choose, holding
from rjs.errors import ConfigError
from rjs.needs import SANDBOXES

LACKING = ("no namespaces: `sysctl x=1`", "no bwrap: `apt install bubblewrap`")


def refusing(wanted: str) -> tuple[Way | None, tuple[str, ...]]:
    raise AssertionError("it was tried")


@pytest.mark.parametrize("way", ["own", "bubblewrap"])
@pytest.mark.parametrize("unconfined", ["", "i accept"])
def test_what_can_be_confined_is(tmp_path: Path, way: Way, unconfined: str) -> None:
    """Also where the owner accepted jobs that are not."""
    settings = CsSettings(unconfined=unconfined)  # type: ignore[arg-type]  # one of both
    choice = choose(settings, tmp_path, None, lambda wanted: (way, ()))
    assert choice.walls is not None and choice.walls.way == way and choice.level in SANDBOXES[1:]


def test_without_a_sandbox_the_owners_word_decides(tmp_path: Path) -> None:
    """Without it the server does not start, and says each thing that is missing and where the word is written."""
    with pytest.raises(ConfigError) as refused:
        choose(CsSettings(), tmp_path, None, lambda wanted: (None, LACKING))
    told = str(refused.value)
    assert all(each in told for each in (*LACKING, 'unconfined = "i accept"', str(tmp_path / "config.toml")))
    choice = choose(CsSettings(unconfined="i accept"), tmp_path, None, lambda wanted: (None, LACKING))
    assert (choice.walls, choice.level, choice.lacking) == (None, "", LACKING)


def test_none_is_none_and_needs_the_owners_word(tmp_path: Path) -> None:
    """Nothing is tried then."""
    with pytest.raises(ConfigError, match='sandbox = "none"'):
        choose(CsSettings(sandbox="none"), tmp_path, None, refusing)
    accepted = CsSettings(sandbox="none", unconfined="i accept")
    assert choose(accepted, tmp_path, None, refusing).walls is None


@pytest.mark.parametrize("wanted", ["auto", "own"])
def test_this_machine_confines(wanted: str) -> None:
    """Tried for real."""
    assert holding(wanted) == ("own", ())


def test_the_way_that_is_wanted_is_the_one_that_is_tried() -> None:
    """Where bubblewrap does not hold (around root it does not), nothing else is taken in its place."""
    way, lacking = holding("bubblewrap")
    expected = way is None and "root" in lacking[0] if os.geteuid() == 0 else way == "bubblewrap"
    assert expected, lacking


def test_cells_see_the_machines_java_and_python(tmp_path: Path) -> None:
    """At their real paths, and this installation's packages for tokens, each by itself."""
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch()
    (tmp_path / "jdk" / "lib").mkdir()
    (tmp_path / "java").symlink_to(java)
    choice = choose(CsSettings(), tmp_path, Java(tmp_path / "java", 17), lambda wanted: ("own", ()))
    walls = choice.walls
    assert walls is not None and walls.java == str(java)
    targets = [bind.target for bind in walls.system]
    assert str(java.parent) in targets and "/usr" in targets
    python = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    assert any(python == target or python.startswith(target + "/") for target in targets)
    assert {"cryptography", "OpenSSL", "msgspec"} <= {Path(bind.target).name for bind in walls.packages}
    assert not any(bind.writable for bind in (*walls.system, *walls.packages))
