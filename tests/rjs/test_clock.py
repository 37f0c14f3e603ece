"""The steady clock, under a real reactor."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from twisted.internet.selectreactor import SelectReactor

from rjs.clock import steady_seconds, use_steady_clock

STEP_BACK = """
import sys, time

real, offset = time.time, 0.0
time.time = lambda: real() + offset  # before Twisted binds it

from twisted.internet import reactor
from rjs.clock import use_steady_clock

if sys.argv[1] == "steady":
    use_steady_clock(reactor)

def step_back():
    global offset
    offset = -3600.0

def killer():  # a thread: no timer of the reactor can be relied on here
    time.sleep(1.5)
    reactor.callFromThread(print, "late")
    reactor.callFromThread(reactor.stop)

def on_time():
    print("on time")
    reactor.stop()

reactor.callWhenRunning(step_back)
reactor.callLater(0.2, on_time)
reactor.callInThread(killer)
reactor.run()
"""


def outcome_of_a_step_back(clock: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", STEP_BACK, clock], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout.split("\n")[0]


def test_timers_survive_a_wall_clock_set_back() -> None:
    """With the steady clock a timer fires on time although the wall clock went back one hour."""
    assert outcome_of_a_step_back("steady") == "on time"


def test_the_step_back_is_real() -> None:
    """The same step stops a reactor that follows Twisted's default clock, so the test above can fail."""
    assert outcome_of_a_step_back("default") == "late"


def test_a_reactor_with_timers_is_refused() -> None:
    """The clock is not exchanged under a timer that was set by another clock."""
    reactor = SelectReactor()
    call = reactor.callLater(60, lambda: None)
    with pytest.raises(RuntimeError, match="before anything is scheduled"):
        use_steady_clock(reactor)
    call.cancel()
    use_steady_clock(reactor)
    assert abs(reactor.seconds() - steady_seconds()) < 5


def test_the_clock_counts_sleep_where_the_platform_can() -> None:
    """The clock is the one that goes on while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    assert time.clock_gettime(clock) <= steady_seconds() <= time.clock_gettime(clock)
