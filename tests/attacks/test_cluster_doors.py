"""Callers who have no business at a door of a running cluster: refused by name, and nothing happens."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from cluster import LOOPBACK, PATIENCE, Cluster, running_cluster, wait_for
from cryptography import x509
from jobs import write_job

from rjs.attempts import Fence
from rjs.bundle.testing import make_party
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import load_chain, save_chain, save_private
from rjs.identity.names import RjsName, Role
from rjs.identity.testing import Organisation
from rjs.needs import Needs
from rjs.wire import messages as m

pytestmark = pytest.mark.integration

CALLER = Path(__file__).with_name("cluster_caller.py")
LEASES = m.TaskWant(outstanding=8, epoch=1)
FENCE = Fence(1, 1, 1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with a job that waits: a stolen lease would show."""
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"]) as made:
        folder = write_job(tmp_path_factory.mktemp("jobs") / "waits", "print(1)", memory="1000 GiB")
        job = made.ada.place(made.ada.pack(folder))
        yield made
        shown = made.ada.status(job)
        assert (shown["job"]["state"], shown["tasks"][0]["state"]) == ("waiting", "open")


@attrs.define
class Stranger:
    """One who calls at the doors of a cluster."""

    cluster: Cluster
    folder: Path
    _before: dict[str, int] = attrs.field(init=False)

    @_before.default
    def _logs_now(self) -> dict[str, int]:
        return {name: server.log.stat().st_size for name, server in self.cluster.servers.items()}

    def calls(self, door: str, identity: Identity, name: str, message: m.Message) -> str:
        """The last word on a call at the door of server ``door`` by one who says to be ``name``."""
        save_private(self.folder / "caller.key", identity.key)
        save_chain(self.folder / "caller.pem", identity.chain)
        where = [self.cluster[door].role, LOOPBACK, str(port_of(self.cluster, door))]
        argv = [sys.executable, "-P", str(CALLER), str(self.folder), name, *where, m.encode(message).hex()]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def leaves(self, door: str, *words: str) -> None:
        """Waits until the door's log has a new line with all these words."""
        server = self.cluster[door]

        def told() -> bool:
            lines = server.log.read_bytes()[self._before[door] :].decode(errors="replace").splitlines()
            return any(all(word in line for word in words) for line in lines)

        wait_for(told, story=server.tail)


@pytest.fixture
def stranger(cluster: Cluster, tmp_path: Path) -> Stranger:
    return Stranger(cluster, tmp_path)


def port_of(cluster: Cluster, name: str) -> int:
    """Where a server listens."""
    port: int = cluster[name].document()["port"]
    return port


def member(cluster: Cluster, name: str) -> tuple[Identity, str]:
    """The token certificate of a server or person of the cluster: a machine that was broken into."""
    holder = cluster.servers.get(name) or cluster.people[name]
    folder = IdentityFolder(next(holder.folder.glob("clusters/*/identity")))
    return folder.token(), folder.member().name.uri()


# --- members at the wrong door ----------------------------------------------------------------------------


def test_a_compute_server_asks_the_ws_for_a_lease(cluster: Cluster, stranger: Stranger) -> None:
    """A CS's certificate opens no session with the WS: refused by its name, on both sides."""
    identity, name = member(cluster, "cs1")
    said = stranger.calls("ws", identity, name, LEASES)
    assert said.startswith(f"wrong-role: {name} is not served at this door; it serves: ")
    stranger.leaves("ws", f"refused {name} at the door", "wrong-role")


def test_a_person_asks_the_ws_for_a_lease(cluster: Cluster, stranger: Stranger) -> None:
    """A user's session is for a user's calls."""
    identity, name = member(cluster, "ada")
    said = stranger.calls("ws", identity, name, LEASES)
    assert said == f"forbidden: {name} may not call lus.task.want; lus may"
    stranger.leaves("ws", f"{name} lus.task.want refused", "forbidden")


@pytest.mark.parametrize("who", ["ada", "cs1"])
def test_only_a_lookup_server_gives_tasks_to_a_compute_server(
    cluster: Cluster, stranger: Stranger, who: str
) -> None:
    """Neither a person nor another CS is served at a CS's door."""
    identity, name = member(cluster, who)
    brief = m.JobBrief(
        job="0" * 64, name="x", signer="0" * 64, tasks=1, size=1, sha256="0" * 64, needs=Needs()
    )
    said = stranger.calls("cs1", identity, name, m.TaskStart(job=brief, task=0, fence=FENCE))
    assert said.startswith(f"wrong-role: {name} is not served at this door; it serves: lus")
    stranger.leaves("cs1", f"refused {name} at the door", "wrong-role")


def test_a_lookup_server_cannot_submit(cluster: Cluster, stranger: Stranger) -> None:
    """A LUS that was broken into makes no jobs."""
    identity, name = member(cluster, "lus")
    cluster["lus"].stop()
    offer = m.JobSubmit(name="x.jar", size=1, sha256="0" * 64)
    said = stranger.calls("ws", identity, name, offer)
    cluster["lus"].start()
    assert said.startswith(f"forbidden: {name} may not call job.submit; ")


def test_somebody_else_s_name(cluster: Cluster, stranger: Stranger) -> None:
    """The hello may not claim a name that the certificate does not have."""
    identity, name = member(cluster, "ada")
    claimed = RjsName(Role.ADMIN, "root").uri()
    said = stranger.calls("ws", identity, claimed, LEASES)
    assert said == f"wrong-name: the hello says {claimed}, the certificate {name}"


# --- certificates that nobody issued ------------------------------------------------------------------------


def of_another_organisation(root: x509.Certificate) -> Identity:
    """A perfect LUS certificate of an organisation that somebody founded this minute."""
    other = Organisation(datetime.now(UTC)).member(Role.LUS)
    return Identity(other.key, (*other.chain[:-1], root))


def signed_by_itself(root: x509.Certificate) -> Identity:
    """A LUS certificate that nobody issued."""
    uri = x509.UniformResourceIdentifier(RjsName(Role.LUS, uuid.uuid4().hex).uri())
    now = datetime.now(UTC)
    period = (now - timedelta(hours=1), now + timedelta(hours=1))
    made = make_party("lus", replaced=[(x509.SubjectAlternativeName([uri]), False)], period=period)
    return Identity(made.key, (made.certificate, root))


@pytest.mark.parametrize("door", ["ws", "cs1"])
@pytest.mark.parametrize("make", [of_another_organisation, signed_by_itself])
def test_a_self_made_certificate(
    cluster: Cluster, stranger: Stranger, door: str, make: Callable[[x509.Certificate], Identity]
) -> None:
    """A stranger who believes our servers is not believed by them: refused in the handshake, and told in the log."""
    identity = make(load_chain(cluster.root)[-1])
    said = stranger.calls(door, identity, RjsName(Role.LUS, uuid.uuid4().hex).uri(), LEASES)
    assert said.startswith("identity.refused_by_peer: the peer refused our certificate"), said
    stranger.leaves(door, "became no session", "other_root")


@pytest.mark.parametrize("door", ["ws", "cs1"])
def test_no_certificate(cluster: Cluster, stranger: Stranger, door: str) -> None:
    """TLS without a certificate of one's own gets nowhere."""
    context = ssl.create_default_context(cafile=str(cluster.root))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    address = (LOOPBACK, port_of(cluster, door))
    with (
        socket.create_connection(address, PATIENCE) as plain,
        context.wrap_socket(plain) as connection,
        pytest.raises((ssl.SSLError, ConnectionError), match=r"certificate required|reset"),
    ):
        while connection.recv(1024):
            pass
    stranger.leaves(door, "became no session", "no_certificate")


@pytest.mark.parametrize("door", ["ws", "cs1"])
def test_noise(cluster: Cluster, door: str) -> None:
    """Bytes that are no TLS end the connection, and the server serves on."""
    for noise in (b"GET / HTTP/1.0\r\n\r\n", os.urandom(5000)):
        with socket.create_connection((LOOPBACK, port_of(cluster, door)), PATIENCE) as connection:
            connection.sendall(noise)
            assert until_closed(connection) < 1000
    assert cluster[door].serves()


def until_closed(connection: socket.socket) -> int:
    """How many bytes came before the server closed."""
    count = 0
    try:
        while data := connection.recv(1024):
            count += len(data)
    except ConnectionError:
        pass
    return count
