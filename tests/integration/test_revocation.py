"""Stolen keys in real processes: within seconds nobody speaks with them, and their work is done elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster, wait_for
from jobs import Gate, band, write_mandelbrot

from rjs.identity.keys import load_chain, spki_digest

pytestmark = pytest.mark.integration

SOON = 5.0
"""Seconds in which every connected server keeps to what was revoked."""


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        yield made


def soon(cluster: Cluster, since: float, done: Callable[[], object]) -> None:
    """It is so within SOON of ``since``."""
    wait_for(done, story=cluster.story)
    assert time.monotonic() - since <= SOON, f"after {time.monotonic() - since:.1f} s\n{cluster.story()}"


def number(cluster: Cluster, name: str) -> int:
    """The list that a server goes by, as its status says."""
    return int(cluster[name].document()["revocations"]["number"])


def test_a_stolen_compute_server(cluster: Cluster, tmp_path: Path) -> None:
    """Its sessions end and stay closed, its task is given to another, its late answer is refused, even brought by
    itself with a key that was never revoked by name; the job ends with one answer a task."""
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot", 2, gate)))
    gate.wait_for_arrivals(2)
    thief = cluster["cs2"]
    (task,) = (task for task, server in cluster.running(job).items() if server is thief)
    since = time.monotonic()
    cluster.rjs("ws", "revoke", cluster["ws"].folder, "cs2", "--reason", "its disk was stolen")
    soon(cluster, since, lambda: "cs2" not in {each["name"] for each in cluster["lus"].document()["servers"]})
    soon(cluster, since, lambda: thief.document()["lus"] is None)
    gate.open()
    answers = cluster.ada.answers(job, 2)
    for each, answer in answers.items():
        assert answer.files["out/band.ppm"] == band(each, 2)
        assert answer.receipt.cs_name == "cs1"
    shown = cluster.ada.wait_until(job, "done")
    assert shown["tasks"][task]["cs"] == "cs1"
    wait_for(lambda: thief.document()["answers_waiting"] == 1, story=cluster.story)
    assert "its disk was stolen" in cluster["lus"].log.read_text(), cluster["lus"].tail()
    assert "its disk was stolen" in thief.log.read_text(), "the reason reaches the other side"
    listed = json.loads(cluster.rjs("ws", "revoked", cluster["ws"].folder, "--json").stdout)
    assert [(each["what"], each["reason"]) for each in listed["entries"]] == [
        ("member", "its disk was stolen")
    ]
    assert cluster.reachable() == {"cs1"}
    cluster["lus"].kill()  # what the list says outlives every process
    cluster["ws"].kill()
    cluster["ws"].start()
    cluster["lus"].start()
    cluster.registered("cs1")
    assert cluster.reachable() == {"cs1"} and number(cluster, "ws") > listed["number"]


def test_a_revoked_signer_in_mid_job(cluster: Cluster, tmp_path: Path) -> None:
    """The job stops everywhere, and its submitter's status file says why; nothing of that signer starts again."""
    gate = Gate(tmp_path / "gate")
    bundle = cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot", 3, gate))
    job = cluster.ada.place(bundle)
    gate.wait_for_arrivals(2)
    (certificate, *_) = load_chain(cluster.ada.certificate)
    since = time.monotonic()
    cluster.rjs(
        "ws", "revoke", cluster["ws"].folder, "--signer", spki_digest(certificate), "--reason", "key lost"
    )
    soon(cluster, since, lambda: "signer revoked" in cluster.ada.told(bundle.name))
    soon(cluster, since, lambda: not cluster.running(job))
    cluster.quiet()
    told = cluster.ada.told(bundle.name)
    assert told.startswith("state: failed\n") and "key lost" in told, told
    assert len(gate.arrivals()) == 2
    again = cluster.ada.pack(write_mandelbrot(tmp_path / "again", 1))
    cluster.ada.drop(again, again.name)
    assert cluster.ada.refused(again.name).startswith("revoked: ")


def test_a_revoked_lookup_server(cluster: Cluster, tmp_path: Path) -> None:
    """Compute servers leave it for another, it holds nothing any more, and no task is lost or done twice."""
    gate = Gate(tmp_path / "gate")
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot", 2, gate)))
    gate.wait_for_arrivals(2)
    cluster._join("lus2").start()
    since = time.monotonic()
    cluster.rjs("ws", "revoke", cluster["ws"].folder, "lus", "--reason", "broken into")
    soon(cluster, since, lambda: "lus" not in cluster["ws"].document()["lus"])
    soon(cluster, since, lambda: "lus" not in {cluster[each].document()["lus"] for each in ("cs1", "cs2")})
    wait_for(
        lambda: {cluster[each].document()["lus"] for each in ("cs1", "cs2")} == {"lus2"}, story=cluster.story
    )
    gate.open()
    for task, answer in cluster.ada.answers(job, 2).items():
        assert answer.files["out/band.ppm"] == band(task, 2)
    cluster.ada.wait_until(job, "done")


def test_an_admin_revokes_from_anywhere(cluster: Cluster) -> None:
    """A person is turned away at once; a certificate alone can be revoked; nonsense is refused in words."""
    bob, root = cluster.add_user("bob"), cluster.folder / "admin"
    cluster.rjs("join", cluster.invitation("admin", "root"), home=root)
    for wrong, word in (
        ("nobody-here", "no-such-member"),
        ("ws/" + "0" * 32, "identity.name"),
        ("user/Bob", "name"),
    ):
        assert word in cluster.rjs("revoke", wrong, status=1, home=root).stderr
    assert "forbidden" in cluster.rjs("revoke", "cs1", status=1, home=bob.folder).stderr
    bob.rjs("status")
    cluster.rjs("revoke", "user/bob", "--reason", "left us", home=root)
    assert "left us" in bob.rjs("status", status=3).stderr
    serial = format(
        load_chain(next((cluster["cs2"].folder).glob("clusters/*/identity/token.pem")))[0].serial_number, "x"
    )
    since = time.monotonic()
    cluster.rjs("revoke", "--certificate", serial, home=root)
    soon(cluster, since, lambda: cluster["cs2"].document()["lus"] is None)
    assert cluster["cs1"].document()["lus"] is not None
    numbers = {name: number(cluster, name) for name in ("ws", "lus", "cs1")}
    assert len(set(numbers.values())) == 1, numbers
    cluster.people["bob2"] = cluster.people["bob"]
    anew = cluster.folder / "bob-anew"
    cluster.rjs("join", cluster.invitation("user", "bob"), home=anew)
    cluster.rjs("status", home=anew)


def test_a_web_server_from_a_backup(cluster: Cluster, tmp_path: Path) -> None:
    """Set back to a time before, it is told what it forgot, and nothing that was revoked counts meanwhile."""
    ws = cluster["ws"]
    (kept,) = ws.folder.glob("clusters/*/revocations")
    (own,) = ws.folder.glob("clusters/*/identity/authority/revocations")
    before = own.read_bytes()
    cluster.rjs("ws", "revoke", ws.folder, "cs2")
    wait_for(lambda: cluster.reachable() == {"cs1"}, story=cluster.story)
    known = number(cluster, "lus")
    ws.kill()
    for path in (kept, own):
        path.write_bytes(before)
    cluster["cs1"].stop()
    ws.start()
    wait_for(lambda: number(cluster, "ws") > known, story=cluster.story)
    assert "that was lost here" in ws.log.read_text()
    listed = json.loads(cluster.rjs("ws", "revoked", ws.folder, "--json").stdout)
    assert len(listed["entries"]) == 1
    cluster["cs1"].start()
    cluster.registered("cs1")
    wait_for(lambda: number(cluster, "cs1") == number(cluster, "ws"), story=cluster.story)
    assert cluster.reachable() == {"cs1"}


def test_orders_wait_for_a_web_server_that_does_not_run(cluster: Cluster) -> None:
    """What is revoked while it is down is revoked as it starts."""
    ws = cluster["ws"]
    ws.kill()
    done = cluster.rjs("ws", "revoke", ws.folder, "cs2")
    assert "as soon as the web server runs" in done.stderr
    ws.start()
    wait_for(lambda: cluster.reachable() == {"cs1"}, story=cluster.story)
