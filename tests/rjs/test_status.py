"""Local status: one true document a question, for the owner's account only, and plain words otherwise."""

from __future__ import annotations

import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IListeningPort

import rjs.status
from rjs.errors import ConfigError, UnreachableError
from rjs.status import SOCKET, read_status, serve_status


class Server:
    """Serves status while questions are asked in a thread."""

    def __init__(self, reactor: ReactorBase) -> None:
        self.reactor = reactor
        self.ports: list[IListeningPort] = []

    def serve(self, folder: Path, document: Callable[[], object]) -> None:
        self.ports.append(serve_status(self.reactor, folder, document))

    def ask(self, folder: Path) -> Any:
        """The document, or the error."""
        got: list[Any] = []

        def question() -> None:
            try:
                got.append(read_status(folder))
            except UnreachableError as error:
                got.append(error)

        asking = threading.Thread(target=question)
        asking.start()
        for _ in range(500):
            self.reactor.iterate(0.01)
            if got:
                break
        asking.join()
        return got[0]


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on the process's reactor, which stops listening at the end."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    found = Server(reactor)
    yield found
    for port in found.ports:
        cast(Any, port).stopListening()
    for _ in range(20):
        reactor.iterate(0.01)


def test_each_question_gets_what_is_true_then(server: Server, tmp_path: Path) -> None:
    """The document is made when it is asked for, however long it is."""
    documents = iter([{"n": 1}, {"n": "x" * 3_000_000}])
    server.serve(tmp_path, lambda: next(documents))
    assert server.ask(tmp_path) == {"n": 1}
    assert server.ask(tmp_path) == {"n": "x" * 3_000_000}


def test_only_the_owners_account_may_ask(server: Server, tmp_path: Path) -> None:
    """The socket is closed to every other account."""
    server.serve(tmp_path, dict)
    found = (tmp_path / SOCKET).stat()
    assert stat.S_ISSOCK(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600


def test_nobody_runs(server: Server, tmp_path: Path) -> None:
    """No socket, and the socket of a server that was killed, are told as a server that does not run."""
    assert str(server.ask(tmp_path)).startswith(f"no server runs in {tmp_path}")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / SOCKET))
    assert str(server.ask(tmp_path)) == f"no server runs in {tmp_path} (Connection refused)"
    server.serve(tmp_path, lambda: ["again"])
    assert server.ask(tmp_path) == ["again"]


def test_a_defect_is_told_at_once(server: Server, tmp_path: Path) -> None:
    """A document that cannot be made makes nobody wait."""
    server.serve(tmp_path, lambda: 1 / 0)
    assert str(server.ask(tmp_path)) == f"the server in {tmp_path} cannot tell its status; its log says why"


def test_a_server_that_does_not_answer(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that hangs is told from one that does not run."""
    monkeypatch.setattr(rjs.status, "STATUS_PATIENCE", 0.2)
    server.serve(tmp_path, dict)
    with pytest.raises(UnreachableError, match="did not answer within"):
        read_status(tmp_path)


def test_too_long_a_document(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader does not take more than it can hold."""
    monkeypatch.setattr(rjs.status, "STATUS_DOCUMENT", 1000)
    server.serve(tmp_path, lambda: "x" * 200_000)
    assert "larger than 1000 bytes" in str(server.ask(tmp_path))


def test_too_long_a_path(server: Server, tmp_path: Path) -> None:
    """A folder whose socket would have too long a name is refused with the remedy, and nothing is removed."""
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    (folder / SOCKET).write_text("kept")
    with pytest.raises(ConfigError, match="use a state folder with a shorter path"):
        server.serve(folder, dict)
    assert (folder / SOCKET).exists()
