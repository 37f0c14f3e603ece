"""Runs ``calls`` and tells what it said."""

from __future__ import annotations

import os
from pathlib import Path

from probing import tell

reader, writer = os.pipe()
if (child := os.fork()) == 0:
    os.dup2(writer, 1)
    os.execv(Path(__file__).with_name("calls"), ["calls"])
os.close(writer)
with os.fdopen(reader) as lines:
    for line in lines:
        tell(*line.rstrip("\n").split("\t"))
assert os.waitpid(child, 0)[1] == 0
