"""Why the tasks of a job stand as they do. Pure: the queue's own facts, and what lookup servers said of theirs.

``why`` is the whole answer to ``rjs why``; ``waits`` is the sentence of it that status shows. `docs/why.md` lists
every code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from rjs import limits
from rjs.jobs import TaskState
from rjs.wire.messages import CsReason, JobLine, LusJobReasons, Reason, Whereabouts
from ws import why_words as words
from ws.dispatch import NO_CS, NO_LUS, Standing
from ws.job import EXPIRED, SIGNER_REVOKED, Blocked, JobState, Story
from ws.limits import ATTEMPT_GRACE, UNPLACED, VANISHED, WHY_SILENT
from ws.queue import Queue
from ws.task_leases import TaskLease

ORDER = (
    "lus-away", "adoptable", "cs-silent", "no-lus", "no-cs", "not-taken", "offered-again", "lus-paused", "cs-away",
    "failed-there", "cs-busy", "in-turn", "at-lus", "being-leased", "being-placed", "placed", "starting", "running",
    "undelivered", "failed", "expired", "signer-revoked", "cancelled", "committed", "tried-before", "may-still-run",
    "no-word",
)  # fmt: skip
"""Every code that is said of a job, the most decisive first."""


@attrs.frozen
class Known:
    """What is known beside the queue. ``now``: its clock. ``names``: of LUSs, by id. ``progress``: what attempts
    told, by task. ``said``: what each LUS that was asked replied, or why nothing came. ``undelivered``: committed
    answers that are not in ``ans/``, and ``fault`` why. ``cs_name``: who answered the task that is asked for."""

    now: float
    names: Mapping[str, str] = attrs.field(factory=dict)
    progress: Mapping[int, str] = attrs.field(factory=dict)
    said: Mapping[str, LusJobReasons | str] = attrs.field(factory=dict)
    undelivered: int = 0
    fault: str = ""
    cs_name: str = ""

    def name(self, lus: str) -> str:
        """What people call this LUS."""
        return self.names.get(lus) or lus[:8]


def waits(queue: Queue, state: JobState) -> str:
    """Why open tasks of the job wait, for status; empty when none does."""
    return open_code(queue, state)[1] if state.open else ""


def line(queue: Queue, state: JobState) -> JobLine:
    """What status says of a job."""
    return state.line(waits(queue, state))


def open_code(queue: Queue, state: JobState) -> tuple[str, str]:
    """The code and the sentence of tasks that wait for a LUS: how the job stands with those that could have it."""
    job, luses = state.job.id, queue.dispatch.luses
    stands = {lus: queue.dispatch.standing(job, lus) for lus in luses}
    if all(each is Standing.AWAY for each in stands.values()):
        return "no-lus", NO_LUS
    serving = {lus: each for lus, each in stands.items() if each not in (Standing.AWAY, Standing.NO_CS)}
    if not serving:
        return "no-cs", NO_CS
    if Standing.DUE in serving.values():
        return "being-leased", words.BEING_LEASED
    gave_back = [lus for lus in reversed(state.blocked) if lus in serving]
    if any(each is Standing.FULL and lus not in state.blocked for lus, each in serving.items()):
        return "in-turn", words.IN_TURN
    back = Blocked(0, "", words.GIVEN_BACK) if not gave_back else state.blocked[gave_back[0]]
    return ("offered-again" if Standing.FULL in serving.values() else "not-taken"), back.sentence


def why(queue: Queue, state: JobState, known: Known, task: int | None = None) -> tuple[Reason, ...]:
    """The reasons of all tasks, or of one, the most decisive first."""
    inquiry = _Inquiry(queue, state, known, task)
    reasons = [
        *inquiry.open(),
        *inquiry.leased(),
        *inquiry.ended(),
        *inquiry.tried(),
        *inquiry.loose(),
        *inquiry.no_word(),
    ]
    reasons.sort(key=lambda each: ORDER.index(each.code))
    return tuple(_bounded(reasons))


def _bounded(reasons: list[Reason]) -> list[Reason]:
    """What a frame holds: all compute servers are listed with the first reasons alone."""
    shown, lists = [], 0
    for each in reasons[: limits.WHY_REASONS]:
        lists += bool(each.servers)
        if lists > WHY_LISTS:
            each = Reason(
                code=each.code, sentence=each.sentence, tasks=each.tasks, first=each.first, change=each.change
            )
        shown.append(each)
    return shown


WHY_LISTS = 3
"""Lists of compute servers in one reply."""


@attrs.frozen
class _Inquiry:
    """One question. ``task``: None asks for all tasks."""

    queue: Queue
    state: JobState
    known: Known
    task: int | None
    where: dict[tuple[str, int], Whereabouts] = attrs.field(init=False)

    @where.default
    def _all_attempts(self) -> dict[tuple[str, int], Whereabouts]:
        told = {lus: said for lus, said in self.known.said.items() if isinstance(said, LusJobReasons)}
        return {(lus, each.task): each for lus, said in told.items() for each in said.attempts}

    # --- not ended ----------------------------------------------------------------------------------

    def open(self) -> list[Reason]:
        """Of tasks that no LUS has: the same for all of them."""
        tasks = self._in(TaskState.OPEN)
        if not tasks:
            return []
        code, sentence = open_code(self.queue, self.state)
        servers = _merged(
            said.servers for said in self.known.said.values() if isinstance(said, LusJobReasons)
        )
        able = [each for each in servers if each.code in words.WOULD_TAKE]
        if code == "not-taken" and able:
            code, sentence = "offered-again", words.changed(able)
        change = words.CHANGES.get(code, ())
        if code == "not-taken":
            change = words.servers_change(self._codes(servers), self.state.job.brief.signer)
        elif code == "in-turn":
            change = (self._ahead(), *change)
        return [self._reason(code, sentence, tasks, change, servers)]

    def leased(self) -> list[Reason]:
        """Of tasks that a LUS has, alike ones together."""
        groups: dict[tuple[str, str], list[TaskLease]] = {}
        for lease in self._leases():
            code = self._lease_code(lease)
            groups.setdefault((code, "" if code in words.ON_CS else lease.lus), []).append(lease)
        return [self._of_leases(code, leases) for (code, _), leases in groups.items()]

    def _leases(self) -> list[TaskLease]:
        job = self.state.job.id
        if self.task is None:
            return [each for each in self.queue.leases.all() if each.job == job]
        lease = self.queue.lease_of(job, self.task)
        return [] if lease is None else [lease]

    def _lease_code(self, lease: TaskLease) -> str:
        lus = self.queue.dispatch.luses.get(lease.lus)
        if lus is None or not lus.connected:
            return "lus-away"
        if lus.boot != lease.boot:
            return "adoptable"
        said, where = self.known.said.get(lease.lus), self.where.get((lease.lus, lease.task))
        if where is not None and where.stage in words.STAGES:
            return "cs-silent" if where.silent > WHY_SILENT else where.stage
        if isinstance(said, LusJobReasons) and len(said.attempts) < limits.WHY_ATTEMPTS:
            return self._waits_there(lease, said)
        if lease.placed is None:
            return "at-lus"
        return "running" if lease.task in self.known.progress else "placed"

    def _waits_there(self, lease: TaskLease, said: LusJobReasons) -> str:
        """Its LUS has it and runs it nowhere."""
        codes = {each.code for each in said.servers}
        if said.paused:
            return "lus-paused"
        story = self.state.stories.get(lease.task)
        if "free" in codes and self.task is None and story is not None and story.avoid:
            return "at-lus"  # whether it is free for this very task was not asked
        waits = (code for each, code in words.WAITS_THERE.items() if each in codes)
        return next(waits, "not-taken" if codes and not said.more else "at-lus")

    def _of_leases(self, code: str, leases: list[TaskLease]) -> Reason:
        first, said = leases[0], self.known.said.get(leases[0].lus)
        servers = said.servers if isinstance(said, LusJobReasons) and code in words.WITH_SERVERS else ()
        change = words.CHANGES.get(code, ())
        if code == "not-taken":
            change = words.servers_change(self._codes(servers), self.state.job.brief.signer)
        sentence = words.OF_LEASES[code].format(
            lus=self.known.name(first.lus),
            cs=words.listed(sorted({self._cs(each) for each in leases})),
            left=words.span(self.queue.leases.good_until(first) - self.known.now),
            servers=words.who(servers, code),
        )
        if len(leases) == 1:
            sentence += self._more_of(code, first)
        return self._reason(code, sentence, [each.task for each in leases], change, servers)

    def _more_of(self, code: str, lease: TaskLease) -> str:
        """What is said of a single task only: since when, until when, and what it told."""
        if lease.placed is None:
            held = self.known.now - (lease.until - UNPLACED)
            return f"; leased {words.span(held)} ago"
        end = lease.until - self.known.now
        wall_time = self.state.job.brief.needs.wall_time
        parts = [
            f"placed there {words.span(wall_time + ATTEMPT_GRACE - end)} ago",
            f"{words.span(end)} left at most",
        ]
        where, told = self.where.get((lease.lus, lease.task)), self.known.progress.get(lease.task)
        if told is not None:
            parts.insert(0, f"it told: {told}")
        if code == "cs-silent" and where is not None:
            parts.insert(0, f"not heard for {words.span(where.silent)}")
        return "; " + ", ".join(parts)

    def _cs(self, lease: TaskLease) -> str:
        where = self.where.get((lease.lus, lease.task))
        return where.cs if where is not None else lease.cs_name or lease.cs[:8]

    def _ahead(self) -> str:
        """What is before an open task of this job."""
        dispatch, job = self.queue.dispatch, self.state.job.id
        jobs = {each for lus in dispatch.connected() for each in lus.rotation()} - {job}
        tasks = sum(self.queue.jobs[each].open for each in jobs)
        own = 0 if self.task is None else self.state.states.count(TaskState.OPEN, 0, self.task)
        return words.ahead(len(self.queue.leases), len(jobs), tasks, own)

    def _codes(self, servers: tuple[CsReason, ...]) -> tuple[str, ...]:
        """Of the compute servers where they were listed, else those by which the LUSs gave the job back."""
        if servers:
            return tuple(dict.fromkeys(each.code for each in servers))
        return tuple(dict.fromkeys(each.code for each in self.state.blocked.values()))

    # --- ended --------------------------------------------------------------------------------------

    def ended(self) -> list[Reason]:
        """Of tasks that have ended."""
        return [*self._committed(), *self._failed(), *self._cancelled()]

    def _committed(self) -> list[Reason]:
        tasks = self._in(TaskState.COMMITTED)
        late = min(self.known.undelivered, len(tasks))
        place = f"ans/{self.state.job.id[:16]}/"
        by = f" (by {self.known.cs_name})" if self.known.cs_name else ""
        found = []
        if late:
            sentence = f"committed{by}, but not in {place} yet: {self.known.fault or words.DELIVERING}"
            change = words.CHANGES["undelivered"] if self.known.fault else ()
            found.append(Reason(code="undelivered", sentence=sentence[:1024], tasks=late, change=change))
        if len(tasks) > late:
            file = f"{place}{self.task}.jar" if self.task is not None else place
            sentence = f"answered{by}: {file} in your home on the web server"
            change = words.CHANGES["committed"]
            found.append(
                self._reason("committed", sentence, range(len(tasks) - late), change, first=not late)
            )
        return found

    def _failed(self) -> list[Reason]:
        """By its own attempts, each for a reason of its own; or with the job."""
        tasks = self._in(TaskState.FAILED)
        if not tasks:
            return []
        attempts, stories = self.state.job.attempts, self.state.stories
        asked = stories if self.task is None else [self.task]
        own = [each for each in sorted(asked) if each in stories and stories[each].verdict(attempts)]
        own = [each for each in own if self.state.state(each) is TaskState.FAILED]
        found = []
        if own:
            verdict = stories[own[0]].verdict(attempts).partition("\n")[0]
            which = f"task {own[0]} " if self.task is None else "it "
            found.append(self._reason("failed", which + verdict, own, words.CHANGES["failed"]))
        if len(tasks) > len(own):
            reason = self.state.closed_reason
            code = "expired" if reason == EXPIRED else "failed"
            code = "signer-revoked" if reason.startswith(SIGNER_REVOKED) else code
            left = range(len(tasks) - len(own))
            found.append(self._reason(code, reason, left, words.CHANGES[code], first=False))
        return found

    def _cancelled(self) -> list[Reason]:
        tasks = self._in(TaskState.CANCELLED)
        change = words.CHANGES["cancelled"]
        return [self._reason("cancelled", self.state.closed_reason, tasks, change)] if tasks else []

    # --- besides ------------------------------------------------------------------------------------

    def tried(self) -> list[Reason]:
        """Where attempts at tasks that have not ended went wrong."""
        stories = self.state.stories
        asked = stories if self.task is None else [self.task]
        tasks = [each for each in sorted(asked) if each in stories and self._is_alive(each)]
        if not tasks:
            return []
        which = f"task {tasks[0]} " if self.task is None else "it "
        sentence = which + tried_words(stories[tasks[0]], self.state.job.attempts)
        return [self._reason("tried-before", sentence, tasks, words.CHANGES["tried-before"])]

    def loose(self) -> list[Reason]:
        """Attempts out of sight, whose answers would count."""
        placed = [
            each
            for each in self.queue.loose(self.state.job.id, self.task)
            if each.until > self.known.now and self._is_alive(each.attempt.task)
        ]
        if not placed:
            return []
        names = words.listed(sorted({each.cs_name or each.cs[:8] for each in placed}))
        tasks = list(dict.fromkeys(each.attempt.task for each in placed))
        return [self._reason("may-still-run", words.MAY_RUN.format(cs=names), tasks)]

    def no_word(self) -> list[Reason]:
        """LUSs that said nothing."""
        return [
            Reason(code="no-word", sentence=f"lookup server {self.known.name(lus)} {said}"[:1024])
            for lus, said in self.known.said.items()
            if isinstance(said, str)
        ]

    # --- values -------------------------------------------------------------------------------------

    def _is_alive(self, task: int) -> bool:
        return self.state.state(task) in (TaskState.OPEN, TaskState.LEASED)

    def _in(self, stands: TaskState) -> range | list[int]:
        """As many as there are asked for in this state: of all tasks only how many counts."""
        if self.task is None:
            return range(self.state.counts[stands])
        return [self.task] if self.state.state(self.task) is stands else []

    def _reason(
        self,
        code: str,
        sentence: str,
        tasks: range | list[int],
        change: tuple[str, ...] = (),
        servers: tuple[CsReason, ...] = (),
        *,
        first: bool = True,
    ) -> Reason:
        """A range says how many, a list which."""
        named = tuple(tasks[: limits.WHY_NAMES])
        if isinstance(tasks, range):
            named = (
                self.state.first(words.STATE_OF.get(code, TaskState.OPEN), limits.WHY_NAMES) if first else ()
            )
        return Reason(
            code=code, sentence=sentence[:1024], tasks=len(tasks), first=named,
            servers=servers if code in words.WITH_SERVERS else (), change=change[: limits.WHY_CHANGES],
        )  # fmt: skip


def tried_words(story: Story, attempts: int) -> str:
    """What went wrong with a task so far, and what is left of its attempts."""
    parts = []
    if story.failed:
        left = max(0, attempts - len(story.failed))
        parts.append(
            f"failed {len(story.failed)} of {attempts} times (on {', '.join(story.failed)}), {left} left"
        )
    if story.vanished:
        names = ", ".join(story.vanished)
        parts.append(f"lost {len(story.vanished)} machines of at most {VANISHED} ({names})")
    last = story.detail.partition("\n")[0]
    return "; ".join([*(parts or ["was given back"]), *([f"the last time: {last}"] if last else [])])


def _merged(lists: Iterable[tuple[CsReason, ...]]) -> tuple[CsReason, ...]:
    """What several LUSs said of their compute servers as one list, the most of them first."""
    kinds: dict[tuple[str, str], CsReason] = {}
    for each in (reason for reasons in lists for reason in reasons):
        known = kinds.get((each.code, each.sentence))
        count, names = (known.count, known.names) if known is not None else (0, ())
        kinds[each.code, each.sentence] = CsReason(
            code=each.code, sentence=each.sentence, count=count + each.count,
            names=(*names, *each.names)[: limits.WHY_NAMES],
        )  # fmt: skip
    return tuple(sorted(kinds.values(), key=lambda each: -each.count))[: limits.WHY_KINDS]
