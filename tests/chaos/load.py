"""The jobs of a run, and those who submit them: half through the client at a desk, half as files into ``jobs/``.

Whoever does not hear of a job submits it again, as a person would; what was heard is in the history.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cluster import Person
from history import Accepted, AnswerSeen, Cancelled, HistoryFile, Refused, Submitting
from payload import SCRIPT
from sites import Site

from rjs.packing import gather, write_signed
from rjs.state import signing_identity

CLIENT, FILE = "client", "file"
CLIENT_PATIENCE = 40.0
"""Seconds until a client is killed that got no answer."""
CLIENT_TRIES = 60
"""How often somebody submits a job until he or she believes that it will not be taken."""
LOOK = 0.25
"""Seconds between two looks at a job: what they add to a latency at most."""
AGAIN = 1.5
"""Seconds until a submitter tries again."""
VALID = timedelta(days=7)
ENDED = ("done", "failed", "cancelled")


@attrs.frozen
class Order:
    """A job that somebody will submit ``at`` so many seconds, and cancel so many after it was accepted, if at all."""

    at: float
    tasks: int
    values: int
    way: str
    longest: float
    cancel_after: float | None


def orders(seed: int, tasks: int, seconds: float) -> tuple[Order, ...]:
    """Jobs of ``tasks`` tasks together, spread over so many seconds, by time."""
    chance = random.Random(f"load {seed}")
    drawn = []
    left = tasks
    while left > 0:
        size = min(left, chance.choice((1, 1, 2, 5, 10, 20, 40)))
        left -= size
        drawn.append(
            Order(
                at=chance.uniform(0, seconds),
                tasks=size,
                values=chance.randrange(2**32),
                way=chance.choice((CLIENT, FILE)),
                longest=chance.choice((0.0, 0.0, 0.2, 1.0)),
                cancel_after=chance.uniform(0, 5) if chance.random() < 0.05 else None,
            )
        )
    return tuple(sorted(drawn, key=lambda order: order.at))


@attrs.define
class Submission:
    """One job on its way: what its submitter does, and what he or she has heard. Every method returns at once."""

    site: Site
    person: Person
    history: HistoryFile
    order: Order
    bundle: Path
    job: str
    accepted_at: float | None = None
    ended: str = ""
    _next: float = 0.0
    _client: subprocess.Popen[bytes] | None = None
    _canceller: subprocess.Popen[bytes] | None = None
    _began: float = 0.0
    _tries: int = 0
    _seen: set[str] = attrs.field(factory=set)
    _cancel_over: bool = False

    def step(self, now: float) -> None:
        """Look, and do what is due."""
        if self.accepted_at is None:
            self._submit(now)
        else:
            self._cancel(now)
            if now >= self._next:
                self._next = now + LOOK
                self._look()

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do or to see."""
        return bool(self.ended) and self._canceller is None

    def _submit(self, now: float) -> None:
        if self.order.way == FILE:
            self._submit_file(now)
        elif self._client is not None:
            self._watch_client(now)
        elif now >= self._next:
            self._began, self._tries = now, self._tries + 1
            self._client = self.site.person_popen(self.person, "submit", self.bundle)

    def _submit_file(self, now: float) -> None:
        name = self.bundle.name
        try:
            if not (self.person.jobs / name).exists() and now >= self._next:
                self._next = now + AGAIN
                self.person.drop(self.bundle, name)
        except OSError:
            return  # the disk is full: tried again
        told = self._told()
        if "job: " in told:
            self._heard_accepted(now)
        elif told.startswith("state: refused"):
            self._heard_refused(told)

    def _watch_client(self, now: float) -> None:
        assert self._client is not None
        status = self._client.poll()
        if status is None:
            if now > self._began + CLIENT_PATIENCE:
                self._client.kill()
            return
        said = self._client.communicate()[0].decode(errors="replace")
        self._client, self._next = None, now + AGAIN
        if status == 0:
            self._heard_accepted(now)
        elif self._tries >= CLIENT_TRIES:
            self._heard_refused(said)

    def _heard_accepted(self, now: float) -> None:
        self.accepted_at = self._next = now
        self.history.tell(Accepted(job=self.job))

    def _heard_refused(self, said: str) -> None:
        self.ended = "refused"
        self.history.tell(Refused(job=self.job, why=said.strip()))

    def _cancel(self, now: float) -> None:
        assert self.accepted_at is not None
        if self._canceller is not None:
            status = self._canceller.poll()
            if status is None:
                if now > self._began + CLIENT_PATIENCE:
                    self._canceller.kill()
                return
            self._canceller.communicate()
            self._canceller = None
            if status == 0:
                self.history.tell(Cancelled(job=self.job))
        elif (
            self.order.cancel_after is not None
            and not self._cancel_over
            and now > self.accepted_at + self.order.cancel_after
        ):
            self._cancel_over, self._began = True, now
            self._canceller = self.site.person_popen(self.person, "cancel", self.job)

    def _look(self) -> None:
        """See which answers are there, and whether the job has ended."""
        told = self._told()
        for path in sorted((self.person.ans / self.job[:16]).glob("*.jar")):
            if path.name not in self._seen:
                self._seen.add(path.name)
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
                self.history.tell(AnswerSeen(job=self.job, task=int(path.stem), sha256=sha256))
        state = told.partition("\n")[0].removeprefix("state: ")
        committed = told.partition("committed ")[2].partition(",")[0]
        if state in ENDED and committed == str(len(self._seen)):
            self.ended = state

    def _told(self) -> str:
        return self.person.told(self.bundle.name)


@attrs.define
class Submitter:
    """Signs each bundle when it is due, and keeps all submissions going."""

    site: Site
    person: Person
    history: HistoryFile
    log: Path
    """The file that all tasks write to."""
    waiting: list[Order]
    under_way: list[Submission] = attrs.field(factory=list)
    done: list[Submission] = attrs.field(factory=list)

    def step(self, now: float, elapsed: float) -> None:
        """Submit what is due, and see to what is under way."""
        while self.waiting and self.waiting[0].at <= elapsed:
            self.under_way.append(self._begin(self.waiting.pop(0)))
        for each in self.under_way:
            each.step(now)
        self.done += [each for each in self.under_way if each.is_over]
        self.under_way = [each for each in self.under_way if not each.is_over]

    @property
    def all(self) -> Iterator[Submission]:
        """Every submission that was begun."""
        yield from self.done
        yield from self.under_way

    def _begin(self, order: Order) -> Submission:
        number = len(self.done) + len(self.under_way) + 1
        bundle, job = sign(
            self.person,
            f"job-{number}",
            tasks=order.tasks,
            log=self.log,
            values=order.values,
            longest=order.longest,
        )
        self.history.tell(Submitting(job=job, tasks=order.tasks, values=order.values, way=order.way))
        return Submission(self.site, self.person, self.history, order, bundle, job)


def sign(
    person: Person, name: str, *, tasks: int, log: Path, values: int, longest: float = 0.0, mark: str = ""
) -> tuple[Path, str]:
    """A signed bundle of the payload, and its job's id. The arguments are the payload's."""
    folder = person.folder / "work"
    folder.mkdir(exist_ok=True)
    (folder / "run.py").write_text(SCRIPT)
    (folder / "job.toml").write_text(
        f'name = "{name}"\nruntime = "python"\nentry = "run.py"\ntasks = {tasks}\n'
        f'args = ["{log}", "{values}", "{longest}", "{mark}"]\n'
        '[needs]\nmemory = "128 MiB"\ndisk = "16 MiB"\nwall_time = "2 min"\n'
    )
    bundle, me = person.folder / f"{name}.jar", signing_identity(person.folder)
    job = write_signed(
        gather(folder),
        bundle,
        key=me.key,
        chain=me.chain,
        now=datetime.now(UTC),
        nonce=os.urandom(16),
        valid=VALID,
    )
    return bundle, job
