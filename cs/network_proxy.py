"""The way of one confined job to the places that it was granted: a proxy at a socket inside of its sandbox.

A ``JobNetwork`` serves one attempt. It gets the listening socket that was made in the job's network namespace, and
dials from the machine's own. A name is looked up once in an attempt: its first answer stays, whatever its holder says
later. Everything that is carried is counted, and all of it ends with the attempt. TLS passes through it end to end.

The rules are in ``cs.network_proxy_rules`` and ``cs.network_proxy_addresses``; no other ones are here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, cast

from twisted.internet import tcp
from twisted.internet.base import ReactorBase
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import (
    IAddress,
    IReactorSocket,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from cs import limits
from cs.network_proxy_addresses import Address, Machine, allowed
from cs.network_proxy_names import Names
from cs.network_proxy_rules import CONNECTED, Asked, Meter, NotCarriedError, Pace, Reach, read_request
from rjs.background import Timer

_log = Logger("cs.network")

_END = b"\r\n\r\n"


class JobNetwork:
    """One attempt's. ``reach`` says at any moment what it may reach, ``machine`` what this machine's addresses
    are; ``name`` is the attempt in the log."""

    def __init__(
        self,
        reactor: ReactorBase,
        name: str,
        most: int,
        reach: Callable[[], Reach],
        machine: Callable[[], Machine],
    ) -> None:
        self.reactor = reactor
        self.meter = Meter(most)
        self.connections: set[Connection] = set()
        self._name = name
        self._reach = reach
        self._machine = machine
        self._names = Names(reactor)
        self._answered: dict[str, Address] = {}
        self._pace = Pace(reactor.seconds())
        self._port: tcp.Port | None = None
        self._pause: Timer | None = None
        self._refused = 0
        self._over = False

    def listened(self, descriptor: int) -> None:
        """Serve the listening socket of this number, which is the caller's no more. Never raises: without a socket
        that can be served the job has no network, and the log says why."""
        try:
            _check_listening(descriptor, fresh=self._port is None and not self._over)
            os.set_blocking(descriptor, False)
            reactor = IReactorSocket(self.reactor)
            self._port = cast(tcp.Port, reactor.adoptStreamPort(descriptor, socket.AF_INET, _Entrance(self)))  # type: ignore[arg-type]  # it may refuse
        except (OSError, ValueError) as error:
            _log.error("{name} has no network: {error}", name=self._name, error=error)
        finally:
            os.close(descriptor)

    def end(self) -> None:
        """The attempt is over, its processes are gone: nothing is carried any more on return. The socket may be
        handed to the next attempt in the same cell, so whoever still waits there is turned away."""
        if self._over:
            return
        self._over = True
        if self._pause is not None and self._pause.active():
            self._pause.cancel()
        if self._port is not None:
            _turn_away(self._port.socket)
            self._port.stopListening()
        for connection in tuple(self.connections):
            connection.drop()
        for place, traffic in self.meter.places.items():
            _log.info("{name} reached {place}: {traffic.connections} connections, {traffic.sent} bytes sent, "
                      "{traffic.received} received", name=self._name, place=place, traffic=traffic)  # fmt: skip
        if self._refused:
            _log.info("{name}: {count} requests refused", name=self._name, count=self._refused)

    def facts(self) -> dict[str, Any]:
        """For status: bytes used and the most, traffic by place, requests refused."""
        return {**self.meter.facts(), "refused": self._refused}

    # --- for connections ----------------------------------------------------------------------------

    def entered(self, connection: Connection) -> None:
        """One was accepted."""
        self.connections.add(connection)
        pause = self._pace.taken(self.reactor.seconds())
        if pause and self._pause is None:
            self._pause = self.reactor.callLater(pause, self._paused)
        self._breathe()

    def left(self, connection: Connection) -> None:
        """Both its ends are gone."""
        self.connections.discard(connection)
        self._breathe()

    def _paused(self) -> None:
        self._pause = None
        self._breathe()

    def _breathe(self) -> None:
        """Accept as many connections as are served; the kernel lets the others wait."""
        if self._port is None or self._over:
            return
        if self._pause is not None or len(self.connections) >= limits.NETWORK_CONNECTIONS:
            self._port.stopReading()
        else:
            self._port.startReading()

    def refused(self, error: NotCarriedError) -> None:
        """A request was."""
        self._refused += 1
        if self._refused <= limits.NETWORK_REFUSALS:
            _log.info("{name}: {error}", name=self._name, error=error)

    def used_up(self, error: NotCarriedError) -> None:
        """Nothing is carried any more."""
        self.refused(error)
        for connection in tuple(self.connections):
            connection.drop()

    async def joined(self, place: str, far: Protocol) -> None:
        """``far`` is connected to ``place`` on return. Raises NotCarriedError."""
        self.meter.check()
        self._reach().check(place)
        host, _, port = place.rpartition(":")
        found = await self._names.addresses(host.strip("[]"))
        dialled = list(allowed(found, place, self._reach(), self._machine()))
        dialled.sort(key=lambda address: address != self._answered.get(place))  # the one that answered before
        for address in dialled:
            with suppress(ConnectError, OSError):
                await _connecting(self.reactor, address, int(port), far)
                self._answered[place] = address
                self.meter.opened(place)
                return
        raise NotCarriedError(
            "unreachable", f"{place} does not let this machine connect; is a server running there?"
        )


class _Entrance(Factory):
    """Lets the job in. Of many that call at once some come in before the port stops: no more than as many again."""

    noisy = False

    def __init__(self, network: JobNetwork) -> None:
        self._network = network

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:
        """Twisted's door."""
        full = len(self._network.connections) >= 2 * limits.NETWORK_CONNECTIONS
        return None if full else Connection(self._network)


def _check_listening(descriptor: int, *, fresh: bool) -> None:
    """Raises ValueError, OSError."""
    if not fresh:
        raise ValueError("a socket came that nobody waits for")
    with socket.socket(fileno=os.dup(descriptor)) as found:
        listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if (found.family, found.type, listens) != (socket.AF_INET, socket.SOCK_STREAM, 1):
            raise ValueError("what came is no listening socket of TCP")


def _turn_away(door: socket.socket) -> None:
    """Close what the kernel holds for it, no more than it may hold."""
    with suppress(OSError):  # nobody is there
        for _ in range(socket.SOMAXCONN):
            door.accept()[0].close()


async def _connecting(reactor: ReactorBase, address: Address, port: int, far: Protocol) -> None:
    kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
    endpoint = kind(reactor, str(address), port, limits.NETWORK_CONNECT)
    try:
        await endpoint.connect(Factory.forProtocol(lambda: far))
    except ConnectingCancelledError as error:  # Twisted's name for it
        raise CancelledError from error


class Connection(Protocol):
    """One connection of the job's: reads one head, is joined to the place, and carries; or is refused."""

    def __init__(self, network: JobNetwork) -> None:
        self._network = network
        self._state: Literal["head", "joining", "carrying", "refused"] = "head"
        self._taken = bytearray()
        self._place = ""
        self._body: int | None = None
        self._far = _Far(self)
        self._joining: Deferred[None] | None = None
        self._alarm: Timer | None = None
        self._unheard = 0
        self._gone = False

    # --- the job's end ------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Twisted's door: it called."""
        _wire(self).setTcpNoDelay(True)
        self._set_alarm(limits.NETWORK_HEAD_TIME)
        self._network.entered(self)

    def dataReceived(self, data: bytes) -> None:
        """Twisted's door: its head, and from then on what it says to the place."""
        if self._state == "carrying":
            self._send(data)
        elif self._state == "head":
            looked = max(0, len(self._taken) - len(_END) + 1)
            self._taken += data
            self._look(self._taken.find(_END, looked))
        elif self._state == "refused":
            self._unheard += len(data)
            if self._unheard > limits.NETWORK_UNHEARD:
                self.drop()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted's door: it hung up, or was hung up on."""
        self._gone = True
        if self._joining is not None:
            self._joining.cancel()
        if self._far.here:
            far = _wire(self._far)
            far.unregisterProducer()
            far.loseConnection()
        self._maybe_leave()

    def drop(self) -> None:
        """End it at once, at both ends."""
        if self._far.here:
            _wire(self._far).abortConnection()
        if not self._gone:
            _wire(self).abortConnection()

    def _look(self, end: int) -> None:
        """Ask, if the head is whole."""
        if max(end, 0 if end >= 0 else len(self._taken)) > limits.NETWORK_HEAD:
            most = limits.NETWORK_HEAD
            self._refuse(NotCarriedError("head-too-long", f"a request's head has at most {most} bytes here"))
        elif end >= 0:
            head = bytes(self._taken[:end])
            del self._taken[: end + len(_END)]
            self._ask(head)

    def _ask(self, head: bytes) -> None:
        try:
            asked = read_request(head)
        except NotCarriedError as error:
            self._refuse(error)
            return
        self._state, self._place, self._body = "joining", asked.place, asked.body
        _wire(self).pauseProducing()  # what else it says waits in the kernel
        self._set_alarm(2 * limits.NETWORK_REACH)
        joining = self._joining = Deferred.fromCoroutine(self._network.joined(asked.place, self._far))
        joining.addTimeout(limits.NETWORK_REACH, self._network.reactor)
        joining.addCallbacks(lambda _: self._begin(asked), self._not_joined)  # it may have fired already
        joining.addErrback(self._failed)

    def _not_joined(self, failure: Failure) -> None:
        """The job is told; unless it was the job that left."""
        failure.trap(NotCarriedError, TimeoutError, CancelledError)
        if self._gone:
            return
        late = NotCarriedError("no-answer", f"{self._place} did not answer in {limits.NETWORK_REACH:.0f} s")
        self._refuse(failure.value if isinstance(failure.value, NotCarriedError) else late)

    def _failed(self, failure: Failure) -> None:
        _log.failure("a connection of a job failed", failure)
        self.drop()

    def _refuse(self, error: NotCarriedError) -> None:
        """Say why. What the job still sends is read and forgotten: closed at once, it might not hear why."""
        self._network.refused(error)
        self._state, self._joining = "refused", None
        self._taken.clear()
        self._set_alarm(limits.NETWORK_HEAD_TIME)
        near = _wire(self)
        near.write(error.response())
        near.loseWriteConnection()
        near.resumeProducing()

    # --- carrying -----------------------------------------------------------------------------------

    def _begin(self, asked: Asked) -> None:
        """Both ends are there."""
        self._state, self._joining = "carrying", None
        near, far = _wire(self), _wire(self._far)
        far.setTcpNoDelay(True)
        near.registerProducer(far, True)
        far.registerProducer(near, True)
        if asked.body is None:
            near.write(CONNECTED)
        elif self._counted(self._network.meter.sent, asked.head):
            far.write(asked.head)
        near.resumeProducing()
        waiting = bytes(self._taken)
        self._taken.clear()
        self._send(waiting)

    def _send(self, data: bytes) -> None:
        """To the place; of a request that was rewritten, its body and no more."""
        if self._body is not None:
            if len(data) > self._body:
                _wire(self).pauseProducing()  # a second request goes nowhere, and costs nothing
            data = data[: self._body]
            self._body -= len(data)
        if self._far.here and self._counted(self._network.meter.sent, data):
            _wire(self._far).write(data)

    def came(self, data: bytes) -> None:
        """From the place."""
        if not self._gone and self._counted(self._network.meter.received, data):
            _wire(self).write(data)

    def far_lost(self) -> None:
        """The place hung up: what came of it is still told."""
        if not self._gone:
            near = _wire(self)
            near.unregisterProducer()
            near.loseConnection()
        self._maybe_leave()

    def _counted(self, count: Callable[[str, int], None], data: bytes) -> bool:
        """Whether these bytes may be carried; else nothing is any more."""
        try:
            count(self._place, len(data))
        except NotCarriedError as error:
            self._network.used_up(error)
            return False
        self._set_alarm(limits.NETWORK_IDLE)
        return True

    def _set_alarm(self, seconds: float) -> None:
        """Be late after so long, unless something happens."""
        self._silence()
        self._alarm = self._network.reactor.callLater(seconds, self._late)

    def _silence(self) -> None:
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()

    def _late(self) -> None:
        if self._state == "head":
            seconds = limits.NETWORK_HEAD_TIME
            self._refuse(NotCarriedError("too-slow", f"no whole request came in {seconds:.0f} s"))
        else:
            self.drop()

    def _maybe_leave(self) -> None:
        if self._gone and not self._far.here:
            self._silence()
            self._network.left(self)


class _Far(Protocol):
    """The end at the place. ``here``: it is connected."""

    here = False

    def __init__(self, near: Connection) -> None:
        self._near = near

    def connectionMade(self) -> None:
        """Twisted's door."""
        self.here = True

    def dataReceived(self, data: bytes) -> None:
        """Twisted's door."""
        self._near.came(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Twisted's door."""
        self.here = False
        self._near.far_lost()


def _wire(protocol: Protocol) -> tcp.Connection:
    assert protocol.transport is not None
    return cast(tcp.Connection, protocol.transport)
