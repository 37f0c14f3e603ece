"""What a job may say through its control channel: lines in, requests out. Pure: the time comes in.

One JSON object a line (docs/job-tokens.md). Whoever writes it is hostile: every line is judged by itself, what is
wrong is a Fault that says so, and a job with too many faults has no channel any more.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from typing import Annotated, TypeAlias

import attrs
import msgspec
from msgspec import Meta

from cs import limits
from rjs.limits import CERTIFICATE, PROGRESS_TEXT

Id: TypeAlias = Annotated[str, Meta(max_length=64)] | Annotated[int, Meta(ge=0, lt=2**53)] | None


@attrs.frozen
class Progress:
    """How far the job says that it is: ``fraction`` from 0 to 1, ``text`` in its own words."""

    fraction: float
    text: str


@attrs.frozen
class TokenAsked:
    """The job wants its PKCS#10 ``request`` (DER) certified; ``id`` goes with the answer."""

    request: bytes
    id: Id


@attrs.frozen
class CheckpointAsked:
    """The job wants what is in its checkpoint folder to be taken; ``id`` goes with the answer."""

    id: Id


@attrs.frozen
class Fault:
    """What is answered instead of doing it. ``last``: the channel is closed after it."""

    code: str
    sentence: str
    id: Id = None
    last: bool = False

    def line(self) -> bytes:
        """As the job reads it."""
        return answer_line(self.id, {"error": self.code, "sentence": self.sentence[:1024]})


Asked: TypeAlias = Progress | TokenAsked | CheckpointAsked


class _Envelope(msgspec.Struct):
    ask: Annotated[str, Meta(max_length=64)]
    id: Id = None


class _Progress(msgspec.Struct):
    fraction: Annotated[float, Meta(ge=0, le=1)]
    text: Annotated[str, Meta(max_length=PROGRESS_TEXT)] = ""


class _Token(msgspec.Struct):
    request: Annotated[str, Meta(max_length=2 * CERTIFICATE)]


_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def answer_line(identifier: Id, fields: Mapping[str, object]) -> bytes:
    """An answer as the job reads it, with the id of its request if that had one."""
    whole = fields if identifier is None else {"id": identifier, **fields}
    return msgspec.json.encode(whole) + b"\n"


class ControlLines:
    """The lines of one attempt. ``now`` is steady time in seconds."""

    def __init__(self, now: float) -> None:
        self._buffer = bytearray()
        self._left = float(limits.CONTROL_LINES)
        self._at = now
        self._faults = 0
        self.closed = False

    def heard(self, data: bytes, now: float) -> list[Asked | Fault]:
        """What the lines that ``data`` completes ask for. After a fault that is ``last`` nothing more is heard."""
        if self.closed:
            return []
        *lines, rest = (bytes(self._buffer) + data).split(b"\n")
        self._buffer = bytearray(rest)
        found: list[Asked | Fault] = []
        for line in lines:
            asked = self._line(line, now)
            found.append(asked)
            if isinstance(asked, Fault) and asked.last:
                return found
        if len(self._buffer) > limits.CONTROL_LINE:
            found.append(self._too_long())
        return found

    def _line(self, line: bytes, now: float) -> Asked | Fault:
        if len(line) > limits.CONTROL_LINE:
            return self._too_long()
        self._left = (
            min(limits.CONTROL_LINES, self._left + (now - self._at) * limits.CONTROL_LINES_A_SECOND) - 1
        )
        self._at = now
        if self._left < 0:
            self._left = 0.0
            return self._counted(
                Fault("too-often", f"say no more than {limits.CONTROL_LINES_A_SECOND} lines a second")
            )
        outcome = _asked(line)
        return self._counted(outcome) if isinstance(outcome, Fault) else outcome

    def _too_long(self) -> Fault:
        self.closed = True
        return Fault(
            "too-long", f"a line has at most {limits.CONTROL_LINE} bytes; the channel is closed", last=True
        )

    def _counted(self, fault: Fault) -> Fault:
        self._faults += fault.code != "unsupported"
        if self._faults < limits.CONTROL_FAULTS:
            return fault
        self.closed = True
        sentence = f"{self._faults} lines were refused, the last as {fault.code}: {fault.sentence}"
        return Fault("closed", sentence, fault.id, last=True)


class TokenPace:
    """How often one job may ask for a token: a few times at once, then ten times in the life of one. Each request
    costs three servers signatures, and the cluster's rate is everybody's. ``now`` is steady time in seconds."""

    def __init__(self) -> None:
        self._at_once = limits.TOKENS_AT_ONCE
        self._pause = limits.TOKEN_PAUSE
        self._next = 0.0

    def take(self, now: float) -> float:
        """Seconds until it may ask again; 0 when it may now, and then that is counted."""
        if self._at_once:
            self._at_once -= 1
        elif now < self._next:
            return self._next - now
        self._next = now + self._pause
        return 0.0

    def issued(self, life: float) -> None:
        """One was issued that lives for so many seconds."""
        self._pause = life / 10


def _asked(line: bytes) -> Asked | Fault:
    identifier: Id = None
    try:
        envelope = msgspec.json.decode(line, type=_Envelope)
        identifier = envelope.id
        match envelope.ask:
            case "progress":
                return _progress(msgspec.json.decode(line, type=_Progress))
            case "token":
                return TokenAsked(_from_base64(msgspec.json.decode(line, type=_Token).request), identifier)
            case "checkpoint":
                return CheckpointAsked(identifier)
    except _MALFORMED as error:
        return Fault("malformed", f"not a request: {error}", identifier)
    except ValueError as error:
        return Fault("malformed", str(error), identifier)
    return Fault("unsupported", "this release knows the requests progress, token and checkpoint", identifier)


def _progress(said: _Progress) -> Progress:
    if not math.isfinite(said.fraction) or not said.text.isprintable():
        raise ValueError("a text of progress is one line of printable characters")
    return Progress(said.fraction, said.text)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("request is not base64") from None
