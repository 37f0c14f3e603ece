"""A session: one mutually authenticated connection between two members, with heartbeats and requests.

It knows frames, the hello, request ids, heartbeats and who may send what. It refuses to know what a message
means: a ``Door`` says who is welcome and what each message does. Order at the start, both ways: TLS, hello
(checked against the certificate), then ``Door.opened``. A session ends once, with one reason, told to
``Door.closed``; what was asked and not answered then fails with SessionLostError.
"""

from __future__ import annotations

import itertools
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

import attrs
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from rjs import limits
from rjs.background import Tasks, Timer, Timers
from rjs.errors import ProtocolError, RefusedError, RjsError, UnreachableError
from rjs.identity.names import Role
from rjs.identity.tls import PeerIdentity, peer_identity, refusal
from rjs.wire import messages as m
from rjs.wire.frames import FrameProtocol

_log = Logger("rjs.session")

Handler = Callable[["Session", Any], "m.Message | Awaitable[m.Message | None] | None"]
Routes = Mapping[type[m.Message], Handler]
Reply = TypeVar("Reply", bound=m.Message)


class SessionLostError(UnreachableError):
    """The session ended before the reply came; whether the request was carried out is not known."""


class Door(Protocol):
    """What stands behind a session: who is welcome, and what is done with what they say."""

    welcome: frozenset[Role]
    routes: Routes

    def opened(self, session: Session) -> None:
        """Both hellos are in and agree with the certificates."""

    def heard(self, session: Session) -> None:
        """The peer's heartbeat arrived: a grantor's leases count from now."""

    def answered(self, session: Session, sent: float) -> None:
        """The peer answered our heartbeat of the reactor's time ``sent``: a holder's leases count from then."""

    def closed(self, session: Session, reason: str) -> None:
        """It ended. Called exactly once if ``opened`` was."""


@attrs.frozen
class Self:
    """Who we are in our hellos. ``boot_count`` rises with every start of this server."""

    name: str
    cluster: str
    boot: str
    boot_count: int
    release: str


class Session:
    """One end of one connection. Made by an acceptor or a dialler, never reused."""

    def __init__(self, reactor: Timers, me: Self, door: Door, dial: int = 0) -> None:
        self._reactor = reactor
        self._me = me
        self._door = door
        self._dial = dial
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Deferred[m.Message]] = {}
        self._pings: dict[int, float] = {}
        self._serving = Tasks(f"session of {me.name}")
        self._in_flight = 0
        self._held: deque[tuple[m.Message, int]] = deque()
        self._held_bytes = 0
        self._paused = False
        self._timers: dict[str, Timer] = {}
        self._reason = ""
        self._open = False
        self._last_heard = reactor.seconds()
        self.ended = False
        self.identity: PeerIdentity | None = None
        self.hello: m.Hello | None = None
        self.ready: Deferred[Session] = Deferred()
        self.gone: Deferred[str] = Deferred()
        self._frames = FrameProtocol(self._made, self._received, self._lost)

    # --- what callers use ---------------------------------------------------------------------------

    @property
    def protocol(self) -> FrameProtocol:
        """The Twisted protocol to put on the transport, inside TLS."""
        return self._frames

    @property
    def peer(self) -> PeerIdentity:
        """Who the certificate says is there. Only once ``opened``."""
        assert self.identity is not None
        return self.identity

    @property
    def peer_hello(self) -> m.Hello:
        """What the peer said first. Only once ``opened``."""
        assert self.hello is not None
        return self.hello

    @property
    def remote(self) -> str:
        """The peer's network address, for people."""
        transport = self._frames.transport
        address = transport.getPeer() if transport is not None else None
        return str(getattr(address, "host", address))

    @property
    def reason(self) -> str:
        """Why the session ended, in words; empty while it lives."""
        return self._reason if self.ended else ""

    def tell(self, message: m.Message) -> None:
        """Send without asking for a reply. A session that has ended drops it: the sender sends again on the
        next session what must not be lost."""
        if not self.ended and self._frames.transport is not None:
            frame = m.encode(message)
            if len(frame) > limits.FRAME:
                raise ProtocolError(f"our own {type(message).__name__} of {len(frame)} bytes exceeds a frame")
            self._frames.sendString(frame)

    async def request(self, message: m.Message, kind: type[Reply]) -> Reply:
        """Send and await the reply of type ``kind``.

        Raises RefusedError when the peer refused, SessionLostError when the session ended first, and
        ProtocolError when the peer answered with something else.
        """
        if self.ended:
            raise SessionLostError(self._reason)
        number = next(self._numbers)
        waiting: Deferred[m.Message] = Deferred()
        self._waiting[number] = waiting
        self.tell(msgspec.structs.replace(message, rid=number))
        try:
            reply = await waiting
        finally:
            self._waiting.pop(number, None)
        if isinstance(reply, m.Refused):
            raise RefusedError(reply.code, reply.sentence)
        if isinstance(reply, m.Unsupported):
            raise RefusedError("unsupported", f"the peer's release does not know {reply.what!r}")
        if not isinstance(reply, kind):
            self.close("protocol", f"{type(reply).__name__} is no answer to {type(message).__name__}")
            raise ProtocolError(self._reason)
        return reply

    def close(self, code: str, sentence: str) -> None:
        """Say why, then close. The reason of the first call stands."""
        if self.ended or self._reason:
            return
        self.tell(m.Bye(code=code, sentence=sentence[:1024]))
        self._reason = f"{code}: {sentence}"
        if self._frames.transport is not None:
            self._frames.finish()
            self._after("linger", 1.0, self._abort)

    def abort(self, sentence: str) -> None:
        """Drop the connection without a word: the peer does not read."""
        self._reason = self._reason or sentence
        self._abort()

    # --- connection events --------------------------------------------------------------------------

    def _made(self, frames: FrameProtocol) -> None:
        transport = frames.transport
        assert transport is not None
        set_user_timeout(transport, limits.SILENCE)
        frames.watch_buffer(_Backpressure(self))
        self._after("handshake", limits.HANDSHAKE, self._too_slow)
        me = self._me
        self.tell(
            m.Hello(
                protocol=limits.PROTOCOL,
                release=me.release,
                cluster=me.cluster,
                name=me.name,
                boot=me.boot,
                boot_count=me.boot_count,
                dial=self._dial,
            )
        )

    def _received(self, frame: bytes) -> None:
        if self._reason:
            return
        self._last_heard = self._reactor.seconds()
        try:
            message = m.decode(frame)
        except m.UnknownMessageError as unknown:
            self.tell(m.Unsupported(re=unknown.rid, what=unknown.tag))
            return
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self.close("protocol", f"malformed message: {error}")
            return
        try:
            self._dispatch(message, len(frame))
        except RjsError as error:
            self.close("protocol", str(error))

    def _lost(self, reason: Failure) -> None:
        if self.ended:
            return
        self._reason = self._reason or self._describe(reason)
        self.ended = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._serving.cancel_all()
        waiting, self._waiting = self._waiting, {}
        for deferred in waiting.values():
            deferred.errback(SessionLostError(self._reason))
        if self._open:
            self._door.closed(self, self._reason)
        else:
            self.ready.errback(UnreachableError(self._reason))
        self.gone.callback(self._reason)

    def _describe(self, reason: Failure) -> str:
        if self._frames.too_long:
            return f"a frame of {self._frames.too_long} bytes is longer than allowed"
        if reason.check(ConnectionDone):
            return "the peer closed the connection"
        refused = refusal(reason)
        return str(refused) if refused is not None else reason.getErrorMessage()

    # --- messages -----------------------------------------------------------------------------------

    def _dispatch(self, message: m.Message, size: int) -> None:
        if isinstance(message, m.Bye):
            self._reason = f"{message.code}: {message.sentence}"
            if self._frames.transport is not None:
                self._frames.finish()
                self._after("linger", 1.0, self._abort)
        elif self.hello is None:
            self._greeted(message)
        elif isinstance(message, m.Ping):
            self.tell(m.Pong(n=message.n))
            self._door.heard(self)
        elif isinstance(message, m.Pong):
            sent = self._pings.pop(message.n, None)
            if sent is not None:
                self._door.answered(self, sent)
        elif message.re:
            self._replied(message)
        elif self._paused:
            self._hold(message, size)
        else:
            self._serve(message)

    def _greeted(self, message: m.Message) -> None:
        if not isinstance(message, m.Hello):
            raise ProtocolError(f"expected hello, got {type(message).__name__}")
        identity = peer_identity(self._frames.transport)
        refusal = self._unwelcome(identity, message)
        if refusal is not None:
            _log.warn("refused {name} at the door: {code}: {sentence}", name=identity.name.uri(),
                      code=refusal.code, sentence=refusal.sentence)  # fmt: skip
            self.close(refusal.code, refusal.sentence)
            return
        self.identity, self.hello = identity, message
        self._forget_timer("handshake")
        self._frames.trust_longer_frames()
        self._open = True
        self._beat()
        self._door.opened(self)
        self.ready.callback(self)

    def _unwelcome(self, identity: PeerIdentity, hello: m.Hello) -> RefusedError | None:
        uri = identity.name.uri()
        if identity.name.role not in self._door.welcome:
            welcome = ", ".join(sorted(self._door.welcome))
            return RefusedError("wrong-role", f"{uri} is not served at this door; it serves: {welcome}")
        if hello.name != uri:
            return RefusedError("wrong-name", f"the hello says {hello.name}, the certificate {uri}")
        if hello.cluster != self._me.cluster:
            return RefusedError("wrong-cluster", f"this is cluster {self._me.cluster}, not {hello.cluster}")
        if hello.protocol < limits.PROTOCOL:
            return RefusedError(
                "old-protocol",
                f"release {hello.release} speaks protocol {hello.protocol}, this release {self._me.release} "
                f"needs {limits.PROTOCOL}: upgrade the older side",
            )
        return None

    def _replied(self, message: m.Message) -> None:
        waiting = self._waiting.pop(message.re, None)
        if waiting is not None and not waiting.called:
            waiting.callback(message)

    def _serve(self, message: m.Message) -> None:
        """The one place that every call passes: may this role say this, and who handles it."""
        handler = self._door.routes.get(type(message))
        tag = type(message).__struct_config__.tag
        if self.peer.name.role not in message.callers:
            callers = ", ".join(sorted(message.callers))
            self._refuse(message, "forbidden", f"{self.peer.name.uri()} may not call {tag}; {callers} may")
            return
        if handler is None:
            self.tell(m.Unsupported(re=message.rid, what=str(tag)))
            return
        if self._in_flight >= limits.REQUESTS_IN_FLIGHT:
            raise ProtocolError(f"more than {limits.REQUESTS_IN_FLIGHT} unanswered requests")
        try:
            outcome = handler(self, message)
        except RefusedError as error:
            self._refuse(message, error.code, error.sentence)
            return
        if outcome is None or isinstance(outcome, m.Message):
            self._answer(message, outcome)
        else:
            self._in_flight += 1
            self._serving.spawn(str(tag), self._finish(message, outcome))

    async def _finish(self, message: m.Message, outcome: Awaitable[m.Message | None]) -> None:
        try:
            self._answer(message, await outcome)
        except RefusedError as error:
            self._refuse(message, error.code, error.sentence)
        except RjsError as error:
            self._refuse(message, "failed", str(error))
        except Exception:
            self._refuse(message, "internal", "a defect on this side; its log has the details")
            raise
        finally:
            self._in_flight -= 1

    def _answer(self, message: m.Message, reply: m.Message | None) -> None:
        if message.rid:
            self.tell(msgspec.structs.replace(reply or m.Done(), re=message.rid))

    def _refuse(self, message: m.Message, code: str, sentence: str) -> None:
        _log.info("refused {tag} of {peer}: {code}: {sentence}", tag=type(message).__struct_config__.tag,
                  peer=self.peer.name.uri(), code=code, sentence=sentence)  # fmt: skip
        if message.rid:
            self.tell(m.Refused(re=message.rid, code=code[:64], sentence=sentence[:1024]))

    # --- time ---------------------------------------------------------------------------------------

    def _beat(self) -> None:
        now = self._reactor.seconds()
        silent = now - self._last_heard
        if silent > limits.SILENCE:
            self.abort(f"nothing heard for {silent:.1f} s")
            return
        number = next(self._numbers)
        if len(self._pings) > 2 * limits.SILENCE / limits.HEARTBEAT:
            self._pings.pop(next(iter(self._pings)))
        self._pings[number] = now
        self.tell(m.Ping(n=number))
        self._after("beat", limits.HEARTBEAT, self._beat)

    def _too_slow(self) -> None:
        self.abort(f"no hello within {limits.HANDSHAKE:.0f} s")

    def _after(self, what: str, seconds: float, call: Callable[[], None]) -> None:
        self._forget_timer(what)
        self._timers[what] = self._reactor.callLater(seconds, call)

    def _forget_timer(self, what: str) -> None:
        old = self._timers.pop(what, None)
        if old is not None and old.active():
            old.cancel()

    def _abort(self) -> None:
        if not self.ended:
            self._frames.abort()

    # --- flow control -------------------------------------------------------------------------------
    #
    # A peer that does not read what we send gets no further work done: its calls are held, in order and
    # bounded, until it reads. Reading itself goes on, because two sides that both stop reading while both
    # have much to send would wait for each other for ever.

    def pause(self) -> None:
        """Our bytes pile up: hold the peer's calls until it has taken them."""
        self._paused = True
        self._after("stall", limits.SEND_BUFFER_STALL, lambda: self.abort("it does not read what we send"))

    def resume(self) -> None:
        """The peer reads again: do what was held, until it stops reading again."""
        self._paused = False
        self._forget_timer("stall")
        while self._held and not self._paused and not self._reason:
            message, size = self._held.popleft()
            self._held_bytes -= size
            self._serve(message)

    def _hold(self, message: m.Message, size: int) -> None:
        self._held.append((message, size))
        self._held_bytes += size
        if len(self._held) > limits.REQUESTS_IN_FLIGHT or self._held_bytes > limits.HELD_BYTES:
            raise ProtocolError("it sends without reading our replies")


class _Backpressure:
    """The streaming producer that the transport tells when its buffer is full."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._session.pause()

    def resumeProducing(self) -> None:  # noqa: N802 - Twisted's name
        self._session.resume()

    def stopProducing(self) -> None:  # noqa: N802 - Twisted's name
        """The connection is gone; ``_lost`` tells the rest."""


def set_user_timeout(transport: object, seconds: float) -> None:
    """Let the kernel give up unacknowledged bytes after ``seconds``: an unplugged peer sends no FIN."""
    handle = getattr(transport, "getHandle", lambda: None)()
    raw = getattr(transport, "socket", None)
    for candidate in (raw, handle):
        if isinstance(candidate, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return
