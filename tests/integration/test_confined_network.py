"""A real compute server's confined jobs reach what was asked for and granted, and nothing else."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import Cluster, running_cluster
from jobs import write_job

pytestmark = pytest.mark.integration

SCRIPT = """
import http.client, json, os, pathlib, socket, sys, urllib.error, urllib.request

def fetched(url):
    try:
        return len(urllib.request.urlopen(url, timeout=20).read())
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        return str(error)

def direct(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError as error:
        return error.strerror
    return "reached"

granted, other = sys.argv[1:]
told = {
    "granted": fetched(f"http://{granted}/small"),
    "other": fetched(f"http://{other}/small"),
    "named": fetched("http://localhost.example:80/"),
    "direct": direct(int(other.rpartition(":")[2])),
    "large": fetched(f"http://{granted}/large"),
    "after": fetched(f"http://{granted}/small"),
}
pathlib.Path(os.environ["RJS_OUTPUT"], "told.json").write_text(json.dumps(told))
"""


class Served(http.server.BaseHTTPRequestHandler):
    """Some bytes, or more than a task may carry."""

    def do_GET(self) -> None:
        size = 3 << 20 if self.path == "/large" else 1000
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(bytes(size))

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


class Quiet(http.server.ThreadingHTTPServer):
    """Does not mind that the compute server hangs up."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """It is what is tested."""


@pytest.fixture(scope="module")
def places() -> Iterator[list[str]]:
    """Two servers on this machine's own loopback."""
    servers = [Quiet(("127.0.0.1", 0), Served) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [f"127.0.0.1:{server.server_address[1]}" for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), [], confined=True) as made:
        made.add_cs("cs1", made.ada, settings=["network=2"])
        made.registered("cs1")
        yield made


def test_tasks_reach_what_was_granted(cluster: Cluster, places: list[str], tmp_path: Path) -> None:
    """One after the other in one cell, each with bytes of its own; no other port of the same machine, no other name,
    and nothing without the proxy."""
    granted, other = places
    folder = write_job(tmp_path / "fetch", SCRIPT, tasks=3, args=[granted, other])
    with (folder / "job.toml").open("a") as descriptor:
        descriptor.write(f"[permissions]\nnetwork = {json.dumps([granted])}\n")
    cluster.rjs("trust", "add", cluster.ada.certificate, "--network", granted, "--cs", cluster["cs1"].folder)
    job = cluster.ada.place(cluster.ada.pack(folder))
    for answered in cluster.ada.answers(job, 3).values():
        told = json.loads(answered.files["out/told.json"])
        assert told["granted"] == 1000
        assert told["other"].startswith(f"403 {other} is no place that this job asked for")
        assert told["named"].startswith("403 localhost.example:80 is no place")
        assert told["direct"] == "Connection refused"
        assert isinstance(told["large"], str)  # cut off in the middle
        assert told["after"].startswith("403 this task has sent and received what it may, 2 MiB")
    cluster.quiet()
    carried = cluster["cs1"].document()["network"]
    assert carried["used"] == carried["most"] == 2 << 20
    assert set(carried["places"]) == {granted}
    shown = cluster.rjs("cs", "status", cluster["cs1"].folder).stdout
    assert f"2 MiB of 2 MiB; {granted} (" in shown
    assert f"reached {granted}: " in cluster["cs1"].tail()
