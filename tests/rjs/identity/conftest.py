"""An organisation founded now, and the time of its founding."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

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


class _Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], object]], bool]:
    """``killed_at(step, act)`` runs ``act`` and ends it at its ``step``-th change of the disk, if any."""

    def run(step: int, act: Callable[[], object]) -> bool:
        changes = count(1)

        def dying(original: Callable[..., object]) -> Callable[..., object]:
            def change(*arguments: object, **options: object) -> object:
                if next(changes) == step:
                    raise _Killed
                return original(*arguments, **options)

            return change

        with monkeypatch.context() as patch:
            for owner, name in _CHANGES:
                patch.setattr(owner, name, dying(getattr(owner, name)))
            try:
                act()
            except _Killed:
                return True
        return False

    return run


_CHANGES = ((os, "link"), (os, "fsync"), (Path, "replace"), (Path, "mkdir"), (Path, "unlink"))
