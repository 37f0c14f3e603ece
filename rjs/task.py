"""What a Python job imports: ``from rjs import task``. Which task this is, how far it is, its checkpoints and token.

On a compute server only this module and its two neighbours are there, and it loads the standard library alone; what
a token needs is loaded when one is asked for. Outside of a cluster ``index`` is 0, ``count`` is 1, progress and
checkpoints go nowhere, and the folders are ``out`` and ``checkpoint`` where the script was started,
which makes them or finds them there.
The other end is described in docs/job-tokens.md.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import stat
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rjs.task_door import Door
    from rjs.task_token import Token

__all__ = [
    "CheckpointError",
    "NoTokenError",
    "arguments",
    "checkpoint",
    "checkpoint_folder",
    "count",
    "door",
    "index",
    "output_folder",
    "progress",
    "token",
]

index = int(os.environ.get("RJS_TASK_INDEX", "0"))
"""This task's number, from 0 on."""

count = int(os.environ.get("RJS_TASK_COUNT", "1"))
"""How many tasks the job has."""

arguments = tuple(sys.argv[1:])
"""What this task was called with."""

output_folder = Path(os.environ.get("RJS_OUTPUT", "out"))
"""What is in this folder at the end is the task's answer."""

checkpoint_folder = Path(os.environ.get("RJS_CHECKPOINT", "checkpoint"))
"""What an earlier attempt at this task had reached, if there is anything; and where to put what this one has."""

_LINE = 64 * 1024
_PAUSE = 0.25  # seconds between two words of progress: more would be dropped anyway
_PATIENCE = 600.0  # seconds for a checkpoint: the compute server copies, signs and syncs it


class NoTokenError(Exception):
    """There is no token to be had: not in a cluster, or refused. ``code`` says why, for programs."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


class CheckpointError(Exception):
    """No checkpoint was taken. ``code`` says why, for programs. The task may go on: the one before is still there."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code


class _Channel:
    """The control channel, to which one thread speaks at a time."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self._buffer = b""
        self._number = 0

    def tell(self, request: dict[str, Any]) -> None:
        """Say it. Raises OSError."""
        with self._lock:
            self._send(request)

    def ask(self, request: dict[str, Any], patience: float) -> dict[str, Any]:
        """The answer to it, within so many seconds. Raises OSError."""
        with self._lock:
            self._number += 1
            self._send({**request, "id": self._number})
            deadline = time.monotonic() + patience
            while True:
                answer = self._answer(deadline)
                if answer.get("id") == self._number:
                    return answer

    def _send(self, request: dict[str, Any]) -> None:
        self._socket.settimeout(None)
        self._socket.sendall(json.dumps(request).encode() + b"\n")

    def _answer(self, deadline: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            data = self._socket.recv(_LINE)
            if not data:
                raise ConnectionError("the compute server closed the control channel")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _inherited() -> _Channel | None:
    """The channel named in the environment; None where that is no socket of this process."""
    name = os.environ.get("RJS_CONTROL", "")
    number = name.removeprefix("fd:")
    if name == number or not number.isdigit():
        return None
    try:
        if stat.S_ISSOCK(os.fstat(int(number)).st_mode):
            return _Channel(int(number))
    except OSError:
        pass  # a child of the task: its parent kept the channel to itself
    return None


_channel = _inherited()
_token: Token | None = None
_told = float("-inf")


def progress(fraction: float, text: str = "") -> None:
    """Say how far this task is: from 0 to 1, and in at most 200 characters what it does. Never waits for anybody.

    Raises ValueError for another fraction.
    """
    global _told
    if not 0 <= fraction <= 1:
        raise ValueError(f"{fraction!r} is not between 0 and 1")
    now = time.monotonic()
    if _channel is None or (now < _told + _PAUSE and fraction < 1):
        return
    _told = now
    line = "".join(each if each.isprintable() else " " for each in text)[:200]
    with suppress(OSError):  # closed: the task goes on without it
        _channel.tell({"ask": "progress", "fraction": float(fraction), "text": line})


def checkpoint() -> None:
    """Have what is in ``checkpoint_folder`` taken, as it is now. When this returns, it outlives this process and the
    compute server's, and is on its way to where the next attempt gets it, should this one not come to its end.

    The folder holds plain files only, none in folders, and must not change meanwhile. Raises CheckpointError.
    """
    if _channel is None:
        return
    try:
        answer = _channel.ask({"ask": "checkpoint"}, _PATIENCE)
    except OSError as error:
        raise CheckpointError("unreachable", f"the compute server does not answer: {error}") from error
    if "error" in answer:
        raise CheckpointError(str(answer["error"]), str(answer.get("sentence", "")))


def token() -> Token:
    """This attempt's token, asked for when it is first needed; it renews itself. Raises NoTokenError."""
    global _token
    if _channel is None:
        raise NoTokenError("no-cluster", "this is no task on a compute server")
    own = _token
    if own is None:
        own = _token = importlib.import_module("rjs.task_token").Token(_channel.ask, os.environ["RJS_NAME"])
    return own


def door() -> Door:
    """The door of this attempt: its inputs, outputs and checkpoints. Raises NoTokenError."""
    own = token()
    opened: Door = importlib.import_module("rjs.task_door").Door(own, os.environ["RJS_DOOR"])
    return opened
