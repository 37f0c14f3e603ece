"""Hides processes that ignore everything: ``daemons.py end`` ends then itself, ``daemons.py stay`` does not.

All of them are called ``hostile``, so that the test can tell them from the sandbox's own.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

from probing import call, tell


def hidden(number: int) -> None:
    """One that left session, group and parent, and is deaf; each has a trick of its own besides."""
    for each in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError):
            signal.signal(each, signal.SIG_IGN)
    call("prctl", 1, 0, 0, 0, 0)  # PR_SET_PDEATHSIG: nobody's end is mine
    call("prctl", 36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: my orphans stay mine
    if number == 1:
        os.closerange(0, 4096)
    if number == 2:
        os.kill(os.getpid(), signal.SIGSTOP)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if number != 3:
            time.sleep(60)


call("prctl", 15, b"hostile", 0, 0, 0)
for number in range(5):
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, b".")
            hidden(number)
        os._exit(0)
    os.wait()
    os.read(reader, 1)
tell("daemons", "ready")
if sys.argv[1] == "stay":
    time.sleep(60)
sys.exit(3)
