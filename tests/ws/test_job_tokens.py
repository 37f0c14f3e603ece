"""Job tokens and progress at the web server: only of the attempt that is current, where it was placed."""

from __future__ import annotations

import datetime as dt
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import CS1, CS2, A, attempt, job
from twisted.internet.defer import Deferred

from rjs.attempts import AttemptId
from rjs.errors import RefusedError
from rjs.identity.job_tokens import JobTokenRequest, ask_job_token, job_name
from rjs.identity.keys import new_key
from rjs.identity.names import Role
from rjs.identity.requests import make_request, request_der
from rjs.identity.testing import Organisation
from ws.job_tokens import JobTokenDesk, Progress, ProgressBook, check_current
from ws.queue import Queue

LUS, OTHER_LUS = "1" * 32, "2" * 32
CHAIN = (b"leaf", b"root")
ORGANISATION = Organisation(dt.datetime.now(dt.UTC))


class Issuer:
    """Issues whatever it is asked for."""

    async def certify_job(self, request: JobTokenRequest) -> tuple[bytes, ...]:
        return CHAIN


@pytest.fixture
def queue() -> Queue:
    """Task 0 of job A is placed on CS1 by LUS."""
    made = Queue(1)
    made.lus_opened(LUS, "boot", 0.0)
    made.add_job(job(), 0.0)
    made.want(LUS, 2, 1, 0.0)
    made.placed(LUS, attempt(1), CS1, "cs1", 0.0)
    return made


def asked(queue: Queue, lus: str, cs: str, whose: AttemptId) -> Any:
    """The chain, or the code of the refusal."""
    request = request_der(make_request(new_key(), job_name(whose).uri(), "job"))
    signed = ask_job_token(ORGANISATION.member(Role.CS, cs), whose, request, ORGANISATION.now)
    members = SimpleNamespace(root=ORGANISATION.root, issuer=Issuer(), wall=lambda: ORGANISATION.now)
    desk = JobTokenDesk(cast(Any, SimpleNamespace(queue=queue)), cast(Any, members))
    got: list[Any] = []
    Deferred.fromCoroutine(desk.certify(lus, signed)).addBoth(got.append)
    return getattr(getattr(got[0], "value", None), "code", got[0])


def test_the_current_attempt_where_it_was_placed(queue: Queue) -> None:
    """Of this one, and of no other, the job is certified."""
    assert asked(queue, LUS, CS1, attempt(1)) == CHAIN


def test_another_compute_server_gets_none(queue: Queue) -> None:
    """A compute server where the attempt does not run cannot have its job certified."""
    assert asked(queue, LUS, CS2, attempt(1)) == "not-placed"


def test_another_lookup_server_carries_none(queue: Queue) -> None:
    """Who does not hold the task's lease has no business with its job."""
    assert asked(queue, OTHER_LUS, CS1, attempt(1)) == "stale-fence"


def test_an_attempt_that_is_over_gets_none(queue: Queue) -> None:
    """When the attempt ended, its task was cancelled, or a newer one took its place, nothing is issued any more."""
    newer = AttemptId(
        A, 0, attempt(1).fence.__class__(1, attempt(1).fence.lease, attempt(1).fence.sequence + 1)
    )
    assert asked(queue, LUS, CS1, newer) == "stale-fence"
    queue.placed(LUS, newer, CS1, "cs1", 0.0)
    assert asked(queue, LUS, CS1, attempt(1)) == "stale-fence"
    assert asked(queue, LUS, CS1, newer) == CHAIN
    queue.cancel(A, "cancelled by ada", 0.0)
    assert asked(queue, LUS, CS1, newer) == "stale-fence"


def test_progress_is_of_current_attempts(queue: Queue) -> None:
    """The newest word is kept as long as the attempt is current, and what is not current is refused."""
    book = ProgressBook(cast(Any, SimpleNamespace(queue=queue)))
    with pytest.raises(RefusedError):
        check_current(queue, LUS, attempt(1), CS2)
    for fraction in (0.1, 0.4):
        book.note(Progress(attempt(1), fraction, "fitting"))
    assert book.of_job(A) == {0: Progress(attempt(1), 0.4, "fitting")}
    assert book.of_job(A)[0].words() == "40%, fitting"
    queue.cancel(A, "cancelled by ada", 0.0)
    assert book.of_task(A, 0) is None and book.of_job(A) == {}


def test_progress_that_is_over_is_forgotten(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many attempts ever told something, only those that are under way are kept."""
    monkeypatch.setattr("ws.limits.PROGRESS_KEPT", 10)
    book = ProgressBook(cast(Any, SimpleNamespace(queue=queue)))
    book.note(Progress(attempt(1), 0.5, ""))
    for number in range(1000):
        book.note(Progress(AttemptId("cd" * 32, number, attempt(1).fence), 0.5, ""))
        assert len(book._newest) <= 11
    assert book.of_task(A, 0) is not None
