"""An organisation founded now, and the time of its founding."""

from __future__ import annotations

import datetime as dt

import pytest
from twisted.internet.base import ReactorBase

from rjs.identity.invitation import Invitation
from rjs.identity.names import Role
from rjs.identity.testing import Organisation


@pytest.fixture(scope="session")
def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@pytest.fixture(scope="session")
def cs_invitation(organisation: Organisation) -> Invitation:
    """One invitation for all of a property's examples: its bytes must not change between them."""
    return organisation.invitation(Role.CS)


@pytest.fixture(scope="session")
def organisation(now: dt.datetime) -> Organisation:
    return Organisation(now)


@pytest.fixture
def reactor() -> ReactorBase:
    """The process's reactor, which these tests turn by hand."""
    from twisted.internet import reactor

    assert isinstance(reactor, ReactorBase)
    return reactor
