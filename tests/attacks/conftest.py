"""Every attack starts from a bundle that is accepted, so that what refuses it is the one thing that was changed."""

from __future__ import annotations

import pytest

from rjs.bundle.forger import Forger, RawZip


@pytest.fixture
def forger() -> Forger:
    """One who can sign, with a certificate that a root issued."""
    return Forger()


@pytest.fixture
def archive(forger: Forger) -> RawZip:
    """A correctly signed archive, before it is put together."""
    return forger.archive()
