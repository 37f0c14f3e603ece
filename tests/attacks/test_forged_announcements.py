"""A stranger on the LAN announces thousands of servers that do not exist, in the name of our cluster."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
from discovery_hosts import Hosts, started
from netns import Lan

from rjs import limits

FORGED = 10_000

FLOOD = """
import asyncio, secrets, sys
from zeroconf import ServiceInfo, Zeroconf

async def flood(zeroconf, cluster, count):
    for number in range(count):
        server = secrets.token_hex(16)
        text = {"id": server, "boot": secrets.token_hex(16), "cluster": cluster, "v": "1"}
        info = ServiceInfo(
            "_rjs-cs._tcp.local.", f"{server}._rjs-cs._tcp.local.", 9002, properties=text,
            server=f"{server}.local.", parsed_addresses=[f"10.77.0.{number % 200 + 9}"],
        )
        zeroconf.async_send(zeroconf.generate_service_broadcast(info, None))

zeroconf = Zeroconf()
asyncio.run_coroutine_threadsafe(flood(zeroconf, sys.argv[1], int(sys.argv[2])), zeroconf.loop).result()
zeroconf.close()
"""


@pytest.mark.integration
def test_forged_announcements_hide_nobody() -> None:
    """A real server is still found within a few renewals, and the browser has not grown."""
    with Lan(["lus", "cs", "stranger"]) as lan:
        hosts = Hosts(lan)
        lus = hosts.browse("lus")
        started(lus.process)
        before = psutil.Process(lus.process.pid).memory_info().rss
        flood = [sys.executable, "-c", FLOOD, hosts.cluster, str(FORGED)]
        assert lan.run("stranger", flood, stderr=subprocess.DEVNULL).returncode == 0
        hosts.announce("cs", "1")
        lus.addresses("1", within=6 * limits.DISCOVERY_RENEWAL)
        assert lus.servers > 100, "the forged ones never arrived: this test shows nothing"
        assert psutil.Process(lus.process.pid).memory_info().rss - before < 32 * limits.MIB
