"""A lookup server in a network from which only an HTTP proxy leads to the web server. Five hosts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster, wait_for
from jobs import band, write_mandelbrot
from netns import Lan

pytestmark = pytest.mark.integration

PORT, WHO = 3128, "lus:s3cret"
SCRIPT = Path(__file__).with_name("http_proxy.py")


class HttpProxy:
    """The proxy on its host, and what it was asked for."""

    def __init__(self, lan: Lan, log: Path) -> None:
        self._lan = lan
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it listens."""
        self._log.write_text("")
        argv: list[str | Path] = [sys.executable, SCRIPT, self._lan.address("proxy"), str(PORT), WHO]
        with self._log.open("ab") as log:
            self._process = self._lan.popen("proxy", argv, stdout=log)
        wait_for(lambda: "ready" in self._log.read_text())

    def kill(self) -> None:
        """Nobody gets through any more."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def asked(self) -> list[str]:
        """``STATUS TARGET`` of every request since it was started."""
        return self._log.read_text().splitlines()[1:]

    def url(self, who: str = WHO) -> str:
        """What the setting says."""
        return f"http://{who}@{self._lan.address('proxy')}:{PORT}"


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    """The WS's host drops whatever comes from the LUS's."""
    with Lan(["ws", "lus", "lus2", "cs1", "proxy"]) as made:
        for host in ("lus", "lus2"):
            made.run("ws", ["iptables", "-A", "INPUT", "-s", made.address(host), "-j", "DROP"], check=True)
        yield made


@pytest.fixture(scope="module")
def proxy(lan: Lan, tmp_path_factory: pytest.TempPathFactory) -> HttpProxy:
    made = HttpProxy(lan, tmp_path_factory.mktemp("proxy") / "asked")
    made.start()
    return made


@pytest.fixture(scope="module")
def cluster(lan: Lan, proxy: HttpProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The LUS joined through the proxy, as its setting says."""
    settings = [f"proxy={proxy.url()}"]
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"], lan, lus_settings=settings) as made:
        yield made


def test_a_lookup_server_lives_behind_a_proxy(cluster: Cluster, proxy: HttpProxy, tmp_path: Path) -> None:
    """It joins, serves and renews through it; a job's bundle and answers go that way."""
    assert len(proxy.asked()) >= 2, "to join, and for good"
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "picture", tasks=2)))
    answers = cluster.ada.answers(job, tasks=2)
    assert [answers[task].files["out/band.ppm"] for task in range(2)] == [band(0, 2), band(1, 2)]
    lus = cluster["lus"]
    lus.stop()
    before = len(proxy.asked())
    cluster.rjs("cert", "renew", lus.folder, host="lus")
    assert len(proxy.asked()) > before
    lus.start()
    cluster.registered()
    assert set(proxy.asked()) == {f"200 {cluster.address}"}


def test_a_proxy_that_dies_and_comes_back(cluster: Cluster, proxy: HttpProxy, tmp_path: Path) -> None:
    """The LUS says what is wrong, and goes on by itself as soon as there is a proxy again."""
    proxy.kill()
    told = cluster["lus"].document
    wait_for(lambda: not told()["ws"]["connected"], story=cluster.story)
    wait_for(lambda: "proxy" in told()["ws"]["trouble"], story=cluster.story)
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "later", tasks=1)))
    proxy.start()
    assert cluster.ada.answers(job, tasks=1)[0].files["out/band.ppm"] == band(0, 1)


def test_a_proxy_that_wants_another_password(cluster: Cluster, proxy: HttpProxy) -> None:
    """``rjs join`` ends with what the proxy said and what would help, and shows no password."""
    invitation, folder = cluster.invitation("lus", "lus2"), cluster.folder / "lus2"
    wrong = f"proxy={proxy.url('lus:wr0ng')}"
    done = cluster.rjs(
        "join", invitation, folder, "--wait", "0", "--set", wrong, "--set", 'interfaces=["127.0.0.1"]',
        status=3, host="lus2",
    )  # fmt: skip
    assert "407" in done.stderr and "wants a user and password" in done.stderr
    assert "wr0ng" not in done.stderr
