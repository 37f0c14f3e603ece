"""A log that nobody fills a disk with."""

from __future__ import annotations

import io
from typing import cast

import pytest
from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent

from rjs.bounded_log import BoundedLog
from rjs.limits import LOG_A_SECOND, LOG_AT_ONCE, LOG_KINDS
from rjs.process import log_observer

MOST = int(LOG_AT_ONCE)


class Bench:
    """A bounded log, what it let through, and its clock."""

    def __init__(self) -> None:
        self.now = 5.0
        self.lines: list[str] = []
        self.log = Logger("test", observer=BoundedLog(cast(ILogObserver, self.write), lambda: self.now))

    def write(self, event: LogEvent) -> None:
        self.lines.append(formatEvent(event))

    def call(self, caller: str, count: int = 1) -> None:
        for _ in range(count):
            self.log.info("{caller} called", caller=caller)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_flood_is_counted_and_told(bench: Bench) -> None:
    """What comes too fast is left out; the next line that is written says how much that was, once."""
    bench.call("ada", MOST + 40)
    assert len(bench.lines) == MOST
    bench.now += 2 / LOG_A_SECOND
    bench.call("ada", 2)
    assert bench.lines[MOST:] == [
        "40 lines like the next one were left out: they came too fast", "ada called", "ada called"
    ]  # fmt: skip


def test_what_was_left_out_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As text, the word on what was left out is a line, with no traceback of anything."""
    monkeypatch.setattr("rjs.limits.LOG_AT_ONCE", 1.0)
    out = io.StringIO()
    log = Logger("test", observer=log_observer(out))
    monkeypatch.setattr("rjs.limits.LOG_A_SECOND", 0.0)
    log.info("called")
    log.info("called")
    monkeypatch.setattr("rjs.limits.LOG_A_SECOND", 1e9)
    log.info("called")
    assert "1 lines like the next one were left out" in out.getvalue()
    assert len(out.getvalue().splitlines()) == 3


def test_nobody_hides_anothers_call(bench: Bench) -> None:
    """Every caller has a measure of its own, and so has every statement; what is critical is always written."""
    bench.call("mallory", MOST + 1)
    bench.call("ada")
    bench.log.warn("{caller} was refused", caller="mallory")
    assert bench.lines[MOST:] == ["ada called", "mallory was refused"]
    for _ in range(MOST + 5):
        bench.log.critical("the end")
    assert bench.lines.count("the end") == MOST + 5


def test_what_is_remembered_is_bounded(bench: Bench) -> None:
    """A caller with ever new names makes nothing grow."""
    for number in range(LOG_KINDS + 10):
        bench.call(str(number))
    observer = bench.log.observer
    assert isinstance(observer, BoundedLog) and len(observer._rooms) == LOG_KINDS


def test_a_servers_log_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As servers are started; who looks for a fault with RJS_DEBUG has every line."""
    for debug, lines in (("", MOST), ("1", MOST + 9)):
        monkeypatch.setenv("RJS_DEBUG", debug)
        out = io.StringIO()
        logger = Logger("test", observer=log_observer(out))
        for _ in range(MOST + 9):
            logger.emit(LogLevel.warn, "a connection became no session")
        assert out.getvalue().count("became no session") == lines
