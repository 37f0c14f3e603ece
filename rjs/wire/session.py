"""A session: one mutually authenticated connection between two members, with heartbeats and requests.

It knows frames, the hello, request ids and heartbeats; ``serving`` knows who may ask what. It refuses to know
what a message means: a ``Door`` says who is welcome and what each message does. Order at the start, both ways:
TLS, hello (checked against the certificate), then ``Door.opened``. A session ends once, with one reason, told
to ``Door.closed``; what was asked and not answered then fails with SessionLostError.
"""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec
from cryptography import x509
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from rjs import limits
from rjs.background import Timer, Timers
from rjs.errors import ProtocolError, RefusedError, UnreachableError
from rjs.identity.errors import IdentityError
from rjs.identity.lifetimes import hand_over_at
from rjs.identity.names import Role
from rjs.identity.tls import PeerIdentity, peer_identity, refusal
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.duplicates import Standing
from rjs.wire.frames import FrameProtocol
from rjs.wire.greeting import Clocks, Self, clocks, unwelcome
from rjs.wire.serving import Handler, Routes, Serving, words

__all__ = ["Door", "Handler", "Routes", "Self", "Session", "SessionLostError"]

_log = Logger("rjs.session")

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
        """It ended. Called exactly once if ``opened`` was, before the requests under way fail."""


class Session:
    """One end of one connection. Made by an acceptor or a dialler, never reused."""

    def __init__(
        self,
        reactor: Timers,
        me: Self,
        door: Door,
        dial: int = 0,
        wall: Wall = utc_now,
    ) -> None:
        self._reactor = reactor
        self._me = me
        self._door = door
        self._dial = dial
        self.wall = wall
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Deferred[m.Message]] = {}
        self._pings: dict[int, float] = {}
        self._owed_pong: int | None = None
        self._serving = Serving(self, door.routes, me.name)
        self._timers: dict[str, Timer] = {}
        self._leaving: dict[Deferred[str], None] = {}
        self._open = False
        self._doing_held = False
        self._heard_unasked = False
        self._began = self._last_heard = self._last_call = reactor.seconds()
        self._beaten = 0.0
        self._gives_way: float | None = None
        self.reason = ""
        self.ended = False
        self.identity: PeerIdentity | None = None
        self.hello: m.Hello | None = None
        self.clocks: Clocks | None = None
        """The peer's and ours, from its hello on, where it says the time."""
        self.shown: x509.Certificate | None = None
        """Our own certificate, where we dialled: the session is left before either end's has ended."""
        self.ready: Deferred[Session] = Deferred()
        self._frames = FrameProtocol(self._made, self._received, self._lost)

    # --- what callers use ---------------------------------------------------------------------------
    #
    # ``reason`` says in words why the session ends or ended; it is empty while the session serves.

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
    def standing(self) -> Standing:
        """What decides between this and another session of the same two servers. Only once ``opened``."""
        boot = self.peer_hello.boot_count
        if self._dial:
            return Standing(boot, self._dial, self._me.name.rpartition("/")[2])
        return Standing(boot, self.peer_hello.dial, self.peer.certified.id)

    def due_in(self) -> float:
        """Seconds until a new session should take over, for a certificate of either end is old enough."""
        if self.peer.name.role is Role.EXPIRED:
            return self._began + limits.EXPIRED_SESSION - self._reactor.seconds()
        return min((hand_over_at(each) - self.wall()).total_seconds() for each in self._leaves())

    def ends_in(self) -> float:
        """Seconds until the certificate of either end ends, and this session with it."""
        if self.peer.name.role is Role.EXPIRED:
            return (self.peer.not_after - self.wall()).total_seconds()
        return min((each.not_valid_after_utc - self.wall()).total_seconds() for each in self._leaves())

    def _leaves(self) -> list[x509.Certificate]:
        return [self.peer.chain[0], *([] if self.shown is None else [self.shown])]

    def gone(self) -> Deferred[str]:
        """Fires with the reason when the session has ended; each caller's own, to wait for or to cancel."""
        if self.ended:
            return succeed(self.reason)
        waiter: Deferred[str] = Deferred(lambda each: self._leaving.pop(each, None))
        self._leaving[waiter] = None
        return waiter

    def tell(self, message: m.Message) -> None:
        """Send without asking for a reply. A session that ends drops it: the sender sends again on the next
        session what must not be lost."""
        if self.reason or self._frames.transport is None:
            return
        frame = m.encode(message)
        if len(frame) > limits.FRAME:
            raise ProtocolError(f"our own {m.tag_of(message)} of {len(frame)} bytes exceeds a frame")
        self._frames.send(frame)

    async def request(self, message: m.Message, kind: type[Reply]) -> Reply:
        """Send and await the reply of type ``kind``. Cancelling it drops the reply, not the work at the peer.

        Raises RefusedError when the peer refused, and SessionLostError when the session ended first, as it does when
        the peer answers with something else.
        """
        if self.reason:
            raise SessionLostError(self.reason)
        self._last_call = self._reactor.seconds()
        number = next(self._numbers)
        waiting: Deferred[m.Message] = Deferred()
        self._waiting[number] = waiting
        try:
            self.tell(msgspec.structs.replace(message, rid=number))
            reply = await waiting
        finally:
            self._waiting.pop(number, None)
        if isinstance(reply, m.Refused):
            raise RefusedError(reply.code, reply.sentence)
        if isinstance(reply, m.Unsupported):
            raise RefusedError("unsupported", f"the peer's release does not know {reply.what!r}")
        if not isinstance(reply, kind):
            sentence = f"{m.tag_of(reply)} is no answer to {m.tag_of(message)}"
            self.close("protocol", sentence)
            raise SessionLostError(f"protocol: {sentence}")
        return reply

    def close(self, code: str, sentence: str) -> None:
        """Say why, then close. The first reason stands."""
        if not self.reason:
            bye = m.Bye(code=words(code, 64), sentence=words(sentence))
            self.tell(bye)
            self._leave(f"{bye.code}: {bye.sentence}")  # logged: no longer than what the peer is told

    def give_way(self, newer: Session) -> None:
        """The same peer has opened ``newer``. This one ends: at once where it belonged to an earlier process, else as
        soon as nothing is under way on it, for a handover shall disturb nothing."""
        if newer.peer_hello.boot != self.peer_hello.boot:
            self.close("superseded", "a newer session of this peer was opened")
        elif self._gives_way is None:
            self._gives_way = self._reactor.seconds()

    def abort(self, sentence: str) -> None:
        """Drop the connection without a word: the peer does not read."""
        self.reason = self.reason or sentence
        self._abort()

    # --- connection events --------------------------------------------------------------------------

    def _made(self, frames: FrameProtocol) -> None:
        if self.reason:  # closed while it was still being dialled
            frames.abort()
            return
        set_user_timeout(frames.transport, limits.SILENCE)
        frames.watch_buffer(_Backpressure(self))
        self._after("handshake", limits.HANDSHAKE, self._too_slow)
        self.tell(self._me.hello(self._dial, self.wall()))

    def _received(self, frame: bytes) -> None:
        """Nothing that a frame causes gets out of here but by ending this session."""
        if self.reason:
            return
        self._last_heard = self._reactor.seconds()
        self._take_safely(frame)

    def _take_safely(self, frame: bytes) -> None:
        try:
            self._take(frame)
        except (ProtocolError, IdentityError) as error:
            self.close("protocol", str(error))
        except Exception:
            _log.failure("a message of {peer} met a defect", peer=self.remote)
            self.close("internal", "a defect on this side; its log has the details")

    def _lost(self, reason: Failure) -> None:
        if self.ended:
            return
        self.reason = self.reason or self._describe(reason)
        self.ended = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._serving.end()
        if self._open:
            try:
                self._door.closed(self, self.reason)
            except Exception:
                _log.failure("the end of a session with {peer} met a defect", peer=self.peer.name.uri())
        waiting, self._waiting = self._waiting, {}
        for reply in waiting.values():
            if not reply.called:
                reply.errback(SessionLostError(self.reason))
        if not self.ready.called:
            self.ready.errback(UnreachableError(self.reason))
        leaving, self._leaving = self._leaving, {}
        for waiter in leaving:
            if not waiter.called:
                waiter.callback(self.reason)

    def _describe(self, reason: Failure) -> str:
        if self._frames.too_long:
            return f"a frame of {self._frames.too_long} bytes is longer than allowed"
        refused = refusal(reason)
        if refused is not None:
            return str(refused)
        if reason.check(ConnectionDone):
            return "the peer closed the connection"
        if reason.check(ConnectionLost):
            return "the connection was lost"
        return reason.getErrorMessage()

    def _leave(self, reason: str) -> None:
        self.reason = reason
        if self._frames.transport is not None and not self.ended:
            self._frames.finish()
            self._after("linger", limits.LINGER, self._abort)

    # --- messages -----------------------------------------------------------------------------------

    def _take(self, frame: bytes) -> None:
        try:
            message = m.decode(frame)
        except m.UnknownMessageError as unknown:
            self._not_understood(frame, unknown)
            return
        if isinstance(message, m.Bye):
            self._leave(f"{message.code}: {message.sentence}")
        elif self.hello is None:
            self._greeted(message)
        else:
            self._hear(frame, message)

    def _not_understood(self, frame: bytes, unknown: m.UnknownMessageError) -> None:
        if self.hello is None:
            raise ProtocolError(f"expected hello, got {unknown.tag}")
        if self._serving.holding:
            self._serving.hold(frame)
        else:
            self.tell(m.Unsupported(re=unknown.rid, what=unknown.tag))

    def _hear(self, frame: bytes, message: m.Message) -> None:
        if isinstance(message, m.Ping):
            self._pinged(message)
            return
        if isinstance(message, m.Pong):
            sent = self._pings.pop(message.n, None)
            if sent is not None:
                self._door.answered(self, sent)
            return
        self._last_call = self._reactor.seconds()
        if message.re:
            waiting = self._waiting.pop(message.re, None)
            if waiting is not None and not waiting.called:
                waiting.callback(message)
        elif isinstance(message, m.REPLIES):
            self._unasked(message)
        elif self._serving.holding:
            self._serving.hold(frame)
        else:
            self._serving.call(message)

    def _unasked(self, message: m.Message) -> None:
        """A reply to nothing: what we told is refused there, or not known. The log hears of the first only."""
        if not self._heard_unasked:
            self._heard_unasked = True
            _log.info(
                "{peer} says {message}, and maybe more such", peer=self.peer.name.uri(), message=message
            )

    def _greeted(self, message: m.Message) -> None:
        if not isinstance(message, m.Hello):
            raise ProtocolError(f"expected hello, got {m.tag_of(message)}")
        identity = peer_identity(self._frames.transport)
        self._compare_clocks(identity, message)
        refused = unwelcome(identity, message, self._door.welcome, self._me, self.clocks)
        if refused is not None:
            _log.warn("refused {name} at the door: {refused}", name=identity.name.uri(), refused=refused)
            self.close(refused.code, refused.sentence)
            return
        self.identity, self.hello = identity, message
        self._forget_timer("handshake")
        self._frames.trust_longer_frames()
        self._open = True
        self._beat()
        self._beat_later()
        self._door.opened(self)
        if not self.ready.called:
            self.ready.callback(self)

    def _compare_clocks(self, identity: PeerIdentity, hello: m.Hello) -> None:
        """Certificates, which go by wall clocks, may be refused because of one that is wrong: people hear of it."""
        self.clocks = clocks(hello, self.wall(), self._reactor.seconds() - self._began)
        if self.clocks is not None and self.clocks.disagree:
            _log.warn("{name} ({uri}): {words}", name=identity.common_name, uri=identity.certified.uri(),
                      words=self.clocks.words())  # fmt: skip

    # --- time ---------------------------------------------------------------------------------------

    def _beat_later(self) -> None:
        """Who was dialled waits a little for the peer's ping: its own then travels with the answer, which halves what
        heartbeats cost whoever serves thousands."""
        pause = limits.HEARTBEAT if self._dial else limits.HEARTBEAT + limits.HEARTBEAT_WAIT
        self._after("beat", self._beaten + pause - self._reactor.seconds(), self._beat_due)

    def _beat_due(self) -> None:
        if self._may_beat():
            self._beat()
        if not self.reason:
            self._beat_later()

    def _may_beat(self) -> bool:
        """Whether the last ping was not just now."""
        return self._reactor.seconds() - self._beaten >= limits.HEARTBEAT / 2

    def _beat(self) -> None:
        now = self._reactor.seconds()
        silent = now - self._last_heard
        if silent > limits.SILENCE:
            self.abort(f"nothing heard for {silent:.1f} s")
            return
        if self.wall() >= self.peer.not_after:
            uri, until = self.peer.name.uri(), self.peer.not_after.isoformat(" ", "seconds")
            apart = f"; {self.clocks.words()}" if self.clocks is not None and self.clocks.disagree else ""
            self.close("certificate-expired", f"the certificate of {uri} expired at {until}: renew it{apart}")
            return
        if self._is_superseded(now):
            self.close("superseded", "a newer session of this peer took over")
            return
        number = next(self._numbers)
        if len(self._pings) > 2 * limits.SILENCE / limits.HEARTBEAT:
            self._pings.pop(next(iter(self._pings)))
        self._pings[number] = self._beaten = now
        self.tell(m.Ping(n=number))

    def _is_superseded(self, now: float) -> bool:
        if self._gives_way is None:
            return False
        if now - self._gives_way > limits.HANDOVER_MOST:
            return True
        busy = bool(self._waiting) or self._serving.busy
        return not busy and now - max(self._gives_way, self._last_call) > limits.HANDOVER_QUIET

    def _pinged(self, ping: m.Ping) -> None:
        if self._serving.paused:
            self._owed_pong = ping.n  # the newest is enough, and a flood of pings makes nothing grow
        else:
            self.tell(m.Pong(n=ping.n))
            if not self._dial and self._may_beat():
                self._beat()
        self._door.heard(self)

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
    # A peer that does not read what we send, or has too much under way, gets no further work done: its calls
    # are held, in order and bounded, until it reads or some of it is done. Reading itself goes on, because two
    # sides that both stop reading while both have much to send would wait for each other for ever.

    def pause(self) -> None:
        """Our bytes pile up: hold the peer's calls until it has taken them."""
        if not self.ended:
            self._serving.paused = True
            self._after("stall", limits.SEND_BUFFER_STALL, self._stalled)

    def resume(self) -> None:
        """The peer reads again: do what was held, until it stops reading again."""
        if self.ended:
            return
        self._forget_timer("stall")
        self._serving.resume()
        owed, self._owed_pong = self._owed_pong, None
        if owed is not None:
            self.tell(m.Pong(n=owed))
        self.do_held()

    def do_held(self) -> None:
        """Do the calls that were held, in order, as far as they may be done now."""
        if self._doing_held:
            return  # a held call that was done at once comes back here
        self._doing_held = True
        try:
            while not self.reason and (frame := self._serving.next_held()) is not None:
                self._take_safely(frame)
        finally:
            self._doing_held = False

    def _stalled(self) -> None:
        self.abort("it does not read what we send")


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
        if isinstance(candidate, socket.socket) and candidate.family == socket.AF_UNIX:
            return
        if isinstance(candidate, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return
