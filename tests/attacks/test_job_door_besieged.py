"""A job's processes besiege the door of their own attempt: silent, slow, half-open, flooding, many. Real processes:
each is cut off with a reason in the compute server's log, and the server serves its LUS and its owner meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from cluster import LOOK, PATIENCE, Cluster, Server, running_cluster, wait_for
from jobs import write_job

from rjs.limits import HANDSHAKE, MIB, SILENCE

pytestmark = pytest.mark.integration

BUSY = 10.0
"""Seconds that a busy machine may add to what is measured in seconds."""

BESIEGING = """
import json, os, socket, sys, time
from contextlib import suppress
from pathlib import Path
from rjs import task
from rjs.task_door import _Line

token, path, out = task.token(), os.environ["RJS_DOOR"], Path(os.environ["RJS_OUTPUT"])
door = task.door()
door.inputs()

def plain():
    made = socket.socket(socket.AF_UNIX)
    made.connect(path)
    return made

def tls():
    from OpenSSL import SSL
    made = SSL.Connection(token.context(), plain())
    made.set_connect_state()
    made.do_handshake()
    return made

def frame(data):
    return len(data).to_bytes(4, "big") + data

def until_closed(connection):
    with suppress(Exception):
        while connection.recv(1 << 16):
            pass

def silent():
    until_closed(plain())

def half_a_record():
    made = plain()
    made.sendall(b"\\x16\\x03\\x01\\x02\\x00\\x01")
    until_closed(made)

def half_a_hello():
    made = tls()
    made.sendall(frame(bytes(200))[:-9])
    until_closed(made)

def dripped_hello():
    made = tls()
    with suppress(Exception):
        for byte in frame(bytes(200)):
            made.sendall(bytes([byte]))
            time.sleep(0.25)

def half_a_frame():
    made = _Line(token, path)._tls
    made.sendall(frame(bytes(100))[:-9])
    until_closed(made)

def too_long():
    made = _Line(token, path)._tls
    made.sendall(b"\\xff" * 4)
    until_closed(made)

def unread():
    from msgspec import msgpack
    made, number = _Line(token, path)._tls, 0
    with suppress(Exception):
        while True:
            number += 1
            asked = {"t": "job.input.read", "rid": number, "name": "big", "offset": 0, "length": 262144}
            made.sendall(frame(msgpack.encode(asked)))

def beginning(attack):
    began, child = time.monotonic(), os.fork()
    if child == 0:
        attack()
        (out / f"{attack.__name__}.took").write_text(str(time.monotonic() - began))
        os._exit(0)
    return child

attacks = (silent, half_a_record, half_a_hello, dripped_hello, half_a_frame, too_long)
for child in [beginning(each) for each in attacks]:
    os.waitpid(child, 0)

crowd = [socket.socket(socket.AF_UNIX) for _ in range(300)]
for each in crowd:
    each.setblocking(False)
    with suppress(OSError):
        each.connect(path)
began = time.monotonic()
door.write_output("served", b"among three hundred who say nothing")
(out / "crowd.took").write_text(str(time.monotonic() - began))
for _ in range(3):
    beginning(unread)
task.progress(1.0, "besieged to the end")
time.sleep(1)
"""

CUT_OFF = {
    "silent": HANDSHAKE, "half_a_record": HANDSHAKE, "half_a_hello": HANDSHAKE, "dripped_hello": HANDSHAKE,
    "half_a_frame": SILENCE + 2, "too_long": 0.0, "crowd": 0.0,
}  # fmt: skip
"""Within how many seconds each is cut off, or served."""

REASONS = {
    "became no session: no hello within 10 s": 4, "left its door: nothing heard for 15": 1,
    "left its door: a frame of 4294967295 bytes is longer than allowed": 1,
}  # fmt: skip
"""What the log says, at least so often."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as made:
        yield made


def test_a_job_besieges_its_own_door(cluster: Cluster, tmp_path: Path) -> None:
    """Everyone is cut off in time; the LUS loses nothing, the owner's status is there within a second all along, and
    memory and open files do not grow. Whoever is still there when the attempt ends goes with it."""
    cs1 = cluster["cs1"]
    assert cs1.process is not None
    process = psutil.Process(cs1.process.pid)
    files, memory = process.num_fds(), process.memory_info().rss
    folder = write_job(tmp_path / "siege", BESIEGING, memory="512 MiB")
    (folder / "big").write_bytes(bytes(MIB))
    job = cluster.ada.place(cluster.ada.pack(folder))
    slowest = slowest_status(cs1, until=lambda: bool(cluster.ada.delivered(job)))
    (answer,) = cluster.ada.answers(job, tasks=1).values()
    took = {Path(name).stem: float(answer.files[name]) for name in answer.files if name.endswith(".took")}
    assert took.keys() == CUT_OFF.keys()
    assert {name: each for name, each in took.items() if each > CUT_OFF[name] + BUSY} == {}
    assert answer.files["out/served"] == b"among three hundred who say nothing"
    log = cs1.log.read_text()
    assert {reason: log.count(reason) for reason, count in REASONS.items() if log.count(reason) < count} == {}
    assert "lost cs1" not in cluster["lus"].log.read_text() and slowest < 1.0
    cluster.quiet()
    wait_for(lambda: process.num_fds() <= files + 2, story=cs1.tail)
    assert process.memory_info().rss - memory < 48 * MIB
    assert [path for path in (cs1.folder / "doors").rglob("*") if not path.is_dir()] == []


def slowest_status(server: Server, until: Callable[[], bool]) -> float:
    """Asks for the status again and again; the seconds that the slowest answer took."""
    slowest, deadline = 0.0, time.monotonic() + 2 * PATIENCE
    while not until():
        began = time.monotonic()
        server.document()
        slowest = max(slowest, time.monotonic() - began)
        assert time.monotonic() < deadline, server.tail()
        time.sleep(LOOK)
    return slowest
