"""Independent witnesses: avahi, which is nobody's of ours, sees and resolves what we announce, and what it announces
harms nothing."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from discovery_hosts import CLUSTER, CS, Hosts, started
from netns import Lan

pytestmark = pytest.mark.integration

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""

DAEMON = """[server]
host-name=witness
use-ipv4=yes
use-ipv6=yes
[wide-area]
enable-wide-area=no
[publish]
publish-workstation=no
"""

AVAHI = ["avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits"]


class Witness:
    """avahi with a bus of its own, on one host of a LAN. Its /run is private: it meets no other avahi's."""

    def __init__(self, lan: Lan, host: str, folder: Path) -> None:
        self._lan, self._host = lan, host
        self._env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={folder}/bus"}
        (folder / "bus.conf").write_text(BUS.format(socket=folder / "bus"))
        (folder / "avahi.conf").write_text(DAEMON)
        self.popen(["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork"])
        self._until(lambda: (folder / "bus").exists())
        private_run = f'mount -t tmpfs none /run && mkdir /run/avahi-daemon && exec {" ".join(AVAHI)} -f "$0"'
        self.popen(["unshare", "--mount", "sh", "-c", private_run, folder / "avahi.conf"])
        self._until(lambda: self.run(["avahi-browse", "--all", "--terminate"]).returncode == 0)

    def popen(self, argv: list[str | Path], **options: Any) -> subprocess.Popen[Any]:
        """Start a program beside it."""
        return self._lan.popen(self._host, argv, env=self._env, **options)

    def run(self, argv: list[str | Path]) -> subprocess.CompletedProcess[str]:
        """Run one to its end."""
        return self._lan.run(
            self._host, argv, env=self._env, capture_output=True, text=True, timeout=20, check=False
        )

    def resolved(self, service: str) -> list[list[str]]:
        """What ``avahi-browse`` resolves of a service now, a list of fields a line."""
        done = self.run(["avahi-browse", "--resolve", "--parsable", "--terminate", service])
        return [line.split(";") for line in done.stdout.splitlines() if line.startswith("=")]

    def publish(self, name: str, *text: str, port: int = 9, service: str = "_rjs-cs._tcp") -> None:
        """Announce something until the end; returns when avahi says that it is."""
        process = self.popen(
            ["avahi-publish-service", name, service, str(port), *text], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert "Established under name" in process.stderr.readline()

    def _until(self, ask: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not ask():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    with Lan(["lus", "cs1", "witness"]) as made:
        yield made


@pytest.fixture(scope="module")
def witness(lan: Lan, tmp_path_factory: pytest.TempPathFactory) -> Witness:
    return Witness(lan, "witness", tmp_path_factory.mktemp("avahi"))


def test_avahi_resolves_ours(lan: Lan, witness: Witness) -> None:
    """Name, host, address, port and text of our announcement are what avahi's own browser finds."""
    server = Hosts(lan).announce("cs1", "1")
    started(server)
    deadline = time.monotonic() + 15
    while not (found := [line for line in witness.resolved("_rjs-cs._tcp") if line[2] == "IPv4"]):
        assert time.monotonic() < deadline
    (_, _, _, name, kind, domain, host, address, port, text), *_ = found
    assert (name, kind, domain) == (CS, "_rjs-cs._tcp", "local")
    assert (host, address, port) == (f"{CS}.local", lan.address("cs1"), "9002")
    assert set(text.split()) == {f'"id={CS}"', f'"boot={"1" * 32}"', f'"cluster={CLUSTER}"', '"v=1"'}
    server.kill()


def test_garbage_harms_nothing(lan: Lan, witness: Witness) -> None:
    """Announcements of our service with odd names and texts are seen by nobody, and ours is seen beside them."""
    good = [f"id={CS}", f"boot={'1' * 32}", f"cluster={CLUSTER}", "v=1"]
    witness.publish("A printer; with a name…", "rp=queue")
    witness.publish("6" * 32)
    witness.publish("7" * 32, *good)  # somebody else's id
    witness.publish(
        "8" * 32, "id=" + "8" * 32, *good[1:], "pad=" + "x" * 200, "pad2=" + "y" * 200, "pad3=" + "z" * 99
    )
    witness.publish("9" * 32, "id=" + "9" * 32, good[1], f"cluster={'d' * 16}", "v=1")
    witness.publish("a" * 32, "id=" + "a" * 32, *good[1:3], "v=banana")
    witness.publish("b" * 32, "id=" + "b" * 32, "boot=../../etc", *good[2:])
    witness.publish("c" * 32, "id=" + "c" * 32, *good[1:], "lus=nobody")
    hosts = Hosts(lan)
    lus = hosts.browse("lus")
    lus.nothing(seconds=3)
    hosts.announce("cs1", "2")
    assert lan.address("cs1") in lus.addresses("2", within=10)
    assert lus.servers == 1
