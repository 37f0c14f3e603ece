"""A person's or a joiner's conversation with the WS: one session, some questions, done.

Functions here are coroutines on a reactor that somebody else runs; ``run_client`` runs one for a command.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.base import ReactorBase
from twisted.internet.defer import Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.python.failure import Failure

from rjs.background import Timers, sleep
from rjs.clock import use_steady_clock
from rjs.errors import RefusedError, RjsError, UnreachableError
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder, Member
from rjs.identity.invitation import Invitation
from rjs.identity.keys import AskPassphrase
from rjs.identity.lifetimes import check_renewable, renew_at
from rjs.identity.names import SERVERS, Role
from rjs.identity.paths import read_chain
from rjs.limits import HANDSHAKE, JOIN_PAUSE, LAN_AFTER, SILENCE, SUPERSEDED_PAUSE
from rjs.person_door import PersonDoor
from rjs.persons_list import fetch_list
from rjs.presenting import present_again, present_when_due, presented_in, unasked
from rjs.renewal import renew_over
from rjs.state import cluster_folder
from rjs.wall_time import Wall, utc_now
from rjs.ways import Caller, announced_ways, by_any_way, by_first_way, ways_of
from rjs.wire import messages as m
from rjs.wire.proxy import Proxy
from rjs.wire.session import Session

T = TypeVar("T")


async def with_ws(
    reactor: ReactorBase,
    identity: Identity,
    name: str,
    cluster: str,
    addresses: Sequence[str],
    work: Callable[[Session], Awaitable[T]],
    door: PersonDoor | None = None,
    *,
    wall: Wall = utc_now,
) -> T:
    """The result of ``work`` over a session with the first address of the web server that answers.

    Raises UnreachableError, naming every address and its fault, when none does, and OwnCertificateError before
    any is tried.
    """
    caller, ways = Caller(identity, name, cluster), ways_of(addresses)
    result, _ = await by_first_way(reactor, caller, ways, work, door or PersonDoor(), wall=wall)
    return result


async def with_own_ws(
    reactor: ReactorBase,
    folder: IdentityFolder,
    work: Callable[[Session], Awaitable[T]],
    door: PersonDoor | None = None,
    tell: Callable[[str], object] = lambda sentence: None,
    ask_passphrase: AskPassphrase = unasked,
) -> T:
    """``with_ws`` as the person whose folder this is, whose certificate is renewed first where that is due.

    One that is still good does the work even where renewing fails: ``tell`` hears why, the next command tries again.
    The list of what is revoked is fetched on the way.
    """
    by_presenting = await present_when_due(reactor, folder, tell, ask_passphrase)
    member, leaf, now = folder.member(), folder.token().chain[0], utc_now()
    if now >= leaf.not_valid_after_utc:
        await renew_alone(reactor, folder)
        leaf = folder.token().chain[0]

    async def renew_and_work(session: Session) -> T:
        if now >= renew_at(leaf) and not by_presenting:
            try:
                await renew_over(reactor, session, folder)
            except (RjsError, OSError) as error:
                tell(f"your certificate, valid until {leaf.not_valid_after_utc}, was not renewed: {error}")
        result = await work(session)
        await _fetch_list(reactor, session, folder, tell)
        return result

    name = member.name.uri()
    return await with_ws(reactor, folder.token(), name, member.cluster, member.ws, renew_and_work, door)


async def renew_alone(
    reactor: ReactorBase,
    folder: IdentityFolder,
    wall: Wall = utc_now,
    interfaces: Sequence[str] = (),
    tell: Callable[[str], object] = lambda sentence: None,
    proxy: Proxy | None = None,
    ask_passphrase: AskPassphrase = unasked,
) -> Identity:
    """Renew the token certificate of the member whose folder this is, over a session for nothing else.

    It may have expired, within the grace. Not for a server that runs and whose certificate is good: its session would
    be taken for the newer one of that server. Where the web server does not answer, lookup servers carry the request:
    those in ``member.json``, then those that announce themselves on the LAN of ``interfaces`` (all of them when none
    is given); ``tell`` hears each change of plan. ``proxy`` leads to the web server. Raises RefusedError,
    UnreachableError.
    """
    presented = presented_in(folder)
    if presented is not None:
        return await present_again(reactor, folder, presented, ask_passphrase, wall)
    member, current = folder.member(), folder.token()
    check_renewable(current.chain, wall())
    by_lus = member.role is not Role.LUS
    direct = member.role is not Role.CS or wall() >= current.chain[0].not_valid_after_utc
    ways = ways_of(member.ws if direct else (), member.lus if by_lus else (), proxy)
    caller = Caller(current, member.name.uri(), member.cluster)

    async def renew(session: Session) -> Identity:
        renewed = await renew_over(reactor, session, folder, wall)
        if member.role not in SERVERS:
            await _fetch_list(reactor, session, folder, tell)
        return renewed

    ask = partial(by_first_way, reactor, caller, work=renew, door=PersonDoor(), to_renew=True, wall=wall)
    more = partial(announced_ways, reactor, member.cluster, interfaces) if by_lus else None
    identity, _ = await once_heard(reactor, lambda: by_any_way(ask, ways, more, tell), tell)
    return identity


async def once_heard(
    timers: Timers, work: Callable[[], Awaitable[T]], tell: Callable[[str], object] = lambda sentence: None
) -> T:
    """``work``, begun again while the session of this server's process that was just killed keeps ours out: where it
    was dialled that process is given up after ``SILENCE`` seconds. ``tell`` hears that we wait. Raises what the last
    try raised."""
    began, told = timers.seconds(), False
    while True:
        try:
            return await work()
        except UnreachableError as error:
            if "superseded: " not in str(error) or timers.seconds() - began >= SILENCE + HANDSHAKE:
                raise
        if not told:
            tell(
                f"a session of this server's last process is still open there, {SILENCE:.0f} s at most; waiting"
            )
            told = True
        await sleep(timers, SUPERSEDED_PAUSE)


async def _fetch_list(
    reactor: ReactorBase,
    session: Session,
    folder: IdentityFolder,
    tell: Callable[[str], object],
) -> None:
    """Fetch the list of what is revoked; where that fails, the work is done all the same."""
    try:
        await fetch_list(reactor, session, folder)
    except (RjsError, OSError) as error:
        tell(f"the list of what is revoked was not fetched: {error}")


async def join(
    reactor: ReactorBase,
    invitation: Invitation,
    folder: Path,
    wait: float = 0.0,
    wall: Wall = utc_now,
    *,
    interfaces: Sequence[str] = (),
    proxy: Proxy | None = None,
    tell: Callable[[str], object] = lambda sentence: None,
    passphrase: bytes | None = None,
) -> Member:
    """Become a member: keys are made here, the WS certifies them, the invitation is used up.

    ``folder`` is the state folder (or a person's own). ``proxy`` leads to the web server. Where that does not answer,
    lookup servers carry the request: those of the invitation, and after ``LAN_AFTER`` seconds those that announce
    themselves on the LAN of ``interfaces``. While none of them answers either, all are tried again for ``wait``
    seconds. ``tell`` hears each change of plan, once, and which way it was. ``passphrase`` protects a person's
    signing and encryption key. May be repeated after any failure. Raises RefusedError, UnreachableError.
    """
    cluster = cluster_of(invitation.identity.root)
    identity = IdentityFolder(cluster_folder(folder, cluster) / "identity")
    request = identity.create_pending(invitation, wall(), passphrase)

    async def enrol(session: Session) -> m.MemberEnrolled:
        return await session.request(m.MemberEnrol(request=request), m.MemberEnrolled)

    caller = Caller(invitation.identity, invitation.name.caller().uri(), cluster)
    ask = partial(by_first_way, reactor, caller, work=enrol, door=PersonDoor(), wall=wall)
    ways = ways_of(invitation.ws, invitation.lus, proxy)
    more = partial(announced_ways, reactor, cluster, interfaces)
    began, told = reactor.seconds(), set[str]()

    def tell_once(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            tell(sentence)

    while True:
        waited = reactor.seconds() - began
        try:
            look = more if waited >= min(wait, LAN_AFTER) else None
            enrolled, way = await by_any_way(ask, ways, look, tell_once)
            break
        except UnreachableError:
            if look is not None and reactor.seconds() - began >= wait:
                raise
            await sleep(reactor, JOIN_PAUSE)
    tell(f"joined by way of {way}")
    return identity.complete(invitation, read_chain(enrolled.chain), wall())


async def submit(
    reactor: ReactorBase,
    folder: IdentityFolder,
    bundle: Path,
    name: str,
    told: Callable[[int], None] | None = None,
    job: str = "",
) -> m.JobAccepted | m.JobShown:
    """Upload a bundle under ``name``; ``told`` hears the bytes sent. Where ``job``, its id, is a job of one's own
    already, that is shown and nothing uploaded. Raises RefusedError with the WS's reason."""
    sha256, size = digest_of(bundle)
    door = PersonDoor(bundle, sha256, told)
    offer = m.JobSubmit(name=name, size=size, sha256=sha256)

    async def show_or_send(session: Session) -> m.JobAccepted | m.JobShown:
        if job:
            with contextlib.suppress(RefusedError):
                return await session.request(m.JobShow(job=job), m.JobShown)
        return await session.request(offer, m.JobAccepted)

    return await with_own_ws(reactor, folder, show_or_send, door)


def digest_of(bundle: Path) -> tuple[str, int]:
    """SHA-256 and size of a file."""
    with bundle.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size


def run_client(work: Callable[[ReactorBase], Coroutine[Deferred[Any], Any, T]]) -> T:
    """Run the process's reactor for one coroutine; its result, or its error. Once in a process."""
    from twisted.internet import reactor  # noqa: PLC0415 - installs the reactor

    assert isinstance(reactor, ReactorBase)
    use_steady_clock(reactor)
    outcome: list[T | Failure] = []

    def begin() -> None:
        Deferred.fromCoroutine(work(reactor)).addBoth(outcome.append).addBoth(lambda _: stop())

    def stop() -> None:
        with contextlib.suppress(ReactorNotRunning):  # interrupted: it stops already
            reactor.stop()

    interrupted: list[bool] = []
    reactor.addSystemEventTrigger("before", "shutdown", lambda: interrupted.append(not outcome))
    reactor.callWhenRunning(begin)
    reactor.run()
    if interrupted[0]:  # whatever the ending reactor made of the work under way
        raise KeyboardInterrupt
    result = outcome[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result
