"""A whole organisation in memory, and handshakes over loopback: for tests of everything that needs members, and of
what must refuse strangers.

``Organisation`` issues with the code of the operator's folder and of the web server; only ``forge`` makes what they
would not. Nothing is written and no clock is read. ``meet`` lets two ends shake hands over real sockets.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from rjs.attempts import AttemptId
from rjs.errors import RefusedError
from rjs.identity.authority import EnrolmentAuthority, TokenAuthority
from rjs.identity.certificates import Identity, Issuer, Subject, mint, self_signed_root, sign_certificate
from rjs.identity.invitation import Invitation
from rjs.identity.job_tokens import job_name
from rjs.identity.keys import new_key
from rjs.identity.names import SERVERS, RjsName, Role, reader_uri, signer_uri
from rjs.identity.peers import PeerIdentity
from rjs.identity.profiles import PROFILES, Kind
from rjs.identity.tls import peer_identity, refusal
from rjs.limits import (
    ACCEPTANCE_LIFETIME,
    CLOCK_SKEW,
    ENCRYPTION_LIFETIME,
    ENROLMENT_CA_LIFETIME,
    RECORD_LIFETIME,
    ROOT_LIFETIME,
    SIGNING_LIFETIME,
    TOKEN_INTERMEDIATE_LIFETIME,
)

WS_ADDRESS = "127.0.0.1:9000"

_TURNS = 500
_TURN = 0.02  # seconds; with _TURNS, what ``meet`` allows for a handshake on a busy machine


class Organisation:
    """One organisation, founded at ``now``, with its root, enrolment CA and token intermediate."""

    def __init__(self, now: dt.datetime, name: str = "Institute of Tests") -> None:
        self.now = now
        key = new_key()
        self.root = self_signed_root(key, name, ROOT_LIFETIME, now)
        self.root_issuer = Issuer(key, self.root)
        self.enrolment = self._authority(Kind.ENROLMENT_CA, ENROLMENT_CA_LIFETIME)
        self.intermediate = self._authority(Kind.TOKEN_INTERMEDIATE, TOKEN_INTERMEDIATE_LIFETIME)
        self.record = self._authority(Kind.RECORD, RECORD_LIFETIME)
        self.acceptance = self._authority(Kind.ACCEPTANCE, ACCEPTANCE_LIFETIME)
        self.tokens = TokenAuthority(self.intermediate.key, self.intermediate.chain)
        self.inviter = EnrolmentAuthority(self.enrolment.key, self.enrolment.chain)

    def member(
        self, role: Role, identifier: str | None = None, *, now: dt.datetime | None = None
    ) -> Identity:
        """Somebody with a token certificate issued at ``now``; the id is a new UUID, or ``ada`` for people."""
        name = RjsName(role, identifier or (uuid.uuid4().hex if role in SERVERS else "ada"))
        return self.tokens.own_identity(name, f"{role.value} of tests", now or self.now)

    def expired(self, role: Role) -> Identity:
        """A server whose token certificate ended some minutes ago."""
        key, name = new_key(), RjsName(role, uuid.uuid4().hex)
        made = self.now - dt.timedelta(seconds=CLOCK_SKEW / 2)
        return Identity(key, self.tokens.issue(key.public_key(), name, "late", made, lifetime=60.0))

    def job(self, attempt: AttemptId, lifetime: float = 3600.0) -> Identity:
        """The job of an attempt, with its token."""
        key = new_key()
        chain = self.tokens.issue(key.public_key(), job_name(attempt), "job", self.now, lifetime)
        return Identity(key, chain)

    def invitation(self, role: Role, name: str | None = None) -> Invitation:
        """An invitation as ``role``; people are called ``ada`` unless named."""
        account = name or (None if role in SERVERS else "ada")
        return self.inviter.invite(role, account, ws=[WS_ADDRESS], now=self.now)

    def answer(self, invitation: Invitation) -> Identity:
        """The answer key of the compute server that ``invitation`` makes."""
        key = new_key()
        return Identity(key, invitation.certify_answer(key.public_key(), self.now))

    def signing(self, account: str = "ada") -> Identity:
        """A person's signing key, certified by the root."""
        return self._certified(Kind.SIGNING, account, signer_uri(account), SIGNING_LIFETIME)

    def encryption(self, account: str = "ada") -> Identity:
        """A person's encryption key, certified by the root."""
        return self._certified(Kind.ENCRYPTION, account, reader_uri(account), ENCRYPTION_LIFETIME)

    def forge(
        self,
        kind: Kind,
        issuer: Identity,
        uri: str | None,
        *,
        now: dt.datetime | None = None,
        lifetime: float = 3600.0,
    ) -> Identity:
        """What the holder of ``issuer``'s key can make, whether it counts or not."""
        key = new_key()
        subject = Subject(key.public_key(), "forged", lifetime, uri)
        leaf = sign_certificate(PROFILES[kind], subject, issuer.issuer, now or self.now)
        return Identity(key, (leaf, *issuer.chain))

    def _certified(self, kind: Kind, account: str, uri: str, lifetime: float) -> Identity:
        key = new_key()
        subject = Subject(key.public_key(), account, lifetime, uri)
        return Identity(key, (mint(kind, subject, self.root_issuer, self.now), self.root))

    def _authority(self, kind: Kind, lifetime: float) -> Identity:
        key = new_key()
        subject = Subject(key.public_key(), kind.value, lifetime)
        return Identity(key, (mint(kind, subject, self.root_issuer, self.now), self.root))


class End(Protocol):
    """One end of a connection: says a word, and remembers who answered and why the connection ended."""

    def __init__(self) -> None:
        self.peer: PeerIdentity | None = None
        self.lost: Failure | None = None

    def connectionMade(self) -> None:
        """Speak as early as TLS allows."""
        assert self.transport is not None
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        """The peer's word arrived, so its certificate was judged."""
        self.peer = peer_identity(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Keep the reason."""
        self.lost = reason

    def refusal(self) -> RefusedError:
        """Why TLS ended the connection at this end; fails when it did not, or gave no reason."""
        found = None if self.lost is None else refusal(self.lost)
        assert found is not None, f"ended with {self.lost}, having met {self.peer}"
        return found


def meet(
    reactor: ReactorBase,
    server: IOpenSSLServerConnectionCreator,
    client: IOpenSSLClientConnectionCreator,
    dialled: End | None = None,
) -> tuple[End, End]:
    """The server's and the client's end of a connection over loopback, after it has ended.

    It ends when both have heard each other, or when either is refused. Turns ``reactor``, which must not run; raises
    AssertionError when the two hang.
    """
    accepted, dialled = End(), dialled or End()
    door = TLSMemoryBIOFactory(server, False, Factory.forProtocol(lambda: accepted), reactor)
    port = cast(Any, reactor).listenTCP(0, door, interface="127.0.0.1")
    caller = TLSMemoryBIOFactory(client, True, _Dial.forProtocol(lambda: dialled), reactor)
    cast(Any, reactor).connectTCP("127.0.0.1", port.getHost().port, caller)
    try:
        _turn(reactor, lambda: bool((accepted.peer and dialled.peer) or accepted.lost or dialled.lost))
        for end in (accepted, dialled):
            if end.transport is not None and end.lost is None:
                cast(Any, end.transport).loseConnection()
        _turn(reactor, lambda: bool(accepted.lost and dialled.lost))
    finally:
        stopped: list[object] = []
        port.stopListening().addBoth(stopped.append)
        _turn(reactor, lambda: bool(stopped))
    return accepted, dialled


class _Dial(ClientFactory):
    noisy = False


def _turn(reactor: ReactorBase, done: Callable[[], bool]) -> None:
    for _ in range(_TURNS):
        if done():
            return
        reactor.iterate(_TURN)
    raise AssertionError("the handshake hangs")
