"""Mutual TLS 1.3 between members of one organisation, and who is at the other end.

OpenSSL checks signatures, periods and the path to the one root that it is given; ``peers.identify`` checks the rest,
and whether an expired token certificate may still renew itself, on every handshake (there are no tickets and no
session cache, so none is skipped). Host names are not checked: the
name in the certificate is. Use, on a server and on a client::

    factory = TLSMemoryBIOFactory(server_context(identity, {Role.LUS}), False, factory)    # then listen with it
    endpoint = wrapClientTLS(client_context(identity, Role.WS), endpoint)                  # then connect it

A refused peer ends in ``connectionLost`` with a reason whose value is ``PeerRefusedError``; ``refusal`` finds the
words for that and for what OpenSSL itself refused, on either side. **A TLS 1.3 client's handshake completes before
the server has judged it**: wait for the server's first message before believing in the connection.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, cast

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    ISystemHandle,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from rjs.errors import RefusedError
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.foreign import ForeignIdentity, ForeignPrivateKey
from rjs.identity.keys import Chain
from rjs.identity.lifetimes import RENEWAL_GRACE_TIME
from rjs.identity.names import Role
from rjs.identity.peers import PeerIdentity, identify
from rjs.identity.profiles import subject_text
from rjs.wall_time import Wall, utc_now

__all__ = [
    "Expected",
    "PeerIdentity",
    "PeerRefusedError",
    "client_context",
    "guest_context",
    "peer_identity",
    "refusal",
    "server_context",
]

_NOT_YET = 9  # X509_V_ERR_CERT_NOT_YET_VALID
_EXPIRED = 10  # X509_V_ERR_CERT_HAS_EXPIRED
_ISSUER = 1  # a token's issuer may have ended with it; the root ends once

_NOT_OURS = frozenset({19, 20, 21})
"""X509_V_ERR_*: what OpenSSL finds of a chain that does not lead to our root."""
_USAGE = 26  # X509_V_ERR_INVALID_PURPOSE

_FAULTS = {
    _NOT_YET: ("not_yet_valid", "is not valid yet: check the clocks at both ends"),
    _EXPIRED: ("expired", "has expired; its holder must renew it or join again, unless a clock is wrong"),
    18: ("other_root", "is self-made: no organisation stands behind it"),
    19: ("other_root", "belongs to another organisation: its root is not ours"),
    20: (
        "other_root",
        "does not lead to our organisation's root: it belongs to another one, or is malformed",
    ),
    21: ("other_root", "does not lead to our organisation's root"),
    26: ("usage", "is not for calling or serving: its key usages do not say so"),
}  # X509_V_ERR_* of openssl-verification-options(1), told of the certificate's holder

_ALERTS = {
    "unsupported protocol": ("tls_version", "the peer does not speak TLS 1.3"),
    "peer did not return a certificate": ("no_certificate", "the peer showed no certificate; join first"),
    "alert certificate expired": (
        "refused_by_peer",
        "the peer refused our certificate: it has expired, by its clock",
    ),
    "alert unknown ca": ("refused_by_peer", "the peer refused our certificate: its organisation is another"),
    "alert internal error": (
        "refused_by_peer",
        "the peer refused our certificate, most often because its role may not call there; the peer's log says why",
    ),
    "alert certificate required": ("refused_by_peer", "the peer asked for a certificate and we showed none"),
    "alert protocol version": ("tls_version", "the peer does not speak TLS 1.3"),
}  # parts of OpenSSL's reason strings, lower case; every other reason is told in OpenSSL's own words


class PeerRefusedError(IdentityError, SSL.Error):
    """The peer's certificate was refused during the handshake.

    It is an OpenSSL error too, because Twisted ends the handshake on those in the orderly way: the peer gets its
    alert and our ``connectionLost`` gets this.
    """

    def __init__(self, refused: IdentityError) -> None:
        RefusedError.__init__(self, refused.code, refused.sentence)
        self.args = ([("rjs", self.code, self.sentence)],)  # as OpenSSL's error queue, which Twisted reads

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence}"


@attrs.frozen
class Shown:
    """What an end shows, and whom it believes: a key, the chain to send, leaf first, and the one root."""

    key: ForeignPrivateKey = attrs.field(repr=False)
    chain: Chain
    root: x509.Certificate

    @classmethod
    def of(cls, identity: Identity) -> Shown:
        """A member shows its chain without the root that all know."""
        return cls(identity.key, identity.chain[:-1], identity.root)


@attrs.frozen
class Expected:
    """Whom an end will talk to: one of ``roles``, and when ``id`` is given exactly that one."""

    roles: frozenset[Role]
    id: str | None = None

    def check(self, peer: PeerIdentity) -> None:
        """Refuse a peer that is somebody else; one whose certificate has expired unless that role is named too."""
        name = peer.certified
        if not {name.role, peer.name.role} <= self.roles:
            wanted = ", ".join(sorted(self.roles))
            raise IdentityError(
                "role", f"{peer.name.uri()} has the wrong role here; this end talks to: {wanted}"
            )
        if self.id is not None and name.id != self.id:
            raise IdentityError("id", f"{name.uri()} answered where {self.id} was expected")


Guests = Callable[[Chain, dt.datetime], PeerIdentity]
"""Judges a chain that does not lead to our root, leaf first, whole and at the given time: whose it is, as a guest.
Raises IdentityError for strangers."""


class Issuers:
    """The certificates above those of peers, each once: a thousand sessions hold the same two, and reading one leaves
    some KiB of extensions with it."""

    _MOST = 64
    """Kept; an organisation has two, and one for each CA that it accepts."""

    def __init__(self) -> None:
        self._known: dict[x509.Certificate, x509.Certificate] = {}

    def share(self, peer: PeerIdentity) -> PeerIdentity:
        """This peer, who was accepted, with a chain that shares them, and a leaf of which nothing was read yet."""
        leaf = x509.load_der_x509_certificate(peer.chain[0].public_bytes(Encoding.DER))
        return attrs.evolve(peer, chain=(leaf, *map(self._one, peer.chain[1:])))

    def _one(self, issuer: x509.Certificate) -> x509.Certificate:
        if len(self._known) >= self._MOST:
            return self._known.get(issuer, issuer)
        return self._known.setdefault(issuer, issuer)


class _PeerConnection(SSL.Connection):
    """An OpenSSL connection that remembers what its verification found.

    Where ``guests`` are judged, a chain of which OpenSSL found that it is not under our root is judged by them alone,
    so nothing that OpenSSL let pass makes it more than a guest's.
    """

    def __init__(
        self,
        context: SSL.Context,
        root: x509.Certificate,
        expected: Expected,
        now: dt.datetime,
        guests: Guests | None = None,
        issuers: Issuers | None = None,
    ) -> None:
        super().__init__(context, None)
        _judge_at(self, now)
        self._root = root
        self._expected = expected
        self._now = now
        self._verified: list[x509.Certificate] = []
        self._guests = guests
        self._issuers = issuers
        self._foreign = False
        self.peer: PeerIdentity | None = None

    def verified(self, certificate: x509.Certificate, depth: int) -> None:
        """OpenSSL is content with the certificate at ``depth``: it comes from the root down to the leaf."""
        self._verified.insert(0, certificate)
        if depth == 0:
            chain = tuple(self._verified)
            if self._foreign and self._guests is not None:
                peer = self._guests(chain, self._now)
            else:
                peer = identify(chain, self._root, self._now)
            self._expected.check(peer)
            self._verified.clear()
            self.peer = peer if self._issuers is None else self._issuers.share(peer)

    def may_be_guest(self, error: int) -> bool:
        """Whether OpenSSL's finding is put off until ``guests`` have judged the whole chain."""
        if self._guests is None or Role.GUEST not in self._expected.roles:
            return False
        self._foreign = self._foreign or error in _NOT_OURS
        return self._foreign and error in {*_NOT_OURS, _USAGE}

    def may_renew(self, certificate: x509.Certificate, depth: int) -> bool:
        """Whether OpenSSL's finding that this has expired is put off until ``identify`` has seen the whole chain."""
        late = self._now - certificate.not_valid_after_utc
        return depth <= _ISSUER and late <= RENEWAL_GRACE_TIME and Role.EXPIRED in self._expected.roles

    def dates(self, certificate: x509.Certificate) -> str:
        """Its period beside the clock that it was judged by: whoever reads this sees which of the two is wrong."""
        moments = (certificate.not_valid_before_utc, certificate.not_valid_after_utc, self._now)
        start, end, now = (f"{each:%Y-%m-%d %H:%M}Z" for each in moments)
        return f"from {start} to {end}; the clock here says {now}: if that is wrong, set it right first"


@implementer(IOpenSSLServerConnectionCreator)
class ServerContext:
    """The accepting end of a listener; see ``server_context``. ``wall``: what certificates are judged by."""

    def __init__(self, identity: Identity, expected: Expected, wall: Wall) -> None:
        self._expected, self.wall = expected, wall
        self._issuers = Issuers()
        self.guests: Guests | None = None
        """Judges whoever shows a certificate of another CA; None: they are strangers."""
        self.renew(identity)

    def renew(self, identity: Identity) -> None:
        """Show this certificate from the next connection on; those that are open stay as they are."""
        self._context, self._root = _context(Shown.of(identity)), identity.root

    def serverConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803
        """Twisted's door: the TLS state of one accepted connection."""
        return _PeerConnection(
            self._context, self._root, self._expected, self.wall(), self.guests, self._issuers
        )


@implementer(IOpenSSLClientConnectionCreator)
class ClientContext:
    """The dialling end; see ``client_context`` and ``guest_context``. ``leaf`` is the certificate that it will show,
    ``wall`` the time by which certificates are judged."""

    def __init__(self, shown: Shown, expected: Expected, wall: Wall) -> None:
        self._context, self._root, self._expected = _context(shown), shown.root, expected
        self.wall = wall
        self.leaf = shown.chain[0]

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N802, N803
        """Twisted's door: the TLS state of one dialled connection."""
        return _PeerConnection(self._context, self._root, self._expected, self.wall())


def server_context(identity: Identity, roles: Iterable[Role], wall: Wall = utc_now) -> ServerContext:
    """What a listener that is ``identity`` and admits callers of ``roles`` gives to Twisted.

    Built once for all connections; its ``renew`` takes the token certificate in when it is renewed. ``wall`` is the
    time by which peers' certificates are judged.
    """
    return ServerContext(identity, Expected(frozenset(roles)), wall)


def client_context(
    identity: Identity,
    role: Role,
    server_id: str | None = None,
    *,
    or_expired: bool = False,
    wall: Wall = utc_now,
) -> ClientContext:
    """What dials as ``identity`` and talks to a server of ``role`` only, and to ``server_id`` only when given.

    ``or_expired`` admits it with an expired certificate too, in the role that may renew it and nothing else.
    """
    roles = {role, Role.EXPIRED} if or_expired else {role}
    return ClientContext(Shown.of(identity), Expected(frozenset(roles), server_id), wall)


def guest_context(foreign: ForeignIdentity, root: x509.Certificate, wall: Wall = utc_now) -> ClientContext:
    """What dials with a certificate of another CA, and talks to a web server under ``root`` only."""
    return ClientContext(Shown(foreign.key, foreign.chain, root), Expected(frozenset({Role.WS})), wall)


def peer_identity(transport: object) -> PeerIdentity:
    """Who is at the other end of a protocol's ``transport``, once its handshake is complete.

    A certificate alone proves nothing: only the peer's Finished shows that it holds the key. Raises IdentityError
    when that is not known: before the handshake's end, after the connection's, or without our TLS.
    """
    handle = cast(Any, transport).getHandle() if ISystemHandle.providedBy(transport) else None
    if not isinstance(handle, _PeerConnection) or handle.peer is None or handle.get_peer_finished() is None:
        raise IdentityError("no_peer", "nobody has proved who they are on this connection")
    return handle.peer


def refusal(reason: Failure) -> RefusedError | None:
    """Why TLS ended a connection, from ``connectionLost``'s reason: either end's refusal; None for other endings."""
    error = reason.value
    if isinstance(error, RefusedError):
        return error
    if not isinstance(error, SSL.Error) or not error.args or not isinstance(error.args[0], list):
        return None
    words = "; ".join(text for _, _, text in error.args[0])
    for part, (code, sentence) in _ALERTS.items():
        if part in words.lower():
            return IdentityError(code, sentence)
    if " alert " in f" {words} ":
        return IdentityError("refused_by_peer", f"the peer refused us during the handshake: {words}")
    return IdentityError("tls", f"TLS ended the connection: {words}")


def _context(shown: Shown) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.use_privatekey(shown.key)
    context.use_certificate(shown.chain[0])
    for certificate in shown.chain[1:]:
        context.add_extra_chain_cert(certificate)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(crypto.X509.from_cryptography(shown.root))
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _on_verified)
    return context


def _judge_at(connection: SSL.Connection, now: dt.datetime) -> None:
    """Let OpenSSL judge periods on this connection by ``now``. The store's own time would not do: it is the
    context's, which lives as long as our certificate, and OpenSSL keeps the first time that a store is given."""
    library: Any = SSL._lib  # type: ignore[attr-defined]  # pyOpenSSL has no door to a connection's own parameters
    handle: Any = connection._ssl
    library.X509_VERIFY_PARAM_set_time(library.SSL_get0_param(handle), int(now.timestamp()))


def _on_verified(
    connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
) -> bool:
    """OpenSSL's verify callback: one call a certificate, root first; raising refuses the peer."""
    try:
        seen = certificate.to_cryptography()
        if not ok:
            if cast(_PeerConnection, connection).may_be_guest(error):
                return True
            if error == _EXPIRED and cast(_PeerConnection, connection).may_renew(seen, depth):
                return True
            code, fault = _FAULTS.get(error, ("tls", f"is refused by OpenSSL with X509 error {error}"))
            if error in (_NOT_YET, _EXPIRED):
                fault += f" ({cast(_PeerConnection, connection).dates(seen)})"
            raise IdentityError(code, f"the certificate of {subject_text(seen)} {fault}")
        cast(_PeerConnection, connection).verified(seen, depth)
    except IdentityError as refused:
        raise PeerRefusedError(refused) from refused
    except Exception as malformed:  # whatever a stranger's certificate upsets, it refuses the stranger
        unreadable = IdentityError("unreadable", f"the peer's certificate cannot be read: {malformed}")
        raise PeerRefusedError(unreadable) from malformed
    return True
