"""What the commands of the servers share."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rjs.cli.server import network_words, offer_words
from rjs.limits import GIB
from rjs.needs import Offer, Platform
from rjs.status import offer_facts

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs


def test_an_offer_is_one_short_line() -> None:
    """Platform, cores, memory and disk, and the runtimes that are there."""
    full = Offer(
        memory=8 * GIB,
        cores=4,
        disk=100 * GIB,
        platform=Platform("linux", "x86_64"),
        python="3.11.7",
        java="17",
    )
    assert offer_words(offer_facts(full)) == (
        "linux-x86_64, 4 cores, 8,192 MiB memory, 102,400 MiB disk, python 3.11.7, java 17"
    )
    assert offer_words(offer_facts(Offer(cores=1))) == "any-any, 1 core, 0 B memory, 0 B disk"


def test_a_tasks_network_is_one_short_line() -> None:
    """Bytes of the most, each place, and what was refused; nothing where no task had one."""
    place = {"connections": 2, "sent": 500, "received": 3 * 1024}
    facts = {"used": 3572, "most": GIB, "refused": 1, "places": {"a.org:443": place}}
    assert network_words(facts) == (
        "3 KiB of 1,024 MiB; a.org:443 (2 connections, 500 B sent, 3 KiB received); 1 requests refused"
    )
    assert network_words({}) is None


def test_an_address_that_is_none_is_wrong_usage(rjs: Rjs, tmp_path: Path) -> None:
    """A slip in the command line is told before anything is made."""
    assert rjs("ca", "init", tmp_path / "ca").status == 0
    assert rjs("ws", "init", tmp_path / "ws", "--ca", tmp_path / "ca", "--address", "localhost").status == 2
    assert not (tmp_path / "ws").exists()
    said = rjs("join", "rjs1-", tmp_path / "cs")
    assert (said.status, (tmp_path / "cs").exists()) == (2, False)


@pytest.mark.parametrize(
    ("options", "port", "warned"),
    [
        (["--address", "localhost:9731"], 9731, False),
        (["--address", "[::1]:9731", "--port", "9731"], 9731, False),
        (["--address", "localhost:9731", "--port", "9000"], 9000, True),
    ],
)
def test_a_web_server_listens_where_it_is_reached(
    rjs: Rjs, tmp_path: Path, options: list[str], port: int, warned: bool
) -> None:
    """Its port is that of its address; where the owner says another, the output says so, too."""
    assert rjs("ca", "init", tmp_path / "ca").status == 0
    said = rjs("ws", "init", tmp_path / "ws", "--ca", tmp_path / "ca", *options)
    assert said.status == 0, said.err
    assert tomllib.loads((tmp_path / "ws/config.toml").read_text())["port"] == port
    assert (f"it listens on port {port}, and is to be reached at" in said.err) == warned


def test_a_server_is_not_founded_among_sources(rjs: Rjs, tmp_path: Path) -> None:
    """In a folder with files that are none of its state, `rjs ws init` makes nothing and says why."""
    assert rjs("ca", "init", tmp_path / "ca").status == 0
    (tmp_path / "ws").mkdir(mode=0o700)
    (tmp_path / "ws/queue.py").write_text("")
    said = rjs("ws", "init", tmp_path / "ws", "--ca", tmp_path / "ca")
    assert said.status == 1
    assert "ws is no state folder, and holds other files, such as 'queue.py'" in said.err
    assert [path.name for path in (tmp_path / "ws").iterdir()] == ["queue.py"]
