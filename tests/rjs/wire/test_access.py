"""Who may call what: the whole table, role by method; and the log that tells of every decision."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher, textFileLogObserver

from rjs import limits
from rjs.errors import RefusedError
from rjs.identity.names import RjsName, Role
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.access import decide
from rjs.wire.testing import Wire

ID = "0" * 32
CALLERS = {
    Role.WS: RjsName(Role.WS, ID),
    Role.LUS: RjsName(Role.LUS, ID),
    Role.CS: RjsName(Role.CS, ID),
    Role.USER: RjsName(Role.USER, "ada"),
    Role.ADMIN: RjsName(Role.ADMIN, "root"),
    Role.JOB: RjsName(Role.JOB, f"{ID}{ID}/7/1.42.3"),
    Role.INVITATION: RjsName(Role.INVITATION, "user/ada"),
    Role.EXPIRED: RjsName(Role.EXPIRED, f"cs/{ID}"),
    Role.GUEST: RjsName(Role.GUEST, "0" * 64),
}
"""One of each role."""

SERVERS, PEOPLE = "ws lus cs", "user admin"
ALL = f"{SERVERS} {PEOPLE} job invitation expired guest"
TABLE = {
    "hello": ALL,
    "ping": ALL,
    "pong": ALL,
    "bye": ALL,
    "unsupported": ALL,
    "refused": ALL,
    "done": ALL,
    "blob.read": SERVERS,
    "blob.data": ALL,
    "member.enrol": "invitation lus",
    "member.enrolled": "ws lus",
    "member.renew": f"lus cs {PEOPLE} expired",
    "member.renewed": "ws lus",
    "member.present": "guest",
    "account.signer.add": "user",
    "job.token": "cs lus",
    "job.token.issued": "ws lus",
    "attempt.progress": "cs lus",
    "job.input.list": "job",
    "job.inputs": "cs",
    "job.input.read": "job",
    "job.output.write": "job",
    "job.checkpoint.read": "job",
    "job.checkpoint.write": "job",
    "job.progress": "job",
    "job.submit": PEOPLE,
    "job.accepted": "ws",
    "job.list": PEOPLE,
    "job.lines": "ws",
    "job.show": PEOPLE,
    "job.shown": "ws",
    "job.cancel": PEOPLE,
    "job.why": PEOPLE,
    "job.reasons": "ws",
    "lus.job.why": "ws",
    "lus.job.reasons": "lus",
    "revocation.number": SERVERS,
    "revocation.list": SERVERS,
    "revocation.read": "user admin",
    "admin.revoke": "admin",
    "lus.task.want": "lus",
    "ws.task.grant": "ws",
    "lus.lease.renew": "lus",
    "ws.lease.renewed": "ws",
    "ws.lease.ended": "ws",
    "lus.task.return": "lus",
    "lus.task.placed": "lus",
    "lus.task.adopt": "lus",
    "ws.task.adopted": "ws",
    "attempt.ended": "lus cs",
    "answer.offer": "lus cs",
    "answer.verdict": "ws lus",
    "checkpoint.offer": "lus cs",
    "checkpoint.verdict": "ws lus",
    "checkpoint.rejected": "lus cs",
    "lus.cs.state": "cs",
    "cs.task.start": "lus",
    "cs.task.stop": "lus",
}
"""Which roles may say what, in words: a new message is thought of here too, or the tests below fail."""


def declared(kind: type[m.Message] = m.Message) -> Iterator[type[m.Message]]:
    """Every message type that there is, in the union of the decoder or not."""
    for each in kind.__subclasses__():
        yield each
        yield from declared(each)


def test_every_message_says_who_may_say_it() -> None:
    """Each type declares its callers itself, inherits nobody's, is known to the decoder, and stands in the table."""
    kinds = list(declared())
    assert all(isinstance(vars(kind).get("callers"), frozenset) for kind in kinds)
    assert {m.tag_of(kind) for kind in kinds} == set(m.TAGS) == set(TABLE)


@pytest.mark.parametrize("method", TABLE)
@pytest.mark.parametrize("role", CALLERS)
def test_role_by_method(role: Role, method: str) -> None:
    """Each cell: allowed where the table says so, else refused with a code and a sentence that names all of it."""
    caller, may = CALLERS[role], TABLE[method].split()
    decision = decide(caller, m.TAGS[method])
    assert decision.allowed == (role in may)
    if not decision.allowed:
        assert decision.code == "forbidden"
        assert decision.sentence == f"{caller.uri()} may not call {method}; {', '.join(sorted(may))} may"


# --- the log ----------------------------------------------------------------------------------------------


@pytest.fixture
def calls() -> Iterator[list[LogEvent]]:
    """What is logged in the namespace of calls."""
    found: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event["log_namespace"] == "rjs.calls":
            found.append(event)

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]  # a function is an observer
    yield found
    globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]  # a function is an observer


def ask(wire: Wire, message: m.Message) -> None:
    asked: Deferred[Any] = wire.ask(wire.dialled, message, m.Done)
    asked.addErrback(lambda _: None)


def busy(session: object, message: m.Message) -> m.Message:
    raise RefusedError("busy", "ask later")


@pytest.mark.parametrize(
    ("role", "message", "level"),
    [
        (Role.USER, m.JobList(), "info"),
        (Role.ADMIN, m.JobList(), "info"),
        (Role.LUS, m.TaskWant(outstanding=1, epoch=0), "debug"),
        (Role.CS, m.BlobRead(kind="bundle", key="a", offset=0, length=1), "debug"),
    ],
)
def test_who_is_allowed_is_logged(
    organisation: Organisation, calls: list[LogEvent], role: Role, message: m.Message, level: str
) -> None:
    """A person's call is one line in every log, a server's only where somebody looks for defects."""
    wire = Wire(organisation, role)
    wire.route(type(message), lambda session, message: m.Done())
    wire.open()
    ask(wire, message)
    (event,) = calls
    assert event["log_level"].name == level
    assert event["log_format"].format(**event) == f"{wire.caller.hello.name} {m.tag_of(message)} allowed"


@pytest.mark.parametrize(
    ("role", "told"),
    [
        (Role.LUS, ["refused forbidden: {caller} may not call job.list; admin, user may"]),
        (Role.USER, ["allowed", "refused busy: ask later"]),
    ],
)
def test_who_is_refused_is_logged(
    organisation: Organisation, calls: list[LogEvent], role: Role, told: list[str]
) -> None:
    """A refusal says by what rule, whether it was the caller's role or what the call was for; with the time."""
    wire = Wire(organisation, role)
    wire.route(m.JobList, busy)
    wire.open()
    ask(wire, m.JobList())
    name = wire.caller.hello.name
    lines = [f"{name} job.list {each.format(caller=name)}" for each in told]
    assert [event["log_format"].format(**event) for event in calls] == lines
    out = io.StringIO()
    textFileLogObserver(out)(calls[-1])
    assert out.getvalue().startswith("20") and "[rjs.calls#info]" in out.getvalue()


def test_the_last_refusal_that_is_logged_says_so(
    organisation: Organisation, calls: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is refused on and on fills no disk, and the log does not fall silent without a word."""
    monkeypatch.setattr(limits, "LOGGED_REFUSALS", 3)
    wire = Wire(organisation, Role.LUS)
    wire.open()
    for _ in range(10):
        ask(wire, m.JobList())
    assert len(calls) == 4
    assert "further refusals of this session are not logged" in calls[-1]["log_format"]


def test_nothing_is_done_before_it_is_decided(
    organisation: Organisation, calls: list[LogEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that a handler sees has been decided before, held ones and reads in turn too."""
    order: list[str] = []

    def deciding(original: Callable[..., Any]) -> Callable[..., Any]:
        def decided(caller: RjsName, method: type[m.Message]) -> Any:
            order.append(f"decided {m.tag_of(method)}")
            return original(caller, method)

        return decided

    monkeypatch.setattr("rjs.wire.serving.decide", deciding(decide))
    monkeypatch.setattr(limits, "REQUESTS_IN_FLIGHT", 1)
    wire = Wire(organisation, Role.LUS)
    work: list[Deferred[m.Done]] = []

    def handler(session: object, message: m.Message) -> Deferred[m.Done]:
        order.append(f"did {m.tag_of(message)}")
        work.append(Deferred())
        return work[-1]

    said = (
        m.TaskWant(outstanding=1, epoch=0),
        m.BlobRead(kind="bundle", key="a", offset=0, length=1),
        m.LeaseRenew(leases=(), upto=0),
    )
    for each in said:
        wire.route(type(each), handler)
    wire.open()
    for each in said:
        ask(wire, each)
    for _ in said:
        work.pop().callback(m.Done())
        wire.turn()
    assert order == [f"{what} {m.tag_of(each)}" for each in said for what in ("decided", "did")]
