"""The way through an HTTP proxy: CONNECT and TLS inside; every refusal in words, no password anywhere."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred

from rjs import limits
from rjs.errors import ConfigError
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.identity.tls import client_context, server_context
from rjs.wire.dial import Acceptor, RefusedConnectionError, dial
from rjs.wire.proxy import Proxy, ProxyError, read_proxy
from rjs.wire.session import Session
from rjs.wire.testing import Member

SECRET = "s3cret/@"


class Loopback:
    """A web server's door on loopback, and a lookup server that dials it."""

    def __init__(self, reactor: ReactorBase, organisation: Organisation) -> None:
        self.reactor = reactor
        self.caller = Member.of(organisation, organisation.member(Role.LUS))
        called = Member.of(organisation, organisation.member(Role.WS))
        context = server_context(called.identity, Role)
        self.acceptor = Acceptor(reactor, called.hello, called.door, context, 5)
        self.port = self.acceptor.listen(0, "127.0.0.1")

    def dial(self, proxy: Proxy | None) -> Any:
        """The session through ``proxy``, or the error."""
        context = client_context(self.caller.identity, Role.WS)
        return self.outcome(
            dial(
                self.reactor,
                "127.0.0.1",
                self.port,
                self.caller.hello,
                self.caller.door,
                context,
                1,
                proxy=proxy,
            )
        )

    def outcome(self, work: Any) -> Any:
        """The result of a coroutine, or its error."""
        got: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(got.append)
        for _ in range(400):
            if got:
                return getattr(got[0], "value", got[0])
            self.reactor.iterate(0.02)
        raise AssertionError("it hangs")


class HttpProxy:
    """An HTTP proxy on loopback in threads of its own: reads the head, ``answers``, and if that says 200 pipes."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.heads: list[bytes] = []
        self._answer = answer
        self._door = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._door]
        self.port: int = self._door.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._door.accept()
                self._open.append(caller)
                threading.Thread(target=self._speak, args=(caller,), daemon=True).start()

    def _speak(self, caller: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += caller.recv(1)
            self.heads.append(head)
            answer = self._answer(head)
            if b" 200 " not in answer:
                caller.sendall(answer)
                caller.shutdown(socket.SHUT_WR)
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            peer = socket.create_connection((host, int(port)))
            self._open.append(peer)
            caller.sendall(answer)
            threading.Thread(target=_pipe, args=(peer, caller), daemon=True).start()
            _pipe(caller, peer)


def _pipe(one: socket.socket, two: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            two.sendall(data)
        two.shutdown(socket.SHUT_WR)


def through(head: bytes) -> bytes:
    return b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n"


@pytest.fixture
def loopback(reactor: ReactorBase, organisation: Organisation) -> Iterator[Loopback]:
    made = Loopback(reactor, organisation)
    yield made
    made.outcome(made.acceptor.close("the test ends"))


@pytest.fixture
def proxies() -> Iterator[Callable[[Callable[[bytes], bytes]], HttpProxy]]:
    made: list[HttpProxy] = []

    def make(answer: Callable[[bytes], bytes]) -> HttpProxy:
        made.append(HttpProxy(answer))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_tls_goes_end_to_end(loopback: Loopback, proxies: Any) -> None:
    """The session is with the web server, by its certificate; the proxy hears the address and the password."""
    proxy = proxies(through)
    url = f"http://ada:s3cret%2F%40@127.0.0.1:{proxy.port}"
    session = loopback.dial(proxy=read_proxy(url))
    assert isinstance(session, Session) and session.peer.name.uri().startswith("rjs://ws/")
    head = proxy.heads[0].decode()
    assert head.startswith(
        f"CONNECT 127.0.0.1:{loopback.port} HTTP/1.1\r\nHost: 127.0.0.1:{loopback.port}\r\n"
    )
    assert "Proxy-Authorization: Basic YWRhOnMzY3JldC9A\r\n" in head  # printf 'ada:s3cret/@' | base64


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "answered 407 Proxy Authentication Required: it wants",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\nA: b\r\n\r\n<html>",
            "answered 403 Forbidden: it does not let this machine",
        ),
        (b"HTTP/1.0 502\r\n\r\n", "answered 502: it could not reach the web server"),
        (b"HTTP/1.1 599 \x1b[31mred\r\n\r\n", "answered 599: ask whoever runs it"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it did not answer in HTTP"),
        (b"HTTP/1.1 204", "closed the connection without an answer"),
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK".replace(b" 200 ", b"  200 ") + b"\r\n\r\n", "it did not answer in HTTP"),
        (b"HTTP/1.1 403 x\r\n" + b"A" * (limits.PROXY_HEAD + 1), "answered with no end of a head"),
    ],
)
def test_a_refusal_is_told_in_words(loopback: Loopback, proxies: Any, answer: bytes, words: str) -> None:
    """Whatever the proxy says but yes: which proxy, what it answered, what would help; never the password."""
    proxy = proxies(lambda head: answer)
    way = read_proxy(f"http://ada:s3cret%2F%40@127.0.0.1:{proxy.port}")
    error = loopback.dial(proxy=way)
    assert type(error) is ProxyError
    assert str(error).startswith(
        f"the proxy 127.0.0.1:{proxy.port} did not connect us to 127.0.0.1:{loopback.port}: "
    )
    assert words in str(error) and "\x1b" not in str(error)
    assert SECRET not in str(error) and "YWRhOn" not in repr(way) + str(way) + str(error)


def test_a_proxy_that_is_off_is_no_dead_web_server(loopback: Loopback) -> None:
    """A refused connection to the proxy is told of the proxy."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = loopback.dial(proxy=Proxy("127.0.0.1", port))
    assert type(error) is ProxyError and not isinstance(error, RefusedConnectionError)
    assert str(error).startswith(f"the proxy 127.0.0.1:{port} cannot be reached: ")


def test_a_silent_proxy_is_given_up(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that never answers costs a bounded time, and its connection is dropped."""
    monkeypatch.setattr(limits, "HANDSHAKE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = loopback.dial(proxy=Proxy("127.0.0.1", silent.getsockname()[1]))
        assert "said no hello within" in str(error)
        caller, _ = silent.accept()
        for _ in range(5):
            loopback.reactor.iterate(0.01)
        with caller, pytest.raises(ConnectionResetError):
            caller.settimeout(5)
            while caller.recv(4096):
                pass


@pytest.mark.parametrize(
    "url",
    ["proxy:3128", "https://proxy:3128", "http://proxy", "http://:3128", "http://a:p@ss@/x:1", "http://p:99999",
     "http://proxy:3128/path", "http://proxy:3128?x", "socks5://proxy:1080"],
)  # fmt: skip
def test_another_form_is_refused(url: str) -> None:
    """What is no http://host:port is refused with the form, and not repeated: it may hold a password."""
    with pytest.raises(ConfigError, match='must have the form "http://host:port"') as refused:
        read_proxy(url)
    assert url not in str(refused.value)


def test_none_is_none() -> None:
    """Without a setting there is no proxy; an IPv6 address needs its brackets."""
    assert read_proxy("") is None
    assert read_proxy("http://[::1]:3128") == Proxy("::1", 3128)
