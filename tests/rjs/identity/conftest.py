"""An organisation founded now, and the time of its founding."""

from __future__ import annotations

import datetime as dt

import pytest

from rjs.identity.testing import Organisation


@pytest.fixture(scope="session")
def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture(scope="session")
def organisation(now: dt.datetime) -> Organisation:
    return Organisation(now)
