"""Structure-aware fuzzing of the frame decoder and of sessions, for tests: the same seed draws the same changes.

    python -m rjs.wire.fuzz --count 1000000 --seed 1

Every input is a recorded frame with changes: bits, lengths, fields, types, counts, nesting. The oracle: decoding
gives a message that reads the same when it is written again, or one of its two documented errors; a session (see
``fuzz_sessions``) answers briefly, logs no defect, and ends once with one documented reason. Each in bounded time.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import msgspec

from rjs.errors import RjsError
from rjs.wire import messages as m
from rjs.wire.fuzz_sessions import SessionRig

SLOW: Final = 1.0
"""Seconds of processor time that one frame may cost: a hundred times what the most expensive one does."""

TAG: Final = 64
"""Characters of the type of an unknown message, as the answer carries it."""

GOLDEN: Final = Path("tests/rjs/wire/golden")
"""Recorded frames of every release, below a checkout."""


@attrs.frozen
class Raw:
    """Bytes that stand in a frame as they are, whether or not they are msgpack."""

    data: bytes


@attrs.frozen
class Pairs:
    """A map as it is written: keys in this order, repeated if they are. ``lie`` is added to the stated count."""

    items: tuple[tuple[Any, Any], ...]
    lie: int = 0


BOUNDS: Final = tuple(
    each
    for edge in (0, 1 << 7, 1 << 8, 1 << 15, 1 << 16, 1 << 18, 1 << 31, 1 << 32, 1 << 48, 1 << 63, 1 << 64)
    for each in (edge - 1, edge, 1 - edge, -edge)
    if -(1 << 63) <= each < 1 << 64
)
ODD: Final[tuple[Any, ...]] = (
    None, True, False, "", "\0", "t", "0" * 32, "0" * 64, "g" * 64, "\u202e\x1b[2J", "é" * 65, "x" * 1025,
    "x" * 70_000, b"", b"\0" * 300, b"x" * 300_000, 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"),
    float("-inf"),
    *BOUNDS, [], {}, [0] * 3, ["0" * 32] * 17, [[0] * 3] * 100, {"0": 0}, {"a": {"b": []}},
    Raw(b"\xc1"), Raw(b"\xc7\x00\x05"), Raw(b"\xd6\xff\0\0\0\0"), Raw(b"\xd8\x01" + bytes(16)),
    Raw(b"\xd7\xff" + b"\xff" * 8), Raw(b"\xa3\xff\xfe\xfd"), Raw(b"\xa3\xed\xa0\x80"), Raw(b"\xa2\xc0\x80"),
    Raw(b"\xdd\xff\xff\xff\xff"), Raw(b"\xdf\xff\xff\xff\xff"), Raw(b"\xc6\xff\xff\xff\xff"),
    Raw(b"\xdb\xff\xff\xff\xff"), Raw(b"\xdc\xff\xff"), Raw(b"\xde\xff\xff"), Raw(b"\xc9\xff\xff\xff\xff\x01"),
    Raw(b"\xdd\0\1\0\0" + bytes(65536)),
    Raw(b"\xc4\0"), Raw(b"\xd9\0"), Raw(b"\xdc\0\0"), Raw(b"\xdf\0\0\0\0"), Raw(b"\xcf" + bytes(8)),
    Raw(b"\xca\x7f\x80\0\0"),
)  # fmt: skip
"""What may stand in any field's place: every type, every bound, and bytes that announce what they do not bring."""

PIECES: Final = (
    b"", b"\0", b"\xc0", b"\xc1", b"\xff", b"\x80", b"\x90", b"\xdd\xff\xff\xff\xff", b"\xa1t", b"\x81\xa1t",
)  # fmt: skip


class FuzzedError(RjsError):
    """A frame had an effect that no frame may have; here it is."""

    def __init__(self, change: str, frame: bytes, why: Exception) -> None:
        super().__init__(f"{change}: {why!r}: {base64.b64encode(zlib.compress(frame)).decode()}")


@attrs.frozen
class Outcome:
    """How many frames ended how, and how many sessions; ``slowest`` is the processor time of one frame."""

    ends: Counter[str]
    sessions: Counter[str]
    slowest: float
    seconds: float


def golden_frames(folder: Path) -> tuple[bytes, ...]:
    """The recorded frames of all releases."""
    read = (json.loads(path.read_text()) for path in sorted(folder.glob("*.json")))
    return tuple(bytes.fromhex(frame) for recorded in read for frame in recorded.values())


def fuzz(count: int, seed: int, recorded: Sequence[bytes]) -> Outcome:
    """Judge ``count`` changed frames; raises FuzzedError at the first that proves us wrong."""
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    ends: Counter[str] = Counter()
    slowest, began = 0.0, time.monotonic()
    with SessionRig() as rig:
        for _ in range(count):
            change = dice.choice(CHANGES)
            frame = change(dice.choice(recorded), dice.choice(recorded), dice)
            start = time.thread_time()
            try:
                ends[end_of(frame)] += 1
                rig.say(frame, dice)
                spent = time.thread_time() - start
                assert spent < SLOW, f"it took {spent:.1f} s"
            except Exception as error:
                raise FuzzedError(change.__name__, frame, error) from error
            slowest = max(slowest, spent)
        rig.finish()
    return Outcome(ends, rig.ends, slowest, time.monotonic() - began)


def end_of(frame: bytes) -> str:
    """How decoding ended. Raises whatever the decoder should not, and AssertionError by the oracle."""
    try:
        message = m.decode(frame)
    except m.UnknownMessageError as unknown:
        assert unknown.tag not in m.TAGS and len(unknown.tag) <= TAG and 0 <= unknown.rid < 1 << 63
        return "unknown"
    except m.MalformedMessageError as malformed:
        assert str(malformed).startswith("malformed ")
        return "malformed"
    written = m.encode(message)
    assert m.encode(m.decode(written)) == written, "it reads otherwise when it is written again"
    return "message"


# --- changes ----------------------------------------------------------------------------------------------


def bytes_changed(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """Bits flipped, bytes replaced, inserted, removed, repeated, or taken from another frame."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        start = dice.randrange(len(frame) + 1)
        end = min(len(frame), start + dice.choice((0, 1, 1, 1, 2, 8)))
        piece = dice.choice(
            (
                bytes(byte ^ (1 << dice.randrange(8)) for byte in frame[start:end]),
                dice.randbytes(end - start),
                dice.choice(PIECES),
                frame[start:end] * 2,
                other[(at := dice.randrange(len(other))) : at + end - start],
            )
        )
        frame = frame[:start] + piece + frame[end:]
    return frame


def cut(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """Half a frame, or the halves of two."""
    head = frame[: dice.randrange(len(frame))]
    return head if dice.random() < 0.5 else head + other[dice.randrange(len(other)) :]


def field_replaced(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """Something else in the place of a value, at any depth."""
    return _packed(_replaced(tree(frame), lambda _: dice.choice(ODD), dice))


def fields_swapped(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """A value of another field, or of another message, in the place of one."""
    found = dict(tree(dice.choice((frame, other))).items)
    value = found[dice.choice(list(found))]
    return _packed(_replaced(tree(frame), lambda _: value, dice))


def nested(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """A value within a thousand lists or maps."""
    depth = dice.choice((1, 2, 30, 1000, 100_000))
    opening = dice.choice((b"\x91", b"\x81\xa1a", b"\x81\xa3job", b"\x92\xc0"))
    return _packed(_replaced(tree(frame), lambda old: Raw(opening * depth + _packed(old)), dice))


def keys_changed(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """Keys removed, repeated with another value, shuffled, of other types, or as many as nobody asked for."""
    items = list(tree(frame).items)
    index = dice.randrange(len(items))
    match dice.randrange(6):
        case 0:
            del items[index]
        case 1:
            items.append((items[index][0], dice.choice(ODD)))
        case 2:
            dice.shuffle(items)
        case 3:
            items[index] = (dice.choice(ODD), items[index][1])
        case 4:
            items += [(f"x{number}", dice.choice(ODD)) for number in range(dice.choice((1, 5, 200)))]
        case _:
            items += [pair for pair in tree(other).items if pair[0] != "t"]
    return _packed(Pairs(tuple(items)))


def counts_changed(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """A map that says to have more or fewer entries, or a text or bytes that say to be longer or shorter."""
    if dice.random() < 0.3:
        return _packed(Pairs(tree(frame).items, dice.choice((-1, 1, 2, 1000, 100_000))))

    def lie(old: Any) -> Raw:
        data = _packed(old)
        length = dice.choice((0, 1, 255, 65_535, 1 << 20, (1 << 32) - 1))
        kind = dice.choice((b"\xdb", b"\xc6", b"\xdd", b"\xdf"))
        return Raw(kind + struct.pack(">I", length) + data)

    return _packed(_replaced(tree(frame), lie, dice))


def type_changed(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """The fields of one message under the type of another, or of none."""
    tag = dice.choice((*m.TAGS, "", "lus.novelty", "x" * 64, "x" * 65, "HELLO", "hello\0", 0, None, b"hello"))
    return _packed(Pairs(tuple((key, tag if key == "t" else value) for key, value in tree(frame).items)))


def numbered(frame: bytes, other: bytes, dice: random.Random) -> bytes:
    """A message as it is, as a request or as a reply of some number."""
    number = dice.choice((1, 2, 3, 7, (1 << 63) - 1, 1 << 63, -1, 0.0))
    key = dice.choice(("rid", "re"))
    return _packed(Pairs((*(pair for pair in tree(frame).items if pair[0] != key), (key, number))))


Change = Callable[[bytes, bytes, random.Random], bytes]
CHANGES: Final[Sequence[Change]] = (
    bytes_changed, cut, field_replaced, fields_swapped, nested, keys_changed, counts_changed, type_changed, numbered,
    numbered, numbered, numbered,
)  # fmt: skip


def tree(frame: bytes) -> Pairs:
    """A recorded frame, taken apart."""
    return Pairs(tuple(msgspec.msgpack.decode(frame).items()))


def _replaced(value: Any, make: Callable[[Any], Any], dice: random.Random) -> Any:
    """``value`` with one of the values in it, at any depth, made anew; its own type ``t`` mostly stays."""
    if isinstance(value, Pairs):
        index = dice.randrange(len(value.items))
        if value.items[index][0] == "t":
            index = dice.randrange(len(value.items))
        items = [
            (key, _replaced(inner, make, dice) if place == index else inner)
            for place, (key, inner) in enumerate(value.items)
        ]
        return Pairs(tuple(items), value.lie)
    if isinstance(value, dict) and value and dice.random() < 0.8:
        return _replaced(Pairs(tuple(value.items())), make, dice)
    if isinstance(value, list) and value and dice.random() < 0.8:
        index = dice.randrange(len(value))
        return [*value[:index], _replaced(value[index], make, dice), *value[index + 1 :]]
    return make(value)


def _packed(value: Any) -> bytes:
    """``value`` as msgpack, with what is ``Raw`` in it as it is."""
    if isinstance(value, Raw):
        return value.data
    if isinstance(value, dict):
        return _packed(Pairs(tuple(value.items())))
    if isinstance(value, Pairs):
        count = max(0, len(value.items) + value.lie)
        return (
            b"\xdf"
            + struct.pack(">I", count)
            + b"".join(_packed(each) for pair in value.items for each in pair)
        )
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(_packed, value))
    return msgspec.msgpack.encode(value)


def main() -> None:
    """Fuzz and print how the frames and the sessions ended."""
    parser = argparse.ArgumentParser(
        description="Structure-aware fuzzing of the frame decoder and of sessions."
    )
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="folder of recorded frames")
    given = parser.parse_args()
    recorded = golden_frames(given.golden)
    if not recorded:
        parser.error(f"{given.golden} has no recorded frames; name the folder that does with --golden")
    outcome = fuzz(given.count, given.seed, recorded)
    lines = [f"{count:>8}  {end}" for end, count in outcome.ends.most_common()]
    lines += [f"{count:>8}  session {end}" for end, count in outcome.sessions.most_common()]
    total = f"{given.count} frames, seed {given.seed}, {outcome.seconds:.0f} s"
    lines.append(f"{total}, slowest {outcome.slowest * 1e3:.0f} ms")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
