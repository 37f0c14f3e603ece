"""A LAN on which the lookup server alone reaches the web server: joining, computing, renewing, revoking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, Server, wait_for
from jobs import band, write_mandelbrot
from netns import Lan

pytestmark = pytest.mark.integration

HOSTS = ["ws", "lus", "cs1", "desk"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A web server that drops what comes from ``cs1`` and ``desk``, and a lookup server between them."""
    with Lan(HOSTS) as lan:
        made = Cluster(tmp_path_factory.mktemp("c"), lan)
        try:
            made.found()
            made.add_lus()
            made.add_user("ada")
            for host in ("cs1", "desk"):
                refuse = ["ip", "route", "add", "prohibit", f"{lan.address('ws')}/32"]
                lan.run(host, refuse, check=True)
            yield made
            made.stop()
            made.check_the_end()
        finally:
            made.kill_the_rest()


def invited(cluster: Cluster, role: str, name: str, *options: str) -> str:
    """A new invitation."""
    where = ["--ws", cluster.address, *options, "--role", role, "--name", name]
    return cluster.rjs("ca", "invite", cluster.folder / "ca", *where).stdout.strip()


def lookup_server(cluster: Cluster) -> str:
    """Where the lookup server listens."""
    assert cluster.lan is not None
    return f"{cluster.lan.address('lus')}:{cluster['lus'].document()['port']}"


def test_a_compute_server_lives_behind_a_lookup_server(cluster: Cluster, tmp_path: Path) -> None:
    """It joins by the one that announces itself, computes, renews itself while it is stopped, and is turned out when
    it is revoked, though it never reaches the web server."""
    server = cluster.servers["cs1"] = Server(cluster, "cs1")
    settings = ["--set", "port=0", "--set", "unconfined=i accept"]
    joined = cluster.rjs("join", invited(cluster, "cs", "cs1"), server.folder, *settings, host="cs1")
    assert f"joined by way of the lookup server at {lookup_server(cluster)}" in joined.stderr
    assert "for lookup servers of this LAN" in joined.stderr
    cluster.trust("cs1", cluster.ada)
    renewed = json.loads(cluster.rjs("cert", "renew", server.folder, "--json", host="cs1").stdout)
    server.start()
    cluster.registered("cs1")
    assert server.document()["certificate"]["until"] == renewed["until"]
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "picture", 2)))
    answers = cluster.ada.answers(job, 2)
    assert [answers[task].files["out/band.ppm"] for task in range(2)] == [band(0, 2), band(1, 2)]
    wait_for(lambda: not server.document()["revocations"]["stale"], story=cluster.story)

    before = server.document()["revocations"]["number"]
    cluster.rjs("ws", "revoke", cluster["ws"].folder, "cs1", "--reason", "stolen")
    wait_for(lambda: server.document()["revocations"]["number"] > before, story=cluster.story)
    wait_for(lambda: server.document()["lus"] is None, story=cluster.story)
    cluster.ada.rjs("status")  # fetches the list
    told = cluster.ada.rjs("verify", cluster.ada.delivered(job)[0], "--answer", status=1).stderr
    assert told.startswith("refused: revoked: ") and "(stolen)" in told
    refused = cluster.rjs("join", invited(cluster, "cs", "cs1"), server.folder, host="cs1", status=1)
    assert "identity.already_joined" in refused.stderr


def test_a_person_joins_and_renews_behind_a_lookup_server(cluster: Cluster) -> None:
    """By the address in the invitation, which the person's folder keeps."""
    address = lookup_server(cluster)
    home = cluster.folder / "person-eve"
    joined = cluster.rjs("join", invited(cluster, "user", "eve", "--lus", address), host="desk", home=home)
    assert f"joined by way of the lookup server at {address}" in joined.stderr
    (member,) = home.glob("clusters/*/identity/member.json")
    assert json.loads(member.read_text())["lus"] == [address]
    assert cluster.rjs("cert", "renew", host="desk", home=home).stderr.startswith(
        "renewed: rjs://user/eve until"
    )
    told = cluster.rjs("status", host="desk", home=home, status=3).stderr
    assert "cannot reach the web server" in told


def test_an_invitation_is_used_once_whichever_way(cluster: Cluster) -> None:
    """What was used through a lookup server is used at the web server too."""
    invitation = invited(cluster, "user", "mallory", "--lus", lookup_server(cluster))
    cluster.rjs("join", invitation, host="desk", home=cluster.folder / "first")
    refused = cluster.rjs("join", invitation, host="ws", home=cluster.folder / "second", status=1)
    assert refused.stderr.startswith("refused: invitation-used:")


def test_nobody_in_reach(cluster: Cluster) -> None:
    """What each way said is told, and what to do."""
    assert cluster.lan is not None
    nowhere = f"{cluster.lan.address('desk')}:1"
    invitation = invited(cluster, "user", "frank", "--lus", nowhere)
    cluster["lus"].stop()
    told = cluster.rjs(
        "join", invitation, "--wait", "0", host="desk", home=cluster.folder / "frank", status=3
    ).stderr
    cluster["lus"].start()
    for part in (cluster.address, f"nobody listens at {nowhere}", "no lookup server", "--lus HOST:PORT"):
        assert part in told
