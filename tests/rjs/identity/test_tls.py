"""Handshakes over real sockets: who is let in, who is refused, and in which words."""

from __future__ import annotations

import datetime as dt
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtensionOID
from OpenSSL import SSL
from twisted.internet.base import ReactorBase
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, ISystemHandle
from twisted.internet.protocol import Protocol
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.names import RjsName, Role
from rjs.identity.profiles import Kind
from rjs.identity.testing import End, Organisation, meet
from rjs.identity.tls import PeerRefusedError, client_context, peer_identity, refusal, server_context

ANYBODY = frozenset(Role) - {Role.EXPIRED}
DAYS = dt.timedelta(days=1)


@pytest.fixture(scope="module")
def ws(organisation: Organisation) -> Identity:
    return organisation.member(Role.WS)


def enter(
    reactor: ReactorBase, ws: Identity, caller: Identity, roles: frozenset[Role] = ANYBODY
) -> tuple[End, End]:
    """``caller`` dials the web server's door for ``roles``."""
    return meet(reactor, server_context(ws, roles), client_context(caller, Role.WS))


def turned_away(
    reactor: ReactorBase, ws: Identity, caller: Identity, roles: frozenset[Role] = ANYBODY
) -> str:
    """The words in which the door refuses ``caller``, who hears nothing but that."""
    server, client = enter(reactor, ws, caller, roles)
    assert server.peer is None and client.peer is None
    assert server.lost is not None and isinstance(server.lost.value, PeerRefusedError)
    assert client.refusal().code == "identity.refused_by_peer"
    return str(server.refusal())


@pytest.mark.parametrize("role", [Role.LUS, Role.CS, Role.USER, Role.ADMIN, Role.WS])
def test_both_ends_learn_who_the_other_is(
    reactor: ReactorBase, organisation: Organisation, ws: Identity, role: Role
) -> None:
    """A member is let in at a door for its role, and both ends hold the other's name, chain and end of validity."""
    caller = organisation.member(role)
    server, client = enter(reactor, ws, caller, frozenset({role}))
    assert server.peer is not None and client.peer is not None
    assert server.peer.name.role is role and client.peer.name.role is Role.WS
    assert server.peer.chain == caller.chain and client.peer.chain == ws.chain
    assert server.peer.not_after == caller.chain[0].not_valid_after_utc
    assert server.peer.common_name == f"{role.value} of tests"
    assert server.lost is not None and server.lost.check(ConnectionDone)


def test_the_door_decides_about_invitations(
    reactor: ReactorBase, organisation: Organisation, ws: Identity
) -> None:
    """An invitation passes a door for invitations, under the name that it makes its holder, and no other."""
    invitation = organisation.invitation(Role.CS)
    server, _ = enter(reactor, ws, invitation.identity, frozenset({Role.LUS, Role.INVITATION}))
    assert server.peer is not None
    assert server.peer.name == RjsName(Role.INVITATION, f"cs/{invitation.subject.id}")
    words = turned_away(reactor, ws, invitation.identity, frozenset({Role.LUS, Role.CS}))
    assert words.startswith(f"identity.role: {invitation.name.caller().uri()} has the wrong role here")


def test_the_wrong_role_is_refused_by_name(
    reactor: ReactorBase, organisation: Organisation, ws: Identity
) -> None:
    """A compute server at a door for lookup servers is told apart by its own name and the roles admitted."""
    caller = organisation.member(Role.CS, "c" * 32)
    words = turned_away(reactor, ws, caller, frozenset({Role.LUS, Role.ADMIN}))
    assert (
        words == f"identity.role: rjs://cs/{'c' * 32} has the wrong role here; this end talks to: admin, lus"
    )


def test_a_client_talks_to_the_server_that_it_means(
    reactor: ReactorBase, organisation: Organisation, ws: Identity
) -> None:
    """A server of another role, or of another id where one was asked for, is refused by the client."""
    caller = organisation.member(Role.LUS)
    door = server_context(organisation.member(Role.CS, "a" * 32), ANYBODY)
    for wanted, code in (
        (client_context(caller, Role.WS), "role"),
        (client_context(caller, Role.CS, "b" * 32), "id"),
    ):
        server, client = meet(reactor, door, wanted)
        assert client.refusal().code == f"identity.{code}"
        assert server.peer is None and server.refusal().code == "identity.refused_by_peer"
    server, client = meet(reactor, door, client_context(caller, Role.CS, "a" * 32))
    assert client.peer is not None and client.peer.name == RjsName(Role.CS, "a" * 32)


def test_another_organisation_is_refused(
    reactor: ReactorBase, organisation: Organisation, ws: Identity, now: dt.datetime
) -> None:
    """A member of an organisation of the same name, or a certificate that somebody made alone, is a stranger."""
    stranger = Organisation(now).member(Role.LUS)
    server, client = enter(reactor, ws, stranger)
    assert client.refusal().code == "identity.other_root"
    assert "it belongs to another one" in client.refusal().sentence
    impostor = Identity(stranger.key, (*stranger.chain[:-1], organisation.root))
    assert "identity.other_root" in turned_away(reactor, ws, impostor)
    assert server.peer is None


@pytest.mark.parametrize(
    ("age", "code"), [(5 * DAYS, "expired"), (-1 * DAYS, "not_yet_valid")], ids=["expired", "not yet valid"]
)
def test_a_certificate_counts_in_its_period_only(
    reactor: ReactorBase, now: dt.datetime, age: dt.timedelta, code: str
) -> None:
    """An old token, and one from a clock that runs ahead, are refused at both ends with the name of the holder."""
    organisation = Organisation(now - 10 * DAYS)
    ws = organisation.member(Role.WS, now=now)
    caller = organisation.member(Role.LUS, now=now - age)
    words = turned_away(reactor, ws, caller)
    assert words.startswith(
        f"identity.{code}: the certificate of 'CN=lus of tests,OU=lus,O=Institute of Tests' "
    )
    _, client = meet(reactor, server_context(caller, ANYBODY), client_context(ws, Role.LUS))
    assert client.refusal().code == f"identity.{code}"


def test_a_door_that_has_stood_open_for_long_judges_by_the_time_that_it_is(
    reactor: ReactorBase, now: dt.datetime
) -> None:
    """After its first connection too: a certificate issued since counts, and one that has ended since does not."""
    organisation, times = Organisation(now), [now]
    early = organisation.member(Role.LUS)
    door = server_context(organisation.member(Role.WS), {Role.LUS}, lambda: times[-1])

    def enters(caller: Identity) -> End:
        return meet(reactor, door, client_context(caller, Role.WS, wall=lambda: now + DAYS))[0]

    assert enters(early).peer is not None
    times.append(now + DAYS)
    assert enters(organisation.member(Role.LUS, now=times[-1])).peer is not None
    times.append(now + 3 * DAYS)
    assert enters(early).refusal().code == "identity.expired"


@pytest.mark.parametrize(("days", "code"), [(29, ""), (31, "identity.expired")])
def test_an_expired_token_enters_in_the_role_that_renews_it(
    reactor: ReactorBase, now: dt.datetime, days: int, code: str
) -> None:
    """Within the grace, at a door that names that role, its holder is the expired member and nobody else; at the
    dialling end likewise. Beyond the grace, it is nobody."""
    organisation = Organisation(now - 40 * DAYS)
    ws = organisation.member(Role.WS, now=now)
    late = organisation.member(Role.CS, now=now - (days + 2) * DAYS)
    for ends in (
        (server_context(ws, Role), client_context(late, Role.WS)),
        (server_context(late, Role), client_context(ws, Role.CS, or_expired=True)),
    ):
        end = meet(reactor, *ends)[ends[1].leaf is not late.chain[0]]  # the one that judges the late one
        if code:
            assert end.peer is None and end.refusal().code == code
        else:
            assert end.peer is not None and end.peer.name.role is Role.EXPIRED
            assert end.peer.certified.role is Role.CS and end.peer.name.id == f"cs/{end.peer.certified.id}"
            assert end.peer.not_after == late.chain[0].not_valid_after_utc + 30 * DAYS


def test_only_tokens_and_invitations_call(
    reactor: ReactorBase, organisation: Organisation, ws: Identity
) -> None:
    """Certificates that the organisation issued for other purposes open no door."""
    cs = organisation.invitation(Role.CS)
    for identity in (organisation.answer(cs), organisation.signing(), organisation.enrolment):
        assert turned_away(reactor, ws, identity).startswith("identity.")
    no_name = organisation.forge(Kind.TOKEN, organisation.intermediate, None)
    assert turned_away(reactor, ws, no_name).startswith("identity.kind: ")
    nonsense = organisation.forge(Kind.TOKEN, organisation.intermediate, "https://lus.example")
    assert turned_away(reactor, ws, nonsense).startswith("identity.name: ")


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, b"\x30\x05garbage"), "other_root"),
        (x509.SubjectAlternativeName([x509.DNSName("lus.example")]), "san"),
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"rjs://lus/{'5' * 32}")] * 2), "san"),
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier("rjs://lus/" + "5" * 9999)]), "name"),
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"rjs://lus/{'5' * 32}\0")]), "name"),
        (x509.SubjectAlternativeName([x509.UniformResourceIdentifier("rjs://invitation/user/ada")]), "name"),
    ],
)
def test_odd_names_are_refused_in_a_bounded_sentence(
    reactor: ReactorBase, organisation: Organisation, ws: Identity, names: x509.ExtensionType, code: str
) -> None:
    """Whatever a web server's stolen intermediate writes where the name belongs, the handshake ends with words."""
    genuine, issuer = organisation.member(Role.LUS), organisation.intermediate
    leaf = genuine.chain[0]
    builder = x509.CertificateBuilder(
        leaf.issuer,
        leaf.subject,
        genuine.key.public_key(),
        1,
        leaf.not_valid_before_utc,
        leaf.not_valid_after_utc,
    )
    for extension in leaf.extensions:
        named = extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME
        builder = builder.add_extension(names if named else extension.value, extension.critical)
    odd = Identity(genuine.key, (builder.sign(issuer.key, hashes.SHA256()), *issuer.chain))
    words = turned_away(reactor, ws, odd)
    assert words.startswith(f"identity.{code}: ")
    assert len(words) < 600


@implementer(IOpenSSLClientConnectionCreator)
class Plain:
    """A client that checks nothing, limited as told."""

    def __init__(self, identity: Identity | None, newest: int = SSL.TLS1_3_VERSION) -> None:
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_max_proto_version(newest)
        self.session: SSL.Session | None = None
        if identity is not None:
            self.context.use_privatekey(identity.key)
            self.context.use_certificate(identity.chain[0])
            for certificate in identity.chain[1:]:
                self.context.add_extra_chain_cert(certificate)
        self.connections: list[SSL.Connection] = []

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:  # noqa: N803
        connection = SSL.Connection(self.context, None)
        if self.session is not None:
            connection.set_session(self.session)
        self.connections.append(connection)
        return connection


def test_nobody_is_anonymous(reactor: ReactorBase, ws: Identity) -> None:
    """A client without a certificate is refused, and either end can say so in words."""
    server, client = meet(reactor, server_context(ws, ANYBODY), Plain(None))
    assert server.refusal().code == "identity.no_certificate"
    assert client.refusal().code == "identity.refused_by_peer"


def test_nothing_older_than_tls_13(reactor: ReactorBase, organisation: Organisation, ws: Identity) -> None:
    """A client of TLS 1.2 is refused, whatever its certificate."""
    caller = Plain(organisation.member(Role.LUS), SSL.TLS1_2_VERSION)
    server, client = meet(reactor, server_context(ws, ANYBODY), caller)
    assert server.peer is None
    assert server.refusal().code == client.refusal().code == "identity.tls_version"


def test_no_session_is_resumed(reactor: ReactorBase, organisation: Organisation, ws: Identity) -> None:
    """A second connection that offers the first one's session is judged like the first, not waved through."""
    caller = organisation.member(Role.LUS)
    plain = Plain(caller)
    door = server_context(ws, ANYBODY)
    tickets: list[SSL.Session | None] = []

    class Saver(End):
        def dataReceived(self, data: bytes) -> None:
            tickets.append(plain.connections[-1].get_session())
            self.peer = object()  # type: ignore[assignment]  # a plain client learns no name

    for _ in range(2):
        server, _ = meet(reactor, door, plain, dialled=Saver())
        assert server.peer is not None and server.peer.chain == caller.chain
        plain.session = tickets[-1]
        assert plain.session is not None
    assert len(tickets) == 2


def test_a_refusal_does_not_stick_to_the_door(
    reactor: ReactorBase, organisation: Organisation, ws: Identity
) -> None:
    """The same listener refuses and admits one after the other, each by its own certificate."""
    door = server_context(ws, {Role.LUS})
    for _ in range(3):
        for role, admitted in ((Role.CS, False), (Role.LUS, True)):
            server, _ = meet(reactor, door, client_context(organisation.member(role), Role.WS))
            assert (server.peer is not None) == admitted


@implementer(ISystemHandle)
class Bare:
    """A transport that has nothing but its TLS state."""

    def __init__(self, connection: SSL.Connection) -> None:
        self.connection = connection

    def getHandle(self) -> SSL.Connection:
        return self.connection


def test_a_certificate_without_its_key_is_nobody(organisation: Organisation, ws: Identity) -> None:
    """Between the peer's certificate and its proof of holding the key, the peer is still unknown."""
    contexts = server_context(ws, ANYBODY), client_context(organisation.member(Role.LUS), Role.WS)
    protocol = cast(TLSMemoryBIOProtocol, None)  # the doors do not look at it
    server, client = (
        contexts[0].serverConnectionForTLS(protocol),
        contexts[1].clientConnectionForTLS(protocol),
    )
    server.set_accept_state()
    client.set_connect_state()
    shake(client)
    server.bio_write(client.bio_read(1 << 15))
    shake(server)
    client.bio_write(server.bio_read(1 << 15))
    assert shake(client)
    unproven = 0
    for byte in client.bio_read(1 << 15):
        server.bio_write(bytes([byte]))
        if shake(server):
            break
        with pytest.raises(IdentityError, match="nobody has proved"):
            peer_identity(Bare(server))
        unproven += server.peer is not None
    assert unproven > 1
    assert peer_identity(Bare(server)).name.role is Role.LUS


def shake(connection: SSL.Connection) -> bool:
    """Whether the handshake is complete with what has arrived."""
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def test_nobody_is_known_before_the_handshake() -> None:
    """Asking for the peer of a connection without our TLS is refused, not answered with nobody."""
    for transport in (None, object(), Protocol()):
        with pytest.raises(IdentityError, match="nobody has proved"):
            peer_identity(transport)


def test_other_endings_are_no_refusals() -> None:
    """A connection that was closed or lost gives no words of TLS."""
    for ending in (
        ConnectionDone(),
        OSError("gone"),
        SSL.ZeroReturnError(),
        SSL.SysCallError(-1, "Unexpected EOF"),
    ):
        assert refusal(Failure(ending)) is None
