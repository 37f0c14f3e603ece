"""An organisation founded now (OpenSSL judges by the real time), and wires between its members."""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Iterator

import pytest
from twisted.internet.base import ReactorBase
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from zope.interface import implementer

from rjs.identity.testing import Organisation
from rjs.wire.testing import Wire


@pytest.fixture(scope="session")
def organisation() -> Organisation:
    return Organisation(dt.datetime.now(dt.UTC))


@pytest.fixture
def wire(organisation: Organisation) -> Wire:
    """A lookup server dials a web server; not yet connected."""
    return Wire(organisation)


@pytest.fixture
def reactor() -> ReactorBase:
    """The process's reactor, which these tests turn by hand."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    return reactor


@pytest.fixture
def defects() -> Iterator[list[str]]:
    """The failures logged while the test runs, each by its type."""
    found: list[str] = []

    @implementer(ILogObserver)
    class Observer:
        def __call__(self, event: LogEvent) -> None:
            if "log_failure" in event:
                found.append(type(event["log_failure"].value).__name__)

    observer = Observer()
    globalLogPublisher.addObserver(observer)
    yield found
    globalLogPublisher.removeObserver(observer)


@pytest.fixture(autouse=True)
def no_defects(request: pytest.FixtureRequest, defects: list[str]) -> Iterator[None]:
    """No test of the wire leaves a failure behind in a log, unless it asks for ``defects`` and judges them."""
    yield
    if "defects" not in inspect.signature(request.function).parameters:
        assert defects == []
