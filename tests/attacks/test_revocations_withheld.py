"""A lookup server that keeps lists of what is revoked to itself, or takes its time, so that a revoked signer's job
runs.

DESIGN section 5: by a stale list nothing new starts; what was revoked before the process starts does not start.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from lone_desktop import Desktop
from twisted.python.failure import Failure

from rjs.identity.revocation import Revocations, Revoked, What, sign_revocations
from rjs.identity.revocation_file import REVOCATIONS
from rjs.identity.testing import Organisation
from rjs.limits import REVOCATIONS_VALID
from rjs.revocations import RevocationBook


class Watched(Desktop):
    """A desktop that goes by lists of its cluster, and whose clock can be turned on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.now = dt.datetime.now(dt.UTC)
        self.organisation = Organisation(self.now)
        self.book = RevocationBook(self.organisation.root, folder / REVOCATIONS, lambda: self.now)
        self.preparation = attrs.evolve(
            self.preparation, check_signer=self.book.check_signer, check_fresh=self.book.check_fresh
        )

    def listed(self, number: int, *entries: Revoked) -> Revocations:
        return sign_revocations(self.organisation.record, number, entries, self.now)

    def signer(self) -> Revoked:
        return Revoked(What.SIGNER, self.brief.signer, self.now.timestamp(), "key lost")


@pytest.fixture
def desktop(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    yield made
    made.close()


def test_without_a_list_nothing_is_even_fetched(desktop: Watched) -> None:
    """A machine that never heard a list starts nothing, whatever it is offered."""
    desktop.begin()
    assert desktop.refusal() == "revocations-stale" and desktop.lus.asked == []


def test_a_withheld_list_is_stale_after_a_day(desktop: Watched) -> None:
    """The last list serves as long as it says, not a minute longer; the next one is enough to go on."""
    desktop.book.take(desktop.listed(1))
    desktop.now += dt.timedelta(seconds=REVOCATIONS_VALID + 60)
    desktop.begin()
    assert desktop.refusal() == "revocations-stale" and desktop.lus.asked == []
    desktop.outcome.clear()
    desktop.book.take(desktop.listed(2))
    desktop.begin()
    desktop.lus.serve()
    assert desktop.outcome and not isinstance(desktop.outcome[0], Failure)


def test_a_list_that_comes_before_the_bundle_counts(desktop: Watched) -> None:
    """A signer revoked while the lookup server held the bundle back is refused when it comes."""
    desktop.book.take(desktop.listed(1))
    desktop.begin()
    assert desktop.lus.asked and not desktop.outcome
    desktop.book.take(desktop.listed(2, desktop.signer()))
    desktop.lus.serve()
    assert desktop.refusal() == "revoked"


def test_a_signer_revoked_before_is_not_fetched_for_long(desktop: Watched) -> None:
    """The owner's trust in the key changes nothing: the organisation has revoked it."""
    desktop.book.take(desktop.listed(1, desktop.signer()))
    desktop.begin()
    desktop.lus.serve()
    assert desktop.refusal() == "revoked"
    assert "key lost" in str(desktop.outcome[0].value) and desktop.preparation.trust().fault is None
