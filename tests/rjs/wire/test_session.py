"""A session's life between two real ends: hello, requests, heartbeats, and one end with one reason."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher

from rjs import limits
from rjs.errors import ProtocolError, RefusedError, StorageError
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.wire import messages as m
from rjs.wire.session import Self, Session, SessionLostError
from rjs.wire.testing import Wire

WANT = m.TaskWant(outstanding=1, epoch=1)


def value(deferred: Deferred[Any]) -> Any:
    """The result that is there, or its error."""
    got: list[Any] = []
    deferred.addBoth(got.append)
    assert got, "no result yet"
    return getattr(got[0], "value", got[0])


def refused(deferred: Deferred[Any]) -> str:
    """The code of the refusal that is there."""
    error = value(deferred)
    assert isinstance(error, RefusedError), error
    return error.code


# --- hello ------------------------------------------------------------------------------------------------


def test_both_ends_open_once_and_know_each_other(wire: Wire) -> None:
    """After both hellos each door is told once who is there, from the certificate."""
    wire.open()
    assert wire.called.door.milestones == [f"opened {wire.caller.hello.name}"]
    assert wire.caller.door.milestones == [f"opened {wire.called.hello.name}"]
    assert value(wire.dialled.ready) is wire.dialled
    assert value(wire.accepted.ready) is wire.accepted
    assert wire.accepted.peer_hello.boot_count == 1 and wire.accepted.peer_hello.dial == 1
    assert wire.accepted.remote == "192.0.2.1"


def test_nothing_is_opened_before_the_hello(wire: Wire) -> None:
    """TLS alone opens no door: the dialling side's handshake is complete before it was judged."""
    wire.connect()
    for _ in range(3):
        wire.clock.advance(0)
        wire.accepted_end.deliver()
        wire.dialled_end.deliver()
        if not wire.dialled.identity:
            assert wire.caller.door.events == []
    wire.turn()
    assert wire.caller.door.milestones != []


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (partial(attrs.evolve, cluster="f" * 16), "wrong-cluster", "not ffffffffffffffff"),
        (partial(attrs.evolve, name="rjs://lus/" + "f" * 32), "wrong-name", "the hello says rjs://lus/ffff"),
    ],
)
def test_a_hello_that_differs_is_refused_at_both_ends(
    wire: Wire, change: Callable[[Self], Self], code: str, sentence: str
) -> None:
    """A hello of another cluster or name ends the session before it opens, and both sides can read why."""
    wire.caller.hello = change(wire.caller.hello)
    wire.open()
    wire.pass_time(2)
    for session in (wire.dialled, wire.accepted):
        assert session.ended and session.reason.startswith(f"{code}: ")
    assert sentence in wire.accepted.reason
    assert wire.called.door.events == []
    assert len(wire.endings) == 2 or wire.caller.door.milestones[-1].startswith("closed ")


def test_the_wrong_role_is_told_so_in_words(organisation: Organisation) -> None:
    """A role that the door does not welcome reads which roles it serves, at its own end too."""
    wire = Wire(organisation, Role.CS)
    wire.called.door.welcome = frozenset({Role.LUS, Role.USER})
    wire.open()
    name = wire.caller.hello.name
    expected = f"wrong-role: {name} is not served at this door; it serves: lus, user"
    assert wire.dialled.reason == wire.accepted.reason == expected
    assert wire.called.door.events == []
    assert wire.caller.door.milestones == [f"opened {wire.called.hello.name}", f"closed {expected}"]


def test_an_old_protocol_is_refused_by_its_number(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer whose release speaks an older protocol is told which number is needed, and by which release."""
    wire.connect()
    monkeypatch.setattr(limits, "OLDEST_PROTOCOL", 2)  # both hellos are out, each with number 1
    wire.turn()
    assert wire.dialled.reason.startswith(
        "old-protocol: release 1.0 speaks protocol 1, this release 1.0 needs 2"
    )
    assert wire.called.door.events == wire.caller.door.events == []


def test_a_newer_protocol_is_the_newer_sides_decision(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that speaks a newer protocol is let in: it knows whether it still speaks ours."""
    monkeypatch.setattr(limits, "PROTOCOL", 7)
    wire.connect()
    monkeypatch.setattr(limits, "PROTOCOL", 1)
    wire.turn()
    assert wire.accepted.peer_hello.protocol == 7


def test_tls_refuses_before_any_hello(organisation: Organisation) -> None:
    """A peer of another organisation is refused during the handshake, in words on both sides."""
    stranger = Organisation(organisation.now).member(Role.LUS)
    wire = Wire(organisation, stranger)
    wire.open()
    assert "belongs to" in wire.dialled.reason and "organisation" in wire.dialled.reason
    assert wire.accepted.reason.startswith("identity.refused_by_peer")
    assert len(wire.endings) == 2
    assert wire.clock.getDelayedCalls() == []


def test_silence_before_the_hello_is_bounded(wire: Wire) -> None:
    """Whoever connects and says nothing is dropped after the handshake's time."""
    wire.connect()
    wire.accepted_end.reading = wire.dialled_end.reading = False
    wire.pass_time(limits.HANDSHAKE + 1)
    assert wire.endings == ["no hello within 10 s"] * 2
    assert wire.clock.getDelayedCalls() == []


# --- requests ---------------------------------------------------------------------------------------------


def test_a_request_gets_its_own_reply(wire: Wire) -> None:
    """Replies find their requests by number, in whatever order they come."""
    doing: list[Deferred[m.Message]] = []

    async def later(session: Session, message: m.TaskWant) -> m.Message:
        doing.append(Deferred())
        return await doing[message.outstanding]

    wire.route(m.TaskWant, later)
    wire.open()
    asked = [
        wire.ask(wire.dialled, m.TaskWant(outstanding=each, epoch=1), m.JobAccepted) for each in range(3)
    ]
    for each in (2, 0, 1):
        doing[each].callback(m.JobAccepted(job="0" * 64, tasks=each))
        wire.turn()
    assert [value(each).tasks for each in asked] == [0, 1, 2]


def test_nothing_to_say_is_done(wire: Wire) -> None:
    """A handler that returns nothing answers a request with ``done``, and a plain word with silence."""
    heard: list[m.Message] = []
    wire.route(m.TaskWant, lambda _, message: heard.append(message))
    wire.open()
    assert isinstance(value(wire.ask(wire.dialled, WANT, m.Done)), m.Done)
    before = wire.accepted_end.sent
    wire.dialled.tell(WANT)
    wire.turn()
    assert len(heard) == 2 and wire.accepted_end.sent == before


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("too-large", "smaller, please"), "too-large"),
        (StorageError("the disk is full: make room"), "failed"),
        (RefusedError("odd-name", "\udcff is no name" + "x" * 5000), "odd-name"),
    ],
)
def test_refusals_travel_in_words(wire: Wire, error: Exception, code: str, later: bool) -> None:
    """What a handler raises, at once or later, reaches the asker with code and sentence, cut and readable."""

    async def coroutine() -> None:
        raise error

    def handler(session: Session, message: m.Message) -> Any:
        if later:
            return coroutine()
        raise error

    wire.route(m.TaskWant, handler)
    wire.open()
    asked = wire.ask(wire.dialled, WANT, m.Done)
    assert refused(asked) == code
    assert not wire.dialled.reason


@pytest.mark.parametrize("later", [False, True])
def test_a_defect_of_a_handler_is_answered_and_logged(wire: Wire, defects: list[str], later: bool) -> None:
    """A handler that fails ends neither the session nor the asker's patience; the log has the details."""

    async def coroutine() -> None:
        raise ZeroDivisionError

    def handler(session: Session, message: m.Message) -> Any:
        return coroutine() if later else 1 / 0

    wire.route(m.TaskWant, handler)
    wire.open()
    assert refused(wire.ask(wire.dialled, WANT, m.Done)) == "internal"
    assert defects == ["ZeroDivisionError"]
    assert not wire.accepted.reason


def test_an_unknown_message_is_unsupported_by_name(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later release's message is answered by name, asked or told, and the session goes on."""

    class Novelty(m.Message, frozen=True, kw_only=True, tag="lus.novelty"):
        pass

    wire.open()
    assert refused(wire.ask(wire.dialled, Novelty(), m.Done)) == "unsupported"
    wire.dialled.tell(Novelty())
    wire.turn()
    assert not wire.dialled.reason and not wire.accepted.reason


def test_a_message_without_handler_is_unsupported(wire: Wire) -> None:
    """A known message that this door does nothing with is answered in the same way."""
    wire.open()
    assert refused(wire.ask(wire.dialled, WANT, m.Done)) == "unsupported"


@pytest.mark.parametrize(
    "word", [m.Unsupported(what="x"), m.Done(), m.Refused(code="x", sentence="x")], ids=m.tag_of
)
def test_what_answers_is_never_answered(wire: Wire, word: m.Message) -> None:
    """Two sides that do not understand each other fall silent: nobody answers an answer."""
    wire.open()
    wire.dialled.tell(word)
    wire.turn()  # fails when the wire never becomes quiet
    assert not wire.accepted.reason


def test_unknown_fields_are_ignored(wire: Wire) -> None:
    """A later release's fields do not disturb this one."""

    class Newer(m.Message, frozen=True, kw_only=True, tag="lus.task.want"):
        outstanding: int
        epoch: int
        mood: str = "cheerful"
        map: dict[str, list[int]] = {}  # noqa: RUF012 - msgspec copies it

    wire.route(m.TaskWant, lambda _, message: m.JobAccepted(job="0" * 64, tasks=message.outstanding))
    wire.open()
    asked = wire.ask(wire.dialled, Newer(outstanding=5, epoch=1, mood="x", map={"a": [1]}), m.JobAccepted)
    assert value(asked).tasks == 5


def test_an_answer_of_the_wrong_type_ends_the_session(wire: Wire) -> None:
    """A peer that answers with something else than was asked for breaks the protocol."""
    wire.route(m.TaskWant, lambda *_: m.JobAccepted(job="0" * 64, tasks=1))
    wire.open()
    assert isinstance(value(wire.ask(wire.dialled, WANT, m.Done)), SessionLostError)
    assert wire.accepted.reason == "protocol: job.accepted is no answer to lus.task.want"


def test_a_reply_to_nothing_is_ignored(wire: Wire) -> None:
    """Late and invented replies change nothing."""
    wire.open()
    wire.dialled.tell(m.Done(re=12345))
    wire.turn()
    assert not wire.accepted.reason


def test_cancelling_a_request_forgets_it(wire: Wire) -> None:
    """Whoever stops waiting hears nothing more, and the reply that comes later disturbs nobody."""
    working: Deferred[m.Message] = Deferred()

    async def later(session: Session, message: m.Message) -> m.Message:
        return await working

    wire.route(m.TaskWant, later)
    wire.open()
    asked = wire.ask(wire.dialled, WANT, m.Done)
    asked.cancel()
    assert isinstance(value(asked), CancelledError)
    assert not wire.dialled._waiting
    working.callback(m.Done())
    wire.turn()
    assert not wire.dialled.reason


def test_our_own_frame_that_is_too_long_is_not_sent(wire: Wire) -> None:
    """A message of ours beyond the cap fails here, with nothing waiting, instead of at the peer."""
    wire.open()
    leases = tuple(range(1 << 40, (1 << 40) + 150_000))
    asked = wire.ask(wire.dialled, m.LeaseRenew(leases=leases, upto=1), m.LeaseRenewed)
    assert isinstance(value(asked), ProtocolError)
    assert not wire.dialled._waiting and not wire.dialled.reason


# --- the end ----------------------------------------------------------------------------------------------


def test_goodbye_is_read_at_both_ends(wire: Wire) -> None:
    """The closing side's words are the reason at both, at once and without a lost timer."""
    wire.open()
    wire.accepted.close("closing", "the web server stops")
    wire.accepted.close("later", "a second reason")
    wire.turn()
    reason = "closing: the web server stops"
    assert wire.dialled.ended and wire.accepted.ended
    assert wire.dialled.reason == wire.accepted.reason == reason
    for member in (wire.caller, wire.called):
        assert member.door.milestones[1:] == [f"closed {reason}"]
    assert wire.clock.getDelayedCalls() == []


def test_both_may_close_at_once(wire: Wire) -> None:
    """Two goodbyes that cross end in one reason at each end."""
    wire.open()
    wire.accepted.close("one", "first")
    wire.dialled.close("two", "second")
    wire.turn()
    assert (wire.dialled.reason, wire.accepted.reason) == ("two: second", "one: first")
    assert wire.dialled.ended and wire.accepted.ended


def test_what_waits_fails_when_the_session_ends(wire: Wire) -> None:
    """Every request under way fails with the reason, after the door was told; later ones fail at once."""
    told: list[str] = []

    async def never(session: Session, message: m.Message) -> m.Message:
        return await Deferred[m.Message]()

    wire.route(m.TaskWant, never)
    wire.open()
    asked = [wire.ask(wire.dialled, WANT, m.Done) for _ in range(3)]
    asked[0].addErrback(lambda _: told.extend(wire.caller.door.milestones[1:]))
    wire.dialled_end.cut()
    assert told == ["closed the connection was lost"]
    assert all(isinstance(value(each), SessionLostError) for each in asked[1:])
    assert isinstance(value(wire.ask(wire.dialled, WANT, m.Done)), SessionLostError)
    assert wire.clock.getDelayedCalls() == []


def test_requests_that_fail_may_cancel_others(wire: Wire) -> None:
    """Whoever hears of the end first may cancel and ask again without disturbing the others."""
    wire.route(m.TaskWant, lambda *_: Deferred())
    wire.open()
    asked = [wire.ask(wire.dialled, WANT, m.Done) for _ in range(3)]
    again: list[Any] = []

    def rush(_: object) -> None:
        asked[1].cancel()
        again.append(value(wire.ask(wire.dialled, WANT, m.Done)))

    asked[0].addErrback(rush)
    wire.dialled_end.cut()
    assert isinstance(again[0], SessionLostError)
    assert isinstance(value(asked[1]), CancelledError) and isinstance(value(asked[2]), SessionLostError)


def test_handlers_under_way_are_cancelled(wire: Wire) -> None:
    """The work of a peer that left is cancelled, without any word to the log of a defect."""
    cleaned: list[str] = []

    async def handler(session: Session, message: m.Message) -> None:
        try:
            await Deferred[None]()
        finally:
            cleaned.append("up")

    wire.route(m.TaskWant, handler)
    wire.open()
    wire.ask(wire.dialled, WANT, m.Done).addErrback(lambda _: None)
    wire.dialled_end.cut()
    assert cleaned == ["up"]


def test_a_handler_cancelled_from_within_still_answers(wire: Wire, defects: list[str]) -> None:
    """When this side gives up the work, the asker hears so and may ask again."""
    work: Deferred[m.Message] = Deferred()

    async def handler(session: Session, message: m.Message) -> m.Message:
        return await work

    wire.route(m.TaskWant, handler)
    wire.open()
    asked = wire.ask(wire.dialled, WANT, m.Done)
    work.cancel()
    wire.turn()
    assert refused(asked) == "stopped"
    assert defects == ["CancelledError"]


def test_a_handler_may_close_its_session(wire: Wire) -> None:
    """Closing from inside a handler ends the session as from anywhere else, and its reply is not sent."""
    wire.route(m.TaskWant, lambda session, _: session.close("enough", "of you"))
    wire.open()
    asked = wire.ask(wire.dialled, WANT, m.Done)
    assert isinstance(value(asked), SessionLostError)
    assert wire.dialled.reason == wire.accepted.reason == "enough: of you"


@pytest.mark.parametrize("event", ["opened", "heard", "answered", "closed"])
def test_a_defect_of_the_door_ends_one_session_in_order(wire: Wire, defects: list[str], event: str) -> None:
    """Whatever a door's owner got wrong, the session ends with a reason and everyone waiting hears of it."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    setattr(wire.called.door, event, broken)
    wire.open()
    gone = wire.accepted.gone()
    wire.pass_time(2)
    if event == "closed":
        wire.accepted_end.cut()
    assert defects == ["ZeroDivisionError"]
    assert value(gone) == wire.accepted.reason
    if event != "closed":
        assert wire.dialled.reason == "internal: a defect on this side; its log has the details"
    assert wire.clock.getDelayedCalls() == []


def test_each_who_waits_for_the_end_has_its_own(wire: Wire) -> None:
    """One who stops waiting takes nothing from the others, and whoever comes late hears at once."""
    wire.open()
    first, second, third = wire.dialled.gone(), wire.dialled.gone(), wire.dialled.gone()
    second.addErrback(lambda _: None)
    second.cancel()
    first.addCallback(lambda _: third.cancel())
    third.addErrback(lambda _: None)
    wire.accepted.close("closing", "bye")
    wire.turn()
    assert value(wire.dialled.gone()) == "closing: bye"


def test_a_peer_that_ignores_goodbye_is_dropped(wire: Wire) -> None:
    """Closing does not wait for a peer that does not answer."""
    wire.open()
    wire.dialled_end.reading = False
    wire.accepted.close("closing", "bye")
    wire.pass_time(limits.LINGER + 0.5)
    assert wire.accepted.ended and wire.accepted.reason == "closing: bye"
    assert wire.clock.getDelayedCalls() == []


def test_closing_before_the_connection_is_made(wire: Wire) -> None:
    """A session that was closed while it was being dialled says nothing and drops the connection."""
    session = Session(wire.clock, wire.caller.hello, wire.caller.door)
    session.close("stopped", "not wanted any more")
    transport = StringTransport()
    session.protocol.makeConnection(transport)
    assert transport.value() == b"" and transport.disconnected
    assert wire.clock.getDelayedCalls() == []


# --- time -------------------------------------------------------------------------------------------------


def test_heartbeats_both_ways(wire: Wire) -> None:
    """Each side hears the other about once a second, and learns when the heartbeat that was answered was sent."""
    wire.open()
    wire.pass_time(10)
    for member in (wire.caller, wire.called):
        assert 10 <= member.door.events.count("heard") <= 11
        assert member.door.answers == sorted(member.door.answers)
        assert len(member.door.answers) >= 10
        assert all(sent <= wire.clock.seconds() for sent in member.door.answers)


def test_who_was_dialled_pings_together_with_its_answer(wire: Wire) -> None:
    """Heartbeats make the accepting end write once a second, and its own pings are answered all the same."""
    wire.open()
    wire.pass_time(3.0)
    moments: set[float] = set()
    write = wire.accepted_end.write
    wire.accepted_end.write = lambda data: (moments.add(wire.clock.seconds()), write(data))[1]  # type: ignore[func-returns-value,method-assign]  # it watches
    wire.called.door.answers.clear()
    wire.pass_time(10.0)
    assert 9 <= len(wire.called.door.answers) <= 11
    assert len(moments) <= 11


def test_silence_ends_the_session_with_its_length(wire: Wire) -> None:
    """A peer that says nothing for long is given up, with the reason; what it missed does not pile up."""
    wire.open()
    wire.dialled_end.reading = wire.accepted_end.reading = False
    wire.pass_time(limits.SILENCE + 2, step=0.5)
    assert wire.dialled.reason.startswith("nothing heard for 1")
    assert len(wire.accepted._pings) <= 2 * limits.SILENCE / limits.HEARTBEAT + 1
    assert wire.clock.getDelayedCalls() == []


def test_a_certificate_ends_its_session(organisation: Organisation) -> None:
    """When a peer's certificate expires in mid-session, the session ends, and both read whose it was."""
    soon = organisation.now - dt.timedelta(seconds=limits.TOKEN_LIFETIME - limits.CLOCK_SKEW)
    caller = organisation.member(Role.LUS, now=soon + dt.timedelta(minutes=1))
    wire = Wire(organisation, caller)
    wire.open()
    left = (caller.chain[0].not_valid_after_utc - organisation.now).total_seconds()
    wire.pass_time(left - 2, step=1)
    assert not wire.accepted.reason
    wire.pass_time(4, step=1)
    for session in (wire.dialled, wire.accepted):
        assert session.ended
        assert session.reason.startswith(f"certificate-expired: the certificate of {wire.caller.hello.name} ")


def test_replies_to_nothing_leave_one_line_in_the_log(wire: Wire) -> None:
    """Whoever answers what nobody asked fills no log: the first is told there, the others are dropped."""
    lines: list[object] = []

    def observe(event: LogEvent) -> None:
        if isinstance(event.get("message"), m.Refused):
            lines.append(event["message"])

    wire.open()
    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]  # a function is an observer
    try:
        for _ in range(100):
            wire.dialled.tell(m.Refused(code="x", sentence="s"))
        wire.turn()
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]  # a function is an observer
    assert len(lines) == 1 and not wire.accepted.reason


def test_refusals_in_the_log_are_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks for what it may not on and on is refused each time, and the log tells of the first ones."""
    monkeypatch.setattr(limits, "LOGGED_REFUSALS", 3)
    lines: list[object] = []

    def observe(event: LogEvent) -> None:
        if event.get("code") == "forbidden":
            lines.append(event)

    wire.open()
    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]  # a function is an observer
    got: list[Any] = []
    try:
        for _ in range(10):
            wire.ask(wire.dialled, m.JobList(), m.JobLines).addBoth(got.append)
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]  # a function is an observer
    assert [each.value.code for each in got] == ["forbidden"] * 10 and len(lines) == 3
