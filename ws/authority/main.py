"""The token authority's process: reads its key, and certifies what the rules allow until its connection closes.

Started by ``ws.authority.process`` with one end of a socket pair and nothing else: no environment, no arguments of
weight, no other files. It is single-threaded, has no reactor, and ends with the web server that started it, however
that ends. What it cannot make durable in its log it does not give out: it ends instead, and is started again.
"""

from __future__ import annotations

import os
import pwd
import resource
import socket
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import msgspec

from rjs.errors import ConfigError, RefusedError, RjsError
from rjs.identity.accepted_cas import check_acceptance_succession, read_acceptance
from rjs.identity.accepted_file import ACCEPTED_CAS, keep_acceptance, kept_acceptance
from rjs.identity.authority import TokenAuthority
from rjs.identity.certificates import Identity
from rjs.identity.keys import load_chain, load_private
from rjs.identity.names import RjsName
from rjs.identity.revocation import Revocations
from rjs.identity.revocation_file import REVOCATIONS, keep_revocations, kept_revocations
from rjs.wall_time import Wall, utc_now
from ws.authority import limits
from ws.authority.log import IssuedToken, IssueLog, history, issued_to, token_end
from ws.authority.messages import (
    QUESTIONS,
    Accept,
    Accepted,
    Answer,
    Begin,
    Inbox,
    Issued,
    Listed,
    Prepare,
    Prepared,
    Question,
    Ready,
    Refused,
    Relist,
    Revoke,
    TakeOver,
    TookOver,
    frame,
)
from ws.authority.rates import Rates
from ws.authority.register import Register
from ws.authority.rules import Authority
from ws.authority.succession import finish, prepare, take_over


def main(arguments: list[str]) -> int:
    """Serve the connection whose file descriptor is the only argument; the exit status."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the key is in no dump
    os.umask(0o077)
    with socket.socket(fileno=int(arguments[0])) as connection:
        connection.set_inheritable(False)
        inbox = Inbox(QUESTIONS)
        begin, *early = _received(connection, inbox)
        assert isinstance(begin, Begin)
        try:
            desk = open_desk(begin)
        except (RjsError, OSError, KeyError) as error:
            code = error.code if isinstance(error, RefusedError) else "authority"
            connection.sendall(frame(Refused(0, code, f"{error}")))
            return 1
        connection.sendall(frame(desk.ready))
        questions = early
        while True:
            connection.sendall(b"".join(map(frame, desk.answer(questions))))
            questions = _received(connection, inbox)
            if not questions:
                return 0


def _received(connection: socket.socket, inbox: Inbox[Question]) -> list[Question]:
    """The next questions, as many as are there; none when the web server has gone."""
    found: list[Question] = []
    while not found:
        data = connection.recv(limits.FRAME)
        if not data:
            return []
        found += inbox.messages(data)
    return found


def open_desk(begin: Begin, wall: Wall = utc_now, steady: Callable[[], float] = time.monotonic) -> Desk:
    """Become the account to run as, and read key and log. From here on paths are relative to the folder, which alone
    that account can enter."""
    os.chdir(begin.folder)
    before = os.geteuid()
    if begin.user:
        _become(begin.user)
    here = Path()
    finish(here)
    tokens = TokenAuthority.open(here)
    own = RjsName.parse(begin.name)
    authority = Authority(
        tokens, own, begin.common_name, begin.lifetime, history(here, wall()), Rates(steady()),
        job_lifetime=begin.job_lifetime,
    )  # fmt: skip
    user = pwd.getpwuid(os.geteuid()).pw_name if _is_known(os.geteuid()) else str(os.geteuid())
    authority.acceptance = kept_acceptance(Path(ACCEPTED_CAS), tokens.root)
    register = _register(tokens)
    ready = Ready(tokens.not_after.timestamp(), user, os.geteuid() != before, register.not_after.timestamp())
    return Desk(authority, IssueLog(here), ready, register, wall, steady)


def _register(tokens: TokenAuthority) -> Register:
    record = Identity(load_private(Path("record.key")), load_chain(Path("record.pem")))
    ours = (*tokens.chain, *record.chain)
    kept = kept_revocations(Path(REVOCATIONS), tokens.root)
    return Register(
        record, ours, kept, lambda serial: token_end(Path(), serial), lambda name: issued_to(Path(), name)
    )


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _become(user: str) -> None:
    """Give this folder to ``user``, and be nobody else from now on. Only root can."""
    if os.geteuid() != 0:
        raise ConfigError(f"only a web server that root starts can run its authority as {user!r}")
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f"there is no account {user!r} for the authority; make it, or empty the setting"
        ) from None
    for path in (Path(), *Path().iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


@attrs.define(eq=False)
class Desk:
    """The rules, with the log in front of every answer."""

    authority: Authority
    log: IssueLog
    ready: Ready
    register: Register
    wall: Wall = utc_now
    steady: Callable[[], float] = time.monotonic

    def __attrs_post_init__(self) -> None:
        self.authority.revocations = self.register.newest

    def answer(self, questions: list[Question]) -> list[Answer]:
        """The answers, in order; every certificate among them is durably in the log."""
        answers: list[Answer] = []
        for start in range(0, len(questions), limits.BATCH):
            lines: list[IssuedToken] = []
            batch = [self._decide(each, lines) for each in questions[start : start + limits.BATCH]]
            if lines:
                self.log.append(lines)
            answers += batch
        return answers

    def _decide(self, question: Question, lines: list[IssuedToken]) -> Answer:
        if isinstance(question, Begin):
            return Refused(0, "protocol", "it began already")
        try:
            if isinstance(question, Revoke | Relist):
                return Listed(question.id, self._listed(question).signed)
            if isinstance(question, Accept | Prepare | TakeOver):
                return self._empowered(question)
            grant = self.authority.decide(question, self.wall(), self.steady())
        except RefusedError as error:
            return Refused(question.id, error.code, error.sentence)
        if grant.line is not None:
            lines.append(grant.line)
        return Issued(question.id, grant.chain)

    def _empowered(self, question: Accept | Prepare | TakeOver) -> Answer:
        """What the operator stated or certified: durable, and gone by from the next question on."""
        root = self.authority.tokens.root
        match question:
            case Accept(number, signed):
                offered = read_acceptance(signed, root)
                check_acceptance_succession(self.authority.acceptance, offered)
                keep_acceptance(Path(ACCEPTED_CAS), offered)
                self.authority.acceptance = offered
                return Accepted(number)
            case Prepare(number):
                return Prepared(number, prepare(Path()))
            case TakeOver(number, certificates):
                take_over(Path(), certificates, root)
                self._reopen()
                return TookOver(number, self.ready)

    def _reopen(self) -> None:
        """Issue and sign with the keys that took over."""
        tokens = self.authority.tokens = TokenAuthority.open(Path())
        self.register = _register(tokens)
        until, record_until = tokens.not_after.timestamp(), self.register.not_after.timestamp()
        self.ready = msgspec.structs.replace(self.ready, not_after=until, record_not_after=record_until)

    def _listed(self, question: Revoke | Relist) -> Revocations:
        """The newest list: durable, and gone by here from the next question on."""
        now = self.wall()
        if isinstance(question, Revoke):
            newest = self.register.revoke(question.entry, now)
        else:
            newest = self.register.renew(question.known, now)
        if newest is not self.register.newest:
            keep_revocations(Path(REVOCATIONS), newest)
            self.register.newest = self.authority.revocations = newest
        return newest
