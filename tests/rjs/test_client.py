"""A person's conversation with the web server, over loopback: which address answers, and why the others do not."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import socket
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from rjs.client import digest_of, once_heard, renew_alone, with_own_ws, with_ws
from rjs.errors import RefusedError, UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.names import Role
from rjs.identity.requests import read_request
from rjs.identity.testing import Organisation
from rjs.identity.tls import server_context
from rjs.person_door import PersonDoor
from rjs.wire import messages as m
from rjs.wire.blobs import read_blob
from rjs.wire.dial import Acceptor, OwnCertificateError
from rjs.wire.session import Session, SessionLostError
from rjs.wire.testing import Member


class WebServers:
    """Web servers of one organisation on loopback, and a person who asks them."""

    def __init__(self, reactor: ReactorBase) -> None:
        self.reactor = reactor
        self.organisation = Organisation(dt.datetime.now(dt.UTC))
        self.acceptors: list[Acceptor] = []
        self.ada = self.organisation.member(Role.USER)

    def serve(self, member: Member) -> str:
        """The address of a web server that is ``member``."""
        context = server_context(member.identity, Role)
        self.acceptors.append(Acceptor(self.reactor, member.hello, member.door, context, 10))
        return f"127.0.0.1:{self.acceptors[-1].listen(0, '127.0.0.1')}"

    def web_server(self, role: Role = Role.WS) -> Member:
        member = Member.of(self.organisation, self.organisation.member(role))
        member.door.routes = {
            m.JobList: lambda *_: m.JobLines(jobs=()),
            m.JobCancel: self._refuse,
            m.JobShow: lambda session, _: session.abort("killed"),
        }
        return member

    def ask(
        self,
        addresses: list[str],
        question: m.Message,
        who: Identity | None = None,
        door: PersonDoor | None = None,
    ) -> Any:
        """The reply, or the error."""
        hello = Member.of(self.organisation, self.ada).hello

        async def work(session: Session) -> m.Message:
            return await session.request(question, m.JobLines)

        return self.outcome(
            with_ws(self.reactor, who or self.ada, hello.name, hello.cluster, addresses, work, door)
        )

    def outcome(self, work: Coroutine[Deferred[Any], Any, Any]) -> Any:
        got: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(got.append)
        for _ in range(500):
            if got:
                return getattr(got[0], "value", got[0])
            self.reactor.iterate(0.02)
        raise AssertionError("it hangs")

    @staticmethod
    def _refuse(session: Session, message: m.JobCancel) -> None:
        raise RefusedError("no-such-job", "you have no such job")


@pytest.fixture
def servers() -> Iterator[WebServers]:
    """No server yet; all are closed at the end."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    found = WebServers(reactor)
    yield found
    for acceptor in found.acceptors:
        found.outcome(acceptor.close("the test ends"))


def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{unused.getsockname()[1]}"


def test_the_second_address_answers(servers: WebServers) -> None:
    """When the first address does not answer the second one is asked, and the session is closed afterwards."""
    member = servers.web_server()
    reply = servers.ask([nobody(), servers.serve(member)], m.JobList())
    assert reply == m.JobLines(jobs=(), re=reply.re)
    for _ in range(10):
        servers.reactor.iterate(0.02)
    assert member.door.milestones[-1] == "closed done: the command is done"


def test_every_fault_is_explained(servers: WebServers) -> None:
    """When no address serves us, the error names each with its own fault."""
    stranger = Member.of(servers.organisation, servers.organisation.member(Role.WS))
    stranger.identity = Organisation(servers.organisation.now).member(Role.WS)
    addresses = [nobody(), servers.serve(servers.web_server(Role.LUS)), servers.serve(stranger)]
    error = servers.ask(addresses, m.JobList())
    assert isinstance(error, UnreachableError)
    told = str(error)
    assert told.startswith(f"cannot reach the web server; nobody listens at {addresses[0]}; is ")
    assert f"{addresses[1]}: identity.role: rjs://lus/" in told
    assert f"{addresses[2]}: identity.other_root: " in told


def test_a_refusal_is_the_answer(servers: WebServers) -> None:
    """A web server that says no has answered: no other is asked."""
    first, second = servers.web_server(), servers.web_server()
    error = servers.ask([servers.serve(first), servers.serve(second)], m.JobCancel(job="ab"))
    assert isinstance(error, RefusedError) and error.code == "no-such-job"
    assert second.door.events == []


def test_a_server_that_dies_in_mid_question(servers: WebServers) -> None:
    """Whether the question was carried out is not known, so it is not asked again elsewhere."""
    first, second = servers.web_server(), servers.web_server()
    error = servers.ask([servers.serve(first), servers.serve(second)], m.JobShow(job="ab"))
    assert isinstance(error, SessionLostError)
    assert second.door.events == []


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (SessionLostError("superseded: a newer session of this LUS is open"), 26),
        (UnreachableError("cannot reach the web server; superseded: a newer session of this LUS is open"), 26),
        (UnreachableError("nobody listens"), 1), (RefusedError("revoked", "no"), 1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fails", [3, 1000])
def test_a_killed_process_is_waited_for(error: Exception, tries: int, fails: int) -> None:
    """While its session keeps ours out the work is begun again, for a bounded time, and that is told once."""
    clock, begun, told, got = Clock(), list[float](), list[str](), list[Any]()

    async def work() -> str:
        begun.append(clock.seconds())
        if len(begun) <= fails:
            raise error
        return "renewed"

    Deferred.fromCoroutine(once_heard(clock, work, told.append)).addBoth(got.append)
    clock.pump([1.0] * 100)
    if fails < tries:
        assert got == ["renewed"] and len(begun) == fails + 1
    else:
        assert got[0].value is error and len(begun) == tries
    assert len(told) == (tries > 1) and clock.getDelayedCalls() == []


def test_our_own_expired_certificate_is_told_once(servers: WebServers) -> None:
    """No address is tried with a certificate that every door would refuse."""
    old = servers.organisation.member(Role.USER, now=servers.organisation.now - dt.timedelta(days=3))
    error = servers.ask([nobody(), nobody()], m.JobList(), who=old)
    assert isinstance(error, OwnCertificateError)
    assert str(error).startswith("our own certificate, rjs://user/ada, expired at ")


@pytest.mark.parametrize(
    ("kind", "key", "given"), [("upload", "", True), ("bundle", "", False), ("upload", "0", False)]
)
def test_a_person_gives_what_was_offered_and_nothing_else(
    servers: WebServers, tmp_path: Path, kind: str, key: str, given: bool
) -> None:
    """The web server can read the bundle that was offered, by its digest, and no other file; who offered it hears."""
    bundle = tmp_path / "x.jar"
    bundle.write_bytes(b"PK" * 1000)
    sha256, size = digest_of(bundle)
    assert (sha256, size) == (hashlib.sha256(b"PK" * 1000).hexdigest(), 2000)
    member, got = servers.web_server(), io.BytesIO()

    async def pull(session: Session, message: m.JobList) -> m.JobLines:
        await read_blob(session, kind, key or sha256, size, sha256, got.write)
        return m.JobLines(jobs=())

    member.door.routes = {m.JobList: pull}
    told: list[int] = []
    reply = servers.ask([servers.serve(member)], m.JobList(), door=PersonDoor(bundle, sha256, told.append))
    assert (got.getvalue() == b"PK" * 1000) == given
    assert told[-1:] == ([2000] if given else [])
    assert isinstance(reply, m.JobLines) if given else reply.code == "no-blob"


def test_a_certificate_beyond_the_grace_is_shown_to_nobody(tmp_path: Path) -> None:
    """Its holder is told what to do before anybody is dialled."""
    organisation = Organisation(dt.datetime.now(dt.UTC) - dt.timedelta(days=33))
    invitation = organisation.invitation(Role.USER)
    folder = IdentityFolder(tmp_path / "identity")
    request = folder.create_pending(invitation, organisation.now)
    key, _ = read_request(request.token_request)
    chain = organisation.tokens.issue(key, invitation.subject, "ada", organisation.now)
    folder.complete(invitation, chain, organisation.now)
    outcome: list[Any] = []
    nobody = cast(ReactorBase, None)
    for work in (renew_alone(nobody, folder), with_own_ws(nobody, folder, lambda session: session.gone())):
        Deferred.fromCoroutine(work).addBoth(outcome.append)
    for each in outcome:
        assert each.value.code == "identity.beyond_grace" and "rjs join INVITATION" in each.value.sentence
