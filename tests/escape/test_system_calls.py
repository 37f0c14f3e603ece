"""Hostile jobs at the kernel's doors: system calls that no job needs are refused, and by the filter."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest
from escape_account import Account
from escape_yard import Way, Yard, outcome

from cs.workplace import remove_tree

Answers = dict[str, str]

_FILTERED = {"EPERM", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT"}
_KILLED = {"signal 31"}  # SIGSYS
_OTHER_MACHINES = {"call of i386", "call of x32"}
_NOBODY_HAS = {"unknown call"}
"""What this kernel refuses in the same words as the filter does, whoever asks."""

_ORDINARY = {
    f"socket {family:d} {kind:d}"
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
} | {f"socket {socket.AF_UNIX:d} {kind:d}" for kind in (socket.SOCK_SEQPACKET, socket.SOCK_RAW)}
"""TCP and UDP, which end in an empty network, and sockets of the cell's own (of which raw means datagrams)."""


@pytest.fixture(scope="module")
def answers(yard: Yard, way: Way) -> Answers:
    """What the kernel says inside to each of them."""
    with yard.spawner() as spawner:
        place = yard.place()
        done = outcome(spawner.run(yard.inside(way, place, "calls.py")), place)
        assert done.ended.exit_status == 0, done.stderr
        with yard.account.acting():
            assert _marked(place.job) == []
        return done.told


@pytest.fixture(scope="module")
def outside(account: Account, tmp_path_factory: pytest.TempPathFactory) -> list[Answers]:
    """What it says to the account without a sandbox; and to root, if this is root, whom no permission stops."""
    program, folder = account.folder / "probes" / "calls", account.folder / "calls outside"
    with account.acting():
        folder.mkdir()
    with account.execute([program], folder) as process:
        assert process.stdout is not None
        said = [_parsed(process.stdout.read())]
    assert _marked(folder) != []
    with account.acting():
        remove_tree(folder)
    if os.geteuid() == 0:
        folder = tmp_path_factory.mktemp("root")
        ran = subprocess.run(
            [program], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=60
        )
        said.append(_parsed(ran.stdout))
    return said


def _parsed(said: bytes) -> Answers:
    return dict(line.split("\t") for line in said.decode().splitlines())


def _marked(folder: Path) -> list[str]:
    """Files with a set-user-id or set-group-id bit, and devices."""
    found = [(path.name, path.lstat().st_mode) for path in folder.rglob("*")]
    return [name for name, mode in found if mode & (stat.S_ISUID | stat.S_ISGID) or stat.S_ISCHR(mode)]


def test_no_door_is_open(answers: Answers, outside: list[Answers]) -> None:
    """Each call is refused by the filter, and those of other machines' programs end the process; sockets alone are
    there, of four kinds."""
    assert answers.keys() == outside[0].keys()
    calls = {name: said for name, said in answers.items() if not name.startswith("socket ")}
    assert {name: said for name, said in calls.items() if said not in _FILTERED | _KILLED} == {}
    assert {name for name, said in calls.items() if said in _KILLED} == _OTHER_MACHINES & calls.keys()
    open_sockets = {
        name for name, said in answers.items() if name.startswith("socket ") and said == "through"
    }
    assert open_sockets == _ORDINARY


def test_it_is_the_filter_that_refuses(answers: Answers, outside: list[Answers]) -> None:
    """Without the sandbox the kernel says something else to the account or, where that may not either, root."""
    same = {
        name: said
        for name, said in answers.items()
        if not name.startswith("socket ") and all(told[name] == said for told in outside)
    }
    if len(outside) == 1:
        same = {name: said for name, said in same.items() if said != "EPERM"}
    assert same.keys() <= _NOBODY_HAS | {name for name, said in outside[-1].items() if said == "ENOSYS"}
    assert outside[0][f"socket {socket.AF_NETLINK:d} {socket.SOCK_RAW:d}"] == "through"
