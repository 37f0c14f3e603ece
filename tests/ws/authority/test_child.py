"""The authority as a process: it outlives its own deaths, and ends with the web server."""

from __future__ import annotations

import datetime as dt
import os
import pwd
import signal
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.posixbase import PosixReactorBase

from rjs.errors import ConfigError, RefusedError
from rjs.identity.ca import OperatorFolder
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import new_key
from rjs.identity.names import Role
from rjs.identity.paths import check_chain, read_chain
from rjs.identity.profiles import Kind
from rjs.identity.requests import make_request, request_der
from rjs.identity.revocation import Revoked, What, read_revocations
from rjs.identity.revocation_file import REVOCATIONS, kept_revocations
from rjs.identity.testing import WS_ADDRESS
from ws.authority.child import AuthorityChild
from ws.authority.log import LOG, read_log
from ws.authority.messages import Begin


class Office:
    """A founded web server's authority."""

    def __init__(self, reactor: PosixReactorBase, path: Path) -> None:
        self.reactor = reactor
        self.now = dt.datetime.now(dt.UTC)
        self.operator = OperatorFolder.create(path / "ca", "Institute", self.now)
        self.identity = IdentityFolder(path / "identity")
        self.member = self.identity.found(self.operator, "web server", [WS_ADDRESS], self.now)
        self.children: list[AuthorityChild] = []

    @property
    def folder(self) -> Path:
        return self.identity.authority

    def begin(self, lifetime: int = 3600, user: str = "") -> AuthorityChild:
        name = self.member.name.uri()
        child = AuthorityChild(self.reactor, Begin(str(self.folder), user, name, "web server", lifetime))
        self.children.append(child)
        return child

    def started(self) -> AuthorityChild:
        child = self.begin()
        assert self.outcome(child.start()) is None
        return child

    def own(self) -> bytes:
        return request_der(make_request(new_key(), self.member.name.uri(), "x"))

    def until(self, done: Callable[[], object]) -> None:
        for _ in range(1000):
            if done():
                return
            self.reactor.iterate(0.02)
        raise AssertionError("it hangs")

    def outcome(self, work: Coroutine[Deferred[Any], Any, Any] | Deferred[Any]) -> Any:
        """The result of ``work``, or its error."""
        got: list[Any] = []
        deferred = work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)
        deferred.addBoth(got.append)
        self.until(lambda: got)
        return getattr(got[0], "value", got[0])


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """Afterwards no process of it is left."""
    from twisted.internet import reactor

    assert isinstance(reactor, PosixReactorBase)
    found = Office(reactor, tmp_path)
    yield found
    for child in found.children:
        pid = child.pid
        found.outcome(child.close())
        assert pid is None or not psutil.pid_exists(pid)


def test_it_issues_and_says_for_how_long(office: Office) -> None:
    """A certificate comes out of the process, chained to the root; its line is in the log, its end is known."""
    child = office.started()
    chain = read_chain(office.outcome(child.own(office.own())))
    assert check_chain(chain, office.operator.root, dt.datetime.now(dt.UTC)) is Kind.TOKEN
    (line,) = read_log(office.folder)
    assert (line.kind, line.name) == ("own", office.member.name.uri())
    assert int(line.serial, 16) == chain[0].serial_number > 2**100
    document = child.document()
    assert document["issues"] and not document["trouble"] and not document["own_account"]
    assert child.not_after == chain[1].not_valid_after_utc


def test_the_rules_refusals_come_through(office: Office) -> None:
    """A refusal keeps its code and sentence, and the process lives on."""
    child = office.started()
    wrong = request_der(make_request(new_key(), "rjs://admin/eve", "x"))
    error = office.outcome(child.own(wrong))
    assert isinstance(error, RefusedError) and error.code == "identity.other_name"
    assert office.outcome(child.own(b"rubbish")).code == "identity.request"
    assert child.restarts == 0 and len(office.outcome(child.own(office.own()))) == 3


def test_many_at_once_share_the_disk(office: Office) -> None:
    """A storm is answered, each with its own."""
    child = office.started()
    asked = [Deferred.fromCoroutine(child.own(office.own())) for _ in range(15)]
    results = office.outcome(DeferredList(asked))
    serials = {read_chain(chain)[0].serial_number for good, chain in results if good}
    assert len(serials) == 15 == len(list(read_log(office.folder)))


def test_killed_between_asking_and_answering(office: Office) -> None:
    """Whoever asked is answered by the next process; whatever was given out is in the log."""
    child = office.started()
    for delay in (0, 1, 2):
        asked = [Deferred.fromCoroutine(child.own(office.own())) for _ in range(3)]
        for _ in range(delay):
            office.reactor.iterate(0.001)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        results = office.outcome(DeferredList(asked))
        assert all(good for good, _ in results), results
        listed = {int(line.serial, 16) for line in read_log(office.folder)}
        assert {read_chain(chain)[0].serial_number for _, chain in results} <= listed
    office.until(lambda: child.restarts == 3)


def test_an_invitation_stays_used_across_processes(office: Office) -> None:
    """What the log says binds the next process too."""
    invitation = office.operator.invite(Role.LUS, None, ws=[WS_ADDRESS], now=office.now)
    chain = tuple(each.public_bytes(Encoding.DER) for each in invitation.identity.chain)
    first, second = (
        IdentityFolder(office.folder.parent.parent / name).create_pending(invitation, office.now)
        for name in ("one", "two")
    )
    child = office.started()
    assert len(office.outcome(child.enrol(first, chain))) == 3
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    assert office.outcome(child.enrol(second, chain)).code == "invitation-used"
    assert len(office.outcome(child.enrol(first, chain))) == 3


def test_what_cannot_be_made_durable_is_not_given_out(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a log that cannot be written there is no certificate, and the reason is told."""
    child = office.started()
    log = office.folder / LOG
    log.unlink()
    log.mkdir()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    monkeypatch.setattr("ws.authority.limits.PATIENCE", 0.5)
    error = office.outcome(child.own(office.own()))
    assert isinstance(error, RefusedError) and error.code == "cannot-issue"
    office.until(lambda: "directory" in child.trouble.lower())
    assert not child.document()["issues"]
    log.rmdir()
    monkeypatch.setattr("ws.authority.limits.PATIENCE", 20.0)
    assert len(office.outcome(child.own(office.own()))) == 3


@pytest.mark.parametrize(
    ("damage", "words"),
    [("key", "intermediate.key"), ("lifetime", "live for"), ("folder", "No such file")],
)
def test_one_that_cannot_begin_says_why(office: Office, damage: str, words: str) -> None:
    """A web server does not start without its authority, and the operator reads why."""
    if damage == "key":
        (office.folder / "intermediate.key").chmod(0o644)
    if damage == "folder":
        office.folder.rename(office.folder.with_name("away"))
    child = office.begin(lifetime=59 if damage == "lifetime" else 3600)
    error = office.outcome(child.start())
    assert isinstance(error, ConfigError) and words in str(error)


def test_it_ends_with_its_web_server(office: Office) -> None:
    """However the web server's end of the connection goes, the process goes too: nobody adopts the key."""
    child = office.started()
    process = psutil.Process(child.pid)
    assert process.environ() in ({}, {"LC_CTYPE": "C.UTF-8"})
    child._process._link.transport.abortConnection()  # type: ignore[union-attr]  # as a kill -9 of us does
    office.until(lambda: not process.is_running())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run it as another account")
def test_as_an_account_of_its_own(office: Office) -> None:
    """Where root starts the web server, the key is another account's, which can do nothing else."""
    for folder in (office.folder.parent, office.folder.parent.parent):
        folder.chmod(0o700)
    child = office.begin(user="nobody")
    assert office.outcome(child.start()) is None
    account = pwd.getpwnam("nobody")
    process = psutil.Process(child.pid)
    assert set(process.uids()) == {account.pw_uid} and set(process.gids()) == {account.pw_gid}
    assert len(office.outcome(child.own(office.own()))) == 3
    for path in (office.folder, *office.folder.iterdir()):
        assert path.stat().st_uid == account.pw_uid
        assert not path.stat().st_mode & 0o077 or path.suffix == ".pem"
    assert child.document()["user"] == "nobody" and child.document()["own_account"]
    assert "no account" in str(office.outcome(office.begin(user="no-such-account").start()))


def test_lists_outlive_every_death(office: Office) -> None:
    """Killed at any moment, no acknowledged entry is lost and no number comes twice; what was asked is answered."""
    child = office.started()
    root = office.operator.root
    numbers = [read_revocations(office.outcome(child.relist(None)), root).number]
    for delay, digit in enumerate("abcdef"):
        entry = Revoked(What.SIGNER, digit * 64, dt.datetime.now(dt.UTC).timestamp(), "lost")
        asked = Deferred.fromCoroutine(child.revoke(entry))
        for _ in range(delay):
            office.reactor.iterate(0.002)
        office.until(lambda: child.pid is not None)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        found = read_revocations(office.outcome(asked), root)
        assert found.covers([entry])
        numbers.append(found.number)
    last = read_revocations(office.outcome(child.relist(None)), root)
    assert all(last.signer(digit * 64) for digit in "abcdef")
    assert numbers == sorted(set(numbers)) and last.number > numbers[-1]
    kept = kept_revocations(office.folder / REVOCATIONS, root)
    assert kept is not None and kept.is_same(last)


def test_a_list_that_is_not_durable_is_given_to_nobody(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes no list: whoever asked is told, and the list before stays in force."""
    child = office.started()
    before = office.outcome(child.relist(None))
    (office.folder / REVOCATIONS).unlink()
    (office.folder / REVOCATIONS).mkdir()
    entry = Revoked(What.SIGNER, "a" * 64, 1.0)
    monkeypatch.setattr("ws.authority.limits.PATIENCE", 0.5)
    error = office.outcome(child.revoke(entry))
    assert isinstance(error, RefusedError) and error.code == "cannot-issue"
    (office.folder / REVOCATIONS).rmdir()
    monkeypatch.setattr("ws.authority.limits.PATIENCE", 20.0)
    after = read_revocations(office.outcome(child.relist(before)), office.operator.root)
    assert after.number > read_revocations(before, office.operator.root).number and not after.said.entries


def test_without_its_record_key_it_does_not_begin(office: Office) -> None:
    """The web server says which file is missing."""
    (office.folder / "record.key").unlink()
    error = office.outcome(office.begin().start())
    assert isinstance(error, ConfigError) and "record.key" in str(error)
