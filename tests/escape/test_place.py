"""Hostile jobs look around: what a cell is, as it shows from inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from escape_yard import Way, Yard, outcome

_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
_WRITABLE = {"/work", "/tmp", "/dev/shm"}
_DEVICES = {"null", "zero", "full", "random", "urandom", "shm", "fd", "stdin", "stdout", "stderr"}
_ROOT = {
    "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "rjs", "sbin", "tmp", "usr", "warden",
    "work",
}  # fmt: skip


@pytest.fixture(scope="module", params=[False, True], ids=["in a cell", "in a fresh cell"])
def seen(yard: Yard, way: Way, request: pytest.FixtureRequest) -> dict[str, Any]:
    """All that a task of the account can tell of its surroundings."""
    with yard.spawner() as spawner:
        place = yard.place()
        done = outcome(spawner.run(yard.inside(way, place, "look.py", fresh=request.param)), place)
    assert done.ended.exit_status == 0, done.stderr
    return done.told


def test_nothing_is_shared_with_the_machine(seen: dict[str, Any]) -> None:
    """Each namespace is another one, and the machine's name and its owner's are unknown."""
    ours = {name: str(Path(f"/proc/self/ns/{name}").readlink()) for name in _NAMESPACES}
    assert [name for name in _NAMESPACES if seen["namespaces"][name] == ours[name]] == []
    assert seen["host"] == "rjs"
    assert seen["interfaces"] == ["lo"]
    assert len(seen["account"].splitlines()) <= 3
    assert set(seen["root"]) <= _ROOT
    assert set(seen["dev"]) <= _DEVICES
    assert seen["processes"] == []


def test_no_privilege_is_held_or_to_be_had(seen: dict[str, Any]) -> None:
    """No capability in any set, none to gain, the filter in force; uid and gid say nothing of the owner's."""
    status = seen["status"]
    assert {name: status[name] for name in status if name.startswith("Cap")} == dict.fromkeys(
        ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), "0" * 16
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == status["Gid"].split() == ["1000"] * 4
    assert set(status["Groups"].split()) <= {"1000", "65534"}


def test_only_its_own_folders_can_be_written(seen: dict[str, Any]) -> None:
    """Every other mount is read-only, and none has devices but those named or honours a set-user-id bit."""
    mounts = [line.split() for line in seen["mounts"]]
    writable = {fields[4] for fields in mounts if "rw" in fields[5].split(",")}
    assert {path for path in writable if path.removeprefix("/dev/") not in _DEVICES - {"shm"}} == _WRITABLE
    assert [fields[4] for fields in mounts if "nosuid" not in fields[5].split(",")] == []
    with_devices = {fields[4] for fields in mounts if "nodev" not in fields[5].split(",")}
    assert {path for path in with_devices if not path.startswith(("/dev/", "/proc/"))} == set()


def test_it_is_killed_first(seen: dict[str, Any]) -> None:
    """When the machine runs out of memory, a job's processes go before any of the owner's."""
    assert seen["killed first"] == "1000"


def test_no_descriptor_is_inherited(seen: dict[str, Any]) -> None:
    """Nothing, its two streams, its control channel: a folder of ours among them would be a way out."""
    assert seen["descriptors"] == {
        "0": "null", "1": "stdout.txt", "2": "stderr.txt", "3": "socket", "4": "the list itself",
    }  # fmt: skip
    assert seen["environment"].keys() <= {"PATH", "LANG", "HOME", "RJS_CONTROL"}


def test_without_a_sandbox_all_of_it_is_seen(yard: Yard) -> None:
    """The control: the same look, without a sandbox, sees the machine's namespaces, processes and writable mounts."""
    with yard.spawner() as spawner:
        place = yard.place()
        done = outcome(spawner.run(yard.outside(place, "look.py")), place)
    seen = done.told
    assert seen["namespaces"]["user"] == str(Path("/proc/self/ns/user").readlink())
    assert set(seen["root"]) - _ROOT
    assert set(seen["dev"]) - _DEVICES
    assert seen["processes"]
    assert seen["status"]["CapBnd"] != "0" * 16
    assert seen["status"]["Seccomp"] == "0"
    assert done.ended.exit_status != 0  # there is no /work to look into
