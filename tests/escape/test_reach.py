"""Hostile jobs that reach for what is not theirs: the owner's files, processes, sockets, shared memory."""

from __future__ import annotations

import json

from escape_account import Account
from escape_targets import targets
from escape_yard import Spawner, Way, Yard, outcome

_SECRETS = ("the home", "the token key", "the state", "another bundle")
_PLACES = ("/etc/shadow", "/var/log", "/run", "/root", "/home", "/sys/kernel", "/boot", "/etc/ssl/private")
_OF_THE_PARENT = (
    "read the parent's environ", "read the parent's maps", "read the parent's mem", "read the parent's auxv",
    "follow the parent's root", "follow the parent's cwd", "follow the parent's exe", "follow the parent's fd/1",
    "follow the parent's ns/mnt", "list the parent's descriptors", "write the parent's memory",
    "enter the parent's root",
)  # fmt: skip

_REACHED_OUTSIDE = {
    **{f"read {name}": "ENOENT" for name in _SECRETS},
    **{f"list beside {name}": "ENOENT" for name in _SECRETS},
    **{f"look at {path}": "ENOENT" for path in _PLACES},
    "create beside the secrets": "ENOENT",
    "create in /var/tmp": "ENOENT",
    "see the victim": "ENOENT",
    "signal the victim": "ESRCH",
    "signal its group": "ESRCH",
    "hold the victim": "ESRCH",
    **dict.fromkeys(_OF_THE_PARENT, "EACCES"),
    "trace the parent": "EPERM",
    "read the parent by process_vm_readv": "EPERM",
    "limit the parent": "EPERM",
    "move the parent's pages": "EPERM",
    "connect by IPv4": "ECONNREFUSED",
    "connect by IPv6": "ECONNREFUSED",
    "connect to an abstract name": "ECONNREFUSED",
    "connect to a path": "ENOENT",
    "connect in /tmp": "ENOENT",
    "SysV memory": "ENOSYS",
    "SysV semaphores": "ENOSYS",
    "SysV messages": "ENOSYS",
    "POSIX messages": "ENOENT",
    "POSIX memory": "ENOENT",
}
"""What the walls make of each try that comes through without them."""

_READ_ONLY = {f"create in {folder}": "EROFS" for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/rjs")}
"""Where an unconfined job is kept out by permissions (or there is nothing), as a job of root's would not be."""


def test_what_is_the_owners_is_out_of_reach(yard: Yard, account: Account, way: Way) -> None:
    """All that an unconfined job of the account reaches is not there, unseen or refused; "the parent" is pid 1."""
    with targets(account) as known, yard.spawner() as spawner:
        inside = _told(yard, spawner, way, {**known, "parent": 1})
        outside = _told(yard, spawner, None, {**known, "parent": known["victim"]})
    assert inside == _REACHED_OUTSIDE | _READ_ONLY
    assert {name: said for name, said in outside.items() if said != "through"}.keys() == _READ_ONLY.keys()
    assert "EROFS" not in outside.values()


def _told(yard: Yard, spawner: Spawner, way: Way | None, known: dict[str, object]) -> dict[str, str]:
    place, what = yard.place(), ("reach.py", json.dumps(known))
    done = outcome(spawner.run(yard.inside(way, place, *what) if way else yard.outside(place, *what)), place)
    assert done.ended.exit_status == 0, done.stderr
    return done.told
