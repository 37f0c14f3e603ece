"""Which refusals last, and what is logged of one that is met again and again."""

from __future__ import annotations

import pytest

from rjs.limits import REFUSALS_SAID, REFUSED_AGAIN_SAID
from rjs.wire.refusals import Said, lasts, same_words

EXPIRED = "identity.expired: the certificate of x has expired (from A to B; the clock here says {}: if that is wrong)"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (EXPIRED, True), ("identity.refused_by_peer: it has expired", True), ("wrong-cluster: this is another", True),
        ("revoked: rjs://cs/1 is revoked", True), ("identity.tls: TLS ended the connection: eof", False),
        ("serving-another: not you", False), ("no hello within 10 s", False), ("the connection was lost", False),
        ("cannot reach h:1: no route to host", False), ("", False),
    ],
)  # fmt: skip
def test_what_somebody_is_lasts(reason: str, expected: bool) -> None:
    """Refusals of a certificate, a cluster or a protocol last; lost connections, silence and choices do not."""
    assert lasts(reason) is expected


def test_the_same_is_said_once_in_a_while() -> None:
    """Each reason of each caller, whatever the time of day in it; what passes is always said."""
    said = Said()
    assert said.is_news("a", EXPIRED.format("10:00"), 0.0)
    assert not said.is_news("a", EXPIRED.format("10:01"), REFUSED_AGAIN_SAID - 1)
    assert said.is_news("b", EXPIRED.format("10:01"), 1.0) and said.is_news("a", "revoked: y", 1.0)
    assert said.is_news("a", EXPIRED.format("11:00"), REFUSED_AGAIN_SAID)
    assert said.is_news("a", "no hello within 10 s", 1.0) and said.is_news("a", "no hello within 10 s", 1.0)
    assert same_words(EXPIRED.format("1")) == same_words(EXPIRED.format("2"))


def test_what_is_remembered_is_bounded() -> None:
    """A flood of callers drives out the oldest, and takes no more memory."""
    said = Said()
    for number in range(2 * REFUSALS_SAID):
        assert said.is_news(str(number), "revoked: x", 0.0)
    assert len(said._at) == REFUSALS_SAID
    assert said.is_news("0", "revoked: x", 1.0)
    assert not said.is_news(str(2 * REFUSALS_SAID - 1), "revoked: x", 1.0)
