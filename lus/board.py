"""The job board of a LUS: events in, instructions out. No clock, socket, file or randomness.

It holds task leases from the WS and gives each to the fastest free compute server. It loses everything when
the process ends, and may: the WS knows the leases, the CSs run on, tell what they run, and keep the answers; the next
process asks the WS for what they tell of (``lus.adoption``). See DESIGN section 3.

The life of a lease here: waiting → starting → running → gone. ``starting`` waits for the CS's reply to start.
A lease is gone when its answer was handed to the relay with a final verdict, when its end was reported, when
it was returned, or when the WS ended it. What the WS took back, or never gave, may run on as a stray.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lus import limits
from lus.adoption import Adoption
from lus.held import Held, Stage
from lus.instructions import DropServer, Instruction, ReportEnded, Return, Start, Stop, TellWant
from lus.leases import Leases
from lus.registry import WS_AWAY, Registry, Server
from lus.turns import Given, NotTaken
from rjs.attempts import AttemptId
from rjs.limits import LUS_LEASE
from rjs.wire.messages import CheckpointRef, CsState, JobBrief, LeasedTask, TaskAdopted


class Board:
    """Task leases, the registry, and who runs what."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._held = Leases(self.registry)
        self._adoption = Adoption()
        self._upto = 0
        self._started_before = 0  # the last start before the present session with the WS
        self._valid_until = 0.0
        self._told: TellWant | None = None
        self._revoked: frozenset[str] = frozenset()

    # --- the WS -------------------------------------------------------------------------------------

    def ws_opened(self, now: float) -> list[Instruction]:
        """A new session with the WS: it knows nothing of what we want, and may have lost what we asked. If our leases
        may have lapsed meanwhile, it is asked for what runs before it leases that to others. What was refused because
        the WS was away is worth another try."""
        self._told = None
        self._started_before = self._held.sequence
        self.registry.ws_is_back(now)
        asked: list[Instruction] = []
        for server in self.registry.all():
            attempts = sorted(server.strays)
            if now >= self._valid_until:
                attempts += [held.attempt for held in self._held.at(server.cs) if held.attempt is not None]
            if server.connected and (attempts or self._adoption.is_asked(server.cs)):
                asked.append(self._adoption.ask(server.cs, attempts, came=False))
        return [*asked, *self._want()]

    def renewed(self, sent: float, ended: Iterable[int], now: float) -> list[Instruction]:
        """The WS acknowledged the renewal that we sent at ``sent``. The leases that it lists are over; whether their
        tasks are, and with them what runs, it is asked."""
        self._valid_until = max(self._valid_until, sent + LUS_LEASE)
        running: dict[str, list[AttemptId]] = {}
        for held in self._held.numbered(ended):
            if held.attempt is None:
                self._held.drop(held)
            else:
                held.spent = True
                running.setdefault(held.cs, []).append(held.attempt)
        asked = [self._adoption.ask(cs, attempts, came=False) for cs, attempts in running.items()]
        return [*asked, *self._place(now)]

    def adopted(
        self, cs: str, asked: Iterable[AttemptId], reply: TaskAdopted, now: float
    ) -> list[Instruction]:
        """The WS replied to what we asked about this CS."""
        # What is leased to us and we want no more we do not list from now on, and so give back.
        self._upto = max((self._upto, *(attempt.fence.lease for attempt in reply.leased)))
        server = self.registry.get(cs)
        if server is None:
            return []
        jobs = {job.job: job for job in reply.jobs}
        instructions: list[Instruction] = []
        for attempt in self._adoption.answered(cs, asked):
            if attempt in reply.leased and attempt.job in jobs:
                instructions += self._take_on(server, attempt, jobs[attempt.job], now)
                continue
            self._held.let_run(server, attempt)
            if attempt in reply.ended:
                instructions.append(self._stop(cs, attempt, "its task has ended meanwhile"))
        return [*instructions, *self._place(now)]

    def granted(
        self,
        generation: int,
        job: JobBrief,
        tasks: Iterable[LeasedTask],
        now: float,
        checkpoints: Iterable[CheckpointRef] = (),
    ) -> list[Instruction]:
        """The WS leased tasks to us, and keeps these checkpoints of them."""
        kept = {each.task: each for each in checkpoints}
        if job.signer in self._revoked:
            leases = tuple(leased.lease for leased in tasks)
            self._upto = max((self._upto, *leases))
            return [self._not_to_offer(job, leases)]
        for leased in tasks:
            if leased.lease in self._held or leased.lease <= self._upto:
                continue
            self._upto = leased.lease
            avoid = frozenset(leased.avoid)
            held = Held(leased.lease, generation, job, leased.task, avoid, since=now)
            held.checkpoint = kept.get(leased.task)
            self._held.come(held)
        return self._place(now)

    def ended(self, leases: Iterable[int], sentence: str, now: float) -> list[Instruction]:
        """The tasks of these leases have ended: stop what runs under them, and ran on without them."""
        instructions: list[Instruction] = []
        strays = set(leases) - self._held.keys()
        for held in self._held.numbered(leases):
            if held.attempt is not None:
                instructions.append(self._stop(held.cs, held.attempt, sentence))
            self._held.drop(held)
        for server in self.registry.all() if strays else ():
            for stray in sorted(each for each in server.strays if each.fence.lease in strays):
                instructions.append(self._stop(server.cs, stray, sentence))
        return [*instructions, *self._place(now)]

    def moved(self, leases: Iterable[int], now: float) -> list[Instruction]:
        """These leases are another LUS's, whom their CSs serve now: nothing is stopped, and nothing reported."""
        for held in self._held.numbered(leases):
            server = self.registry.get(held.cs)
            if held.attempt is not None and server is not None:
                self._held.let_run(server, held.attempt)
            else:
                self._held.drop(held)
        return self._place(now)

    def leases(self) -> tuple[tuple[int, ...], int]:
        """What to renew: the leases held or asked for, and the highest number that ever came to us."""
        return tuple(dict.fromkeys((*self._held, *self._adoption.leases()))), self._upto

    def placements(self) -> list[Start]:
        """What to tell the WS again on a new session: every attempt that is under way."""
        starts = []
        for held in self._held.values():
            server = self.registry.get(held.cs)
            if held.attempt is not None:
                starts.append(
                    Start(held.cs, server.state.name if server else held.cs, held.job, held.attempt)
                )
        return starts

    # --- compute servers ----------------------------------------------------------------------------

    def cs_state(
        self,
        cs: str,
        boot: str,
        address: str,
        state: CsState,
        fresh: bool,
        now: float,
        said: Collection[AttemptId] = (),
    ) -> list[Instruction]:
        """A CS described itself: registered (``fresh``, first in its session) or changed. ``said`` is what it also
        said it ran since its last description."""
        instructions: list[Instruction] = []
        known = self.registry.get(cs)
        if known is not None and known.boot != boot:
            instructions += self._gone(cs, "restarted", keep=state.holding)
            known = None
        if known is None and len(self.registry) >= limits.SERVERS:
            return [
                *instructions,
                DropServer(cs, f"{limits.SERVERS} compute servers are registered here already"),
            ]
        ran = dict.fromkeys([*said, *(known.state.running if known is not None else ())])
        server = self.registry.register(cs, boot, address, state, now)
        server.strays &= set(state.running)
        given = self._held.at(cs) if fresh else [self._held.of(cs, each) for each in ran]
        instructions += self._reconcile(server, given)
        instructions += self._stop_again(server, fresh)
        strange = self._strange(server) if fresh else []
        if strange or known is None:
            instructions.append(self._adoption.ask(cs, strange, came=True))
        return [*instructions, *self._place(now)]

    def cs_heard(self, cs: str, now: float) -> None:
        """Its heartbeat came."""
        self.registry.heard(cs, now)

    def cs_lost(self, cs: str) -> list[Instruction]:
        """The connection broke; until its lease ends it may come back with all it has."""
        server = self.registry.get(cs)
        if server is not None:
            server.connected = False
        return []

    def cs_dead(self, cs: str, now: float) -> list[Instruction]:
        """Its process is known dead: nobody listens where this boot id was reached before."""
        return [*self._gone(cs, "its process died"), *self._place(now)]

    def cs_revoked(self, cs: str, now: float) -> list[Instruction]:
        """It may hold nothing and answer nothing any more: what it runs is given to others at once."""
        return [*self._gone(cs, "it was revoked"), *self._place(now)]

    def signers_revoked(self, signers: frozenset[str], now: float) -> list[Instruction]:
        """Jobs of these signers, now and later, are offered to nobody: what runs is stopped, all of it goes back."""
        self._revoked = signers
        by_job: dict[str, list[Held]] = {}
        for held in self._held.values():
            if held.job.signer in signers:
                by_job.setdefault(held.job.job, []).append(held)
        instructions: list[Instruction] = []
        for found in by_job.values():
            for held in found:
                if held.attempt is not None:
                    instructions.append(self._stop(held.cs, held.attempt, "its signer was revoked"))
                self._held.drop(held)
            instructions.append(self._not_to_offer(found[0].job, tuple(held.lease for held in found)))
        return [*instructions, *self._place(now)]

    def _not_to_offer(self, job: JobBrief, leases: tuple[int, ...]) -> Return:
        sentence = f"its signer {job.signer[:16]} was revoked; sign with a new key"
        return Return(job.job, leases, self.registry.epoch, "revoked", sentence)

    def started(self, cs: str, attempt: AttemptId) -> list[Instruction]:
        """The CS runs the attempt."""
        held = self._held.of(cs, attempt)
        if held is not None:
            held.stage = Stage.RUNNING
            self.registry.runs_nothing_else(cs)
        return []

    def checkpoint_kept(self, cs: str, attempt: AttemptId, checkpoint: CheckpointRef) -> None:
        """The WS keeps this of the attempt, and nothing older: should its lease start another, that one gets it."""
        held = self._held.of(cs, attempt)
        if held is not None:
            held.checkpoint = checkpoint

    def start_refused(
        self, cs: str, attempt: AttemptId, code: str, sentence: str, now: float
    ) -> list[Instruction]:
        """The CS did not start it. ``busy`` says something of the CS, ``ws-away`` of a WS that has come back if the
        start was before that, all else of the job on that CS."""
        held = self._held.of(cs, attempt)
        if held is None:
            return []
        if code == "busy":
            self.registry.busy(cs)
        elif code != WS_AWAY or attempt.fence.sequence > self._started_before:
            self.registry.refused(cs, held.job.job, code, sentence, now)
        return [*self._held.wait(held), *self._place(now)]

    def attempt_over(self, cs: str, attempt: AttemptId, now: float) -> list[Instruction]:
        """The process ended (an answer is offered, or a failure reported): the CS is free for the next task."""
        server = self.registry.get(cs)
        if server is not None:
            if server.attempt == attempt:
                self.started(cs, attempt)  # the reply to its start may have been lost
            server.ended(attempt)
        return self._place(now)

    def committed(self, cs: str, attempt: AttemptId, offered: float) -> None:
        """The WS committed the answer that was ``offered`` then: the time that it took says something of its CS. An
        earlier offer does not count, for that may have been of nothing."""
        held = self._held.of(cs, attempt)
        if held is not None and held.began is not None:
            self.registry.speeds.took(cs, held.job.job, offered - held.began, offered)

    def lease_over(self, cs: str, attempt: AttemptId, task_ended: bool, now: float) -> list[Instruction]:
        """The WS gave its final word on what ``cs`` said of its attempt: that lease is over there too.

        A CS ends with its words no lease under which others try, unless the WS says that the task has ended.
        """
        held = self._held.get(attempt.fence.lease)
        if held is None or (held.job.job, held.task) != (attempt.job, attempt.task):
            return []
        current = self._held.of(cs, attempt) is held
        if not current and not task_ended:
            return []
        instructions: list[Instruction] = []
        if not current and held.attempt is not None:
            instructions.append(self._stop(held.cs, held.attempt, "another attempt's answer was committed"))
        self._held.drop(held)
        return [*instructions, *self._place(now)]

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Instruction]:
        """Ends registrations whose heartbeats stopped, and tries again what waited."""
        self.registry.ask_again(now)
        self.registry.judge_speeds(now)
        instructions: list[Instruction] = []
        for server in self.registry.expire(now):
            silent = now - server.heard
            sentence = f"it was silent for {silent:.1f} s"
            instructions += [*self._vanish(server, sentence), DropServer(server.cs, sentence)]
        return [*instructions, *self._place(now)]

    # --- reading ------------------------------------------------------------------------------------

    def held(self) -> list[Held]:
        """Every lease, for status."""
        return list(self._held.values())

    def may_place(self, now: float) -> bool:
        """Whether our leases are known to hold: nothing is started otherwise."""
        return now < self._valid_until

    def gave(self, cs: str, attempt: AttemptId) -> bool:
        """Whether this CS was given this attempt, and nobody has taken it back."""
        return self._held.of(cs, attempt) is not None

    # --- inner --------------------------------------------------------------------------------------

    def _place(self, now: float) -> list[Instruction]:
        """Gives waiting tasks to free CSs; returns what nobody takes."""
        decided = self._held.turns.decide(now) if self.may_place(now) else []
        placed: list[Instruction] = []
        for each in decided:
            match each:
                case Given(lease, cs):
                    placed.append(self._held.start(self._held[lease], cs, now))
                case NotTaken(job, leases, why):
                    for number in leases:
                        del self._held[number]
                    placed.append(Return(job, leases, self.registry.epoch, why.code, why.sentence))
        return [*placed, *self._want()]

    def _reconcile(self, server: Server, candidates: Iterable[Held | None]) -> list[Instruction]:
        """What a CS neither runs nor has to tell of any more was not started there, or ended without a word:
        of all that we gave it when it comes (back); later only of what it said it ran, for a start may be on
        its way to it."""
        known = {*server.state.running, *server.state.holding}
        instructions: list[Instruction] = []
        for held in candidates:
            if held is not None and held.attempt not in known:
                instructions += self._held.wait(held)
        return instructions

    def _strange(self, server: Server) -> list[AttemptId]:
        """What it runs, or has to tell of, and was not given here; ends, which it names last, before answers."""
        told = (*server.state.running, *reversed(server.state.holding))
        return [each for each in told if not self.gave(server.cs, each) and each not in server.unwanted]

    def _take_on(self, server: Server, attempt: AttemptId, job: JobBrief, now: float) -> list[Instruction]:
        """The lease of the attempt is ours."""
        number = attempt.fence.lease
        if job.signer in self._revoked:
            self._held.let_run(server, attempt)
            return [
                self._stop(server.cs, attempt, "its signer was revoked"),
                self._not_to_offer(job, (number,)),
            ]
        self._held.take_on(server, attempt, job, now)
        return []

    def _stop_again(self, server: Server, fresh: bool) -> list[Instruction]:
        """What it still runs though it was told to stop: it may not have heard."""
        server.unwanted &= set(server.state.running)
        if not fresh:
            return []
        return [Stop(server.cs, each, "its task has ended meanwhile") for each in sorted(server.unwanted)]

    def _stop(self, cs: str, attempt: AttemptId, sentence: str) -> Stop:
        server = self.registry.get(cs)
        if server is not None:
            server.unwanted.add(attempt)
            server.strays.discard(attempt)
        return Stop(cs, attempt, sentence)

    def _gone(self, cs: str, sentence: str, keep: Collection[AttemptId] = ()) -> list[Instruction]:
        server = self.registry.remove(cs)
        return self._vanish(server, sentence, keep) if server is not None else []

    def _vanish(self, server: Server, sentence: str, keep: Collection[AttemptId] = ()) -> list[Instruction]:
        """Its attempts are lost, but those in ``keep``, of which it will still tell."""
        instructions: list[Instruction] = []
        self._adoption.forget(server.cs)
        for held in self._held.at(server.cs):
            if held.attempt in keep:
                held.stage = Stage.RUNNING  # the reply to its start may have been lost
            elif held.attempt is not None:
                detail = f"{server.state.name} ({server.address}): {sentence}"
                instructions.append(ReportEnded(held.attempt, server.cs, "vanished", detail))
                self._held.drop(held)
        return instructions

    def _want(self) -> list[Instruction]:
        want = TellWant(limits.PREFETCH * len(self.registry), self.registry.epoch)
        if want == self._told:
            return []
        self._told = want
        return [want]
