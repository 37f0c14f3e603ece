"""Revoking at the web server: whom a person means, what an upload may still be, and what is lost and found again."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import A, brief, job
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from rjs.background import ImmediateWorkers, Tasks
from rjs.errors import RefusedError
from rjs.identity.names import RjsName, Role
from rjs.identity.revocation import Revoked, SignedRevocations, What, sign_revocations
from rjs.identity.revocation_file import REVOCATIONS
from rjs.identity.testing import Organisation
from rjs.ids import SpkiDigest
from rjs.jobs import TaskState
from rjs.operator_orders import RevocationOrder, revocation_orders
from rjs.orders import refusal_of
from rjs.revocations import RevocationBook
from rjs.storage import ImmediateStorage, open_database
from ws import store
from ws.authority.errors import CannotIssueError
from ws.authority.register import Register
from ws.homes import Homes
from ws.members import Members
from ws.queue import Queue
from ws.revocations import RevocationDesk
from ws.shell import Shell

NOTHING = cast(Any, None)
CS1, CS2 = "1" * 32, "2" * 32
NOBODY = cast(Any, SimpleNamespace(path=()))


class RegisterAtHand:
    """A Registrar without its process: the register's rules, answered at once, or not at all."""

    def __init__(self, organisation: Organisation) -> None:
        self.register = Register(organisation.record, organisation.intermediate.chain)
        self.dead = False

    async def revoke(self, entry: Revoked) -> SignedRevocations:
        return self._keep(self.register.revoke(entry, dt.datetime.now(dt.UTC)))

    async def relist(self, known: SignedRevocations | None) -> SignedRevocations:
        return self._keep(self.register.renew(known, dt.datetime.now(dt.UTC)))

    def _keep(self, newest: Any) -> SignedRevocations:
        if self.dead:
            raise CannotIssueError("it ended")
        self.register.newest = newest
        signed: SignedRevocations = newest.signed
        return signed


class Office:
    """A web server's desk, with two CSs of one name, and ada."""

    def __init__(self, folder: Path) -> None:
        self.organisation = Organisation(dt.datetime.now(dt.UTC))
        database = open_database(
            folder / "ws" / "ws.sqlite", store.MIGRATIONS, application_id=store.APPLICATION_ID
        )
        self.storage = ImmediateStorage(database)
        self.shell = Shell(Queue(1), self.storage, cast(Any, Clock()), pytest.fail)
        self.members = Members(
            self.storage, ImmediateWorkers(), Homes(folder / "home"), NOTHING, self.organisation.root
        )
        self.registrar = RegisterAtHand(self.organisation)
        self.book = RevocationBook(self.organisation.root, folder / REVOCATIONS)
        self.orders = folder / "orders"
        self.orders.mkdir()
        self.tasks = Tasks("test")
        self.desk = RevocationDesk(
            self.book,
            self.registrar,
            self.organisation.root,
            self.shell,
            self.members,
            self.tasks,
            self.orders,
        )
        (folder / "home").mkdir()
        for serial, role, member, name in (
            ("1", "cs", CS1, "desk"), ("2", "cs", CS2, "desk"), ("3", "user", "ada", "ada"),
        ):  # fmt: skip
            self.join(serial, role, member, name, time.time() - 60)

    def join(self, serial: str, role: str, member: str, name: str, when: float) -> None:
        joining = store.Joining(serial, role, member, name, SpkiDigest("0" * 64), None, None)
        self.storage.write(lambda db: store.record_member(db, joining, when))
        self.outcome(self.members.load())

    def revoke(self, whom: str, what: What = What.MEMBER) -> str:
        """The code of the refusal; empty where it was revoked."""
        outcome = self.outcome(self.desk.revoke(what, whom, "lost"))
        return cast(RefusedError, outcome).code if outcome is not None else ""

    def outcome(self, work: Any) -> Any:
        ended: list[Any] = []
        Deferred.fromCoroutine(work).addBoth(ended.append)
        return ended[0].value if isinstance(ended[0], Failure) else ended[0]


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    found = Office(tmp_path)
    yield found
    found.storage.close()


def test_whom_a_person_means(office: Office) -> None:
    """An id, a whole name, or the only one who is called so; everything else is refused, and nothing is revoked."""
    assert office.revoke("desk") == "ambiguous" and office.revoke("nobody") == "no-such-member"
    assert office.revoke("ws/" + "a" * 32) == "identity.name" == office.revoke("cs/1")
    assert (
        office.revoke("d" * 70, What.SIGNER) == "identity.revocations" == office.revoke("0", What.CERTIFICATE)
    )
    assert office.book.document()["number"] == 0
    assert [office.revoke(whom) for whom in (CS1, f"cs/{CS2}", "ada", "rjs://lus/" + "9" * 32)] == [""] * 4
    newest = office.book.current
    assert newest is not None and newest.number == 4 and newest.member(RjsName(Role.CS, CS2)) is not None


def test_an_account_that_was_invited_anew_counts_again(office: Office) -> None:
    """What a revoked person uploads is refused, until that account joins by a new invitation."""
    office.desk.check_upload("ada", NOBODY)
    office.revoke("ada")
    with pytest.raises(RefusedError, match="lost"):
        office.desk.check_upload("ada", NOBODY)
    office.join("4", "user", "ada", "ada", time.time() + 1)
    office.desk.check_upload("ada", NOBODY)


def test_a_crash_in_between_leaves_no_revoked_signers_job(office: Office) -> None:
    """The list is durable before the queue hears of it: whatever was left then ends at the next list."""
    office.revoke(brief().signer, What.SIGNER)
    office.shell.perform(office.shell.queue.add_job(job(A), 0.0))
    office.outcome(office.desk.renew())
    state = office.shell.queue.jobs[A]
    assert state.ended and state.counts[TaskState.FAILED] and "signer revoked" in state.closed_reason


def test_orders_are_followed_refused_or_wait(office: Office) -> None:
    """One that cannot be followed while the authority is away is followed when it is back."""
    good, bad = (
        revocation_orders(office.orders).place(RevocationOrder(What.MEMBER, whom)) for whom in (CS1, "nobody")
    )
    office.registrar.dead = True
    office.outcome(office.desk.follow_orders())
    assert good.exists()
    office.registrar.dead = False
    office.outcome(office.desk.follow_orders())
    assert not good.exists() and not bad.exists() and "no-such-member" in str(refusal_of(bad))
    assert office.book.current is not None and len(office.book.current.said.entries) == 1


def test_what_was_lost_is_taken_from_whoever_has_it(office: Office) -> None:
    """A list that a LUS tells is put together with ours by the authority; an authority set back learns ours."""
    known = sign_revocations(
        office.organisation.record, 30, [Revoked(What.SIGNER, "a" * 64, 1.0)], office.organisation.now
    )
    office.outcome(office.desk.renew())
    office.book.received(known)
    assert office.book.document()["number"] == 31
    office.registrar.register.newest = None
    assert office.revoke("b" * 64, What.SIGNER) == ""
    newest = office.book.current
    assert newest is not None and newest.number == 32 and newest.signer("a" * 64) and newest.signer("b" * 64)
