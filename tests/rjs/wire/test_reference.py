"""docs/protocol.md: its tables are the code's, and its prose names what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rjs import limits
from rjs.wire import messages as m
from rjs.wire.reference import updated

PAGE = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text("utf-8")


def test_the_page_is_up_to_date() -> None:
    """The tables of the page are those that the message types make."""
    assert updated(PAGE) == PAGE, "run: python -m rjs.wire.reference docs/protocol.md"


def test_the_prose_names_no_message_that_does_not_exist() -> None:
    """Every dotted message name in the page is a message of the protocol."""
    named = set(
        re.findall(r"\b(?:lus|ws|cs|job|member|blob|answer|checkpoint|attempt)\.[a-z]+(?:\.[a-z]+)*\b", PAGE)
    )
    keys = {"job.task.generation.lease.sequence.cs", "job.task.digest"}
    assert named - set(m.TAGS) - keys == set()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (limits.PROTOCOL, "speaks protocol **{}**"),
        (limits.HELLO_FRAME, "a frame has at most {:,} bytes"),
        (limits.FRAME, "afterwards at most {:,}"),
        (limits.BLOB_CHUNK, "chunks of at most {:,} bytes"),
        (limits.BLOB_WINDOW, "at most {} ahead"),
        (limits.BLOB_READS, "of which {} `blob.read` are served at a time"),
        (limits.REQUESTS_IN_FLIGHT, "At most {:,} requests of one peer"),
        (limits.HELD_BYTES // limits.MIB, "or {} MiB"),
        (limits.INLINE_ANSWER, "up to {:,} bytes"),
        (limits.PEER_SESSIONS, "A member may have {} sessions at one door"),
        (round(limits.SILENCE), "for {} s drops the connection"),
        (round(limits.HANDSHAKE), "may take {} s"),
        (round(limits.SEND_BUFFER_STALL), "unread for {} s"),
    ],
)  # fmt: skip
def test_the_prose_states_the_limits_that_hold(number: int, words: str) -> None:
    """Each number in the prose is the code's."""
    assert words.format(number) in " ".join(PAGE.split())


def test_a_page_without_marks_is_refused() -> None:
    """Nothing is written over a page that has no place for the tables."""
    with pytest.raises(ValueError, match="must contain"):
        updated("# another page")
