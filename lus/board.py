"""The job board of a LUS: events in, instructions out. No clock, socket, file or randomness.

It holds task leases from the WS and gives each to the fastest free compute server. It loses everything when
the process ends, and may: the WS knows the leases, the CSs keep the answers. See DESIGN section 3.

The life of a lease here: waiting → starting → running → gone. ``starting`` waits for the CS's reply to start.
A lease is gone when its answer was handed to the relay with a final verdict, when its end was reported, when
it was returned, or when the WS ended it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable

import attrs
import msgspec

from lus import limits, placement
from lus.instructions import DropServer, Instruction, ReportVanished, Return, Start, Stop, TellWant
from lus.registry import Registry, Server
from lus.suited import Free
from lus.waiting import Kind, Waiting
from rjs.attempts import AttemptId, Fence
from rjs.limits import LUS_LEASE
from rjs.needs import Needs
from rjs.wire.messages import CsState, JobBrief, LeasedTask


class Stage(enum.Enum):
    """Where a lease stands here."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"


@attrs.define
class Held:
    """A task lease that this LUS holds. ``since``: when it came or last began to wait."""

    lease: int
    generation: int
    job: JobBrief
    task: int
    avoid: frozenset[str]
    since: float
    stage: Stage = Stage.WAITING
    attempt: AttemptId | None = None
    cs: str = ""


class Board:
    """Task leases, the registry, and who runs what."""

    def __init__(self) -> None:
        self.registry = Registry()
        self._held: dict[int, Held] = {}
        self._waiting = Waiting()
        self._placed_at = -1  # ``suited.changes`` when each that waits was looked at last
        self._unplaceable: dict[str | Needs, placement.Unplaceable] = {}
        self._unplaceable_at = 0
        self._sequence = 0
        self._upto = 0
        self._valid_until = 0.0
        self._told: TellWant | None = None
        self._revoked: frozenset[str] = frozenset()

    # --- the WS -------------------------------------------------------------------------------------

    def ws_opened(self) -> list[Instruction]:
        """A new session with the WS: it knows nothing of what we want."""
        self._told = None
        return self._want()

    def renewed(self, sent: float, ended: Iterable[int], now: float) -> list[Instruction]:
        """The WS acknowledged the renewal that we sent at ``sent``; what it lists is over."""
        self._valid_until = max(self._valid_until, sent + LUS_LEASE)
        return [*self.ended(ended, "the lease ended at the WS", now), *self._place(now)]

    def granted(
        self, generation: int, job: JobBrief, tasks: Iterable[LeasedTask], now: float
    ) -> list[Instruction]:
        """The WS leased tasks to us."""
        if job.signer in self._revoked:
            leases = tuple(leased.lease for leased in tasks)
            self._upto = max((self._upto, *leases))
            return [self._not_to_offer(job, leases)]
        for leased in tasks:
            if leased.lease in self._held or leased.lease <= self._upto:
                continue
            self._upto = leased.lease
            avoid = frozenset(leased.avoid)
            self._held[leased.lease] = Held(leased.lease, generation, job, leased.task, avoid, since=now)
            self._waiting.add(leased.lease, (job.job, avoid))
            self._placed_at = -1
        return self._place(now)

    def ended(self, leases: Iterable[int], sentence: str, now: float) -> list[Instruction]:
        """The WS ended leases: stop what runs under them."""
        instructions: list[Instruction] = []
        for number in leases:
            held = self._held.get(number)
            if held is None:
                continue
            if held.attempt is not None:
                instructions.append(self._stop(held.cs, held.attempt, sentence))
            self._drop(held)
        return [*instructions, *self._place(now)]

    def leases(self) -> tuple[tuple[int, ...], int]:
        """What to renew: the leases held, and the highest number that was ever granted to us."""
        return tuple(self._held), self._upto

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
        self._reconcile(server, self._at(cs) if fresh else self._held_of(cs, ran))
        return [*instructions, *self._stop_again(server, fresh), *self._place(now)]

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
                self._drop(held)
            instructions.append(self._not_to_offer(found[0].job, tuple(held.lease for held in found)))
        return [*instructions, *self._place(now)]

    def _not_to_offer(self, job: JobBrief, leases: tuple[int, ...]) -> Return:
        sentence = f"its signer {job.signer[:16]} was revoked; sign with a new key"
        return Return(job.job, leases, self.registry.epoch, "revoked", sentence)

    def started(self, cs: str, attempt: AttemptId) -> list[Instruction]:
        """The CS runs the attempt."""
        held = self._current(cs, attempt)
        if held is not None:
            held.stage = Stage.RUNNING
            self.registry.runs_nothing_else(cs)
        return []

    def start_refused(
        self, cs: str, attempt: AttemptId, code: str, sentence: str, now: float
    ) -> list[Instruction]:
        """The CS did not start it. ``busy`` says something of the CS, all else of the job on that CS."""
        held = self._current(cs, attempt)
        if held is None:
            return []
        self._free(held)
        if code == "busy":
            self.registry.busy(cs)
        else:
            self.registry.refused(cs, held.job.job, code, sentence, now)
        self._wait(held, held.since)
        return self._place(now)

    def attempt_over(self, cs: str, attempt: AttemptId, now: float) -> list[Instruction]:
        """The process ended (an answer is offered, or a failure reported): the CS is free for the next task."""
        server = self.registry.get(cs)
        if server is not None and (server.attempt == attempt or attempt in server.state.running):
            if server.attempt == attempt:
                server.attempt = None
            server.state = _idle(server.state, attempt)
            server.unwanted.discard(attempt)
        self.started(cs, attempt)  # the reply to its start may have been lost
        return self._place(now)

    def lease_over(self, cs: str, attempt: AttemptId, task_ended: bool, now: float) -> list[Instruction]:
        """The WS gave its final word on what ``cs`` said of its attempt: that lease is over there too.

        A CS ends with its words no lease under which others try, unless the WS says that the task has ended.
        """
        held = self._held.get(attempt.fence.lease)
        if held is None or (held.job.job, held.task) != (attempt.job, attempt.task):
            return []
        current = self._current(cs, attempt) is held
        if not current and not task_ended:
            return []
        instructions: list[Instruction] = []
        if not current and held.attempt is not None:
            instructions.append(self._stop(held.cs, held.attempt, "another attempt's answer was committed"))
        self._drop(held)
        return [*instructions, *self._place(now)]

    # --- time ---------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Instruction]:
        """Ends registrations whose heartbeats stopped, and tries again what waited."""
        self.registry.ask_again(now)
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

    def gave(self, cs: str, attempt: AttemptId) -> bool:
        """Whether this CS was given this attempt, and nobody has taken it back."""
        return self._current(cs, attempt) is not None

    # --- inner --------------------------------------------------------------------------------------

    def _place(self, now: float) -> list[Instruction]:
        """Gives waiting tasks to free CSs, jobs in turn; returns what nobody takes."""
        instructions: list[Instruction] = []
        if self._waiting and now < self._valid_until:
            suited = self.registry.suited
            free = Free(self._free_servers(), suited)
            kinds = self._waiting.kinds() if free or self._placed_at != suited.changes else ()
            for kind in kinds:
                instructions += self._place_kind(kind, free, now)
            self._placed_at = suited.changes
            if len(suited) > limits.NEEDS_KEPT * len(kinds) > 0:
                suited.keep({self._held[number].job.needs for number in self._waiting})
        return [*instructions, *self._want()]

    def _free_servers(self) -> list[str]:
        free = [each for each in self.registry.all() if each.free]
        return [each.cs for each in sorted(free, key=lambda each: (-each.state.mflops, each.cs))]

    def _place_kind(self, kind: Kind, free: Free, now: float) -> list[Instruction]:
        """A CS that is given something leaves ``free``."""
        instructions: list[Instruction] = []
        waits: set[bool] = set()
        for number in self._waiting.of(kind):
            held = self._held[number]
            late = now - held.since >= limits.SAME_CS_AFTER
            if late in waits:
                continue  # what is alike waits alike, for free CSs only become fewer
            choice = self._choice(held, free, late)
            if isinstance(choice, placement.Place):
                instructions.append(self._start(held, choice.cs))
                self._waiting.had_its_turn(kind)
            elif isinstance(choice, placement.Unplaceable):
                return [*instructions, self._return(kind, choice)]
            elif held.avoid:
                waits.add(late)
            else:
                break
        return instructions

    def _choice(self, held: Held, free: Free, late: bool) -> placement.Place | placement.Unplaceable | None:
        """As ``placement.choose`` chooses among all CSs; None: it waits."""
        suited = self.registry.suited
        able = suited.able(held.job.job, held.job.needs)
        if not able:
            return self._why_not(held)
        fresh = able & ~suited.bits(held.avoid)
        fastest = free.take(fresh or (able if late else 0))
        return None if fastest is None else placement.Place(fastest)

    def _why_not(self, held: Held) -> placement.Unplaceable:
        """Why no CS is able. Asked once of jobs that are alike: that need the same and that nobody refused."""
        suited, job = self.registry.suited, held.job.job
        if self._unplaceable_at != suited.changes:
            self._unplaceable, self._unplaceable_at = {}, suited.changes
        alike = job if suited.is_refused(job) else held.job.needs
        if alike not in self._unplaceable:
            why = placement.choose(placement.Demand(held.job.needs, (), 0.0), self._candidates(job))
            assert isinstance(why, placement.Unplaceable)
            self._unplaceable[alike] = why
        return self._unplaceable[alike]

    def _return(self, kind: Kind, why: placement.Unplaceable) -> Return:
        numbers = self._waiting.of(kind)
        for number in numbers:
            self._drop(self._held[number])
        return Return(kind[0], numbers, self.registry.epoch, why.code, why.sentence)

    def _start(self, held: Held, cs: str) -> Start:
        self._sequence += 1
        fence = Fence(held.generation, held.lease, self._sequence)
        held.attempt = AttemptId(held.job.job, held.task, fence)
        held.stage, held.cs = Stage.STARTING, cs
        self._waiting.remove(held.lease)
        server = self.registry.get(cs)
        assert server is not None
        server.attempt = held.attempt
        return Start(cs, server.state.name, held.job, held.attempt)

    def _candidates(self, job: str) -> list[placement.Candidate]:
        return [self._candidate(each, each.refusals.get(job, "")) for each in self.registry.all()]

    def _candidate(self, server: Server, refusal: str = "") -> placement.Candidate:
        state = server.state
        return placement.Candidate(server.cs, state.name, state.mflops, state.offer, server.free, refusal)

    def _current(self, cs: str, attempt: AttemptId) -> Held | None:
        held = self._held.get(attempt.fence.lease)
        return held if held is not None and held.attempt == attempt and held.cs == cs else None

    def _free(self, held: Held) -> None:
        server = self.registry.get(held.cs)
        if server is not None and server.attempt == held.attempt:
            server.attempt = None

    def _wait(self, held: Held, since: float) -> None:
        held.stage, held.attempt, held.cs, held.since = Stage.WAITING, None, "", since
        self._waiting.add(held.lease, (held.job.job, held.avoid))
        self._placed_at = -1

    def _drop(self, held: Held) -> None:
        self._free(held)
        self._held.pop(held.lease, None)
        self._waiting.remove(held.lease)

    def _at(self, cs: str) -> list[Held]:
        return [held for held in self._held.values() if held.cs == cs]

    def _held_of(self, cs: str, attempts: Collection[AttemptId]) -> list[Held]:
        """What was given to this CS of the attempts that it named: it may name others' as well."""
        found = (self._current(cs, attempt) for attempt in attempts)
        return [held for held in found if held is not None]

    def _reconcile(self, server: Server, candidates: Iterable[Held]) -> None:
        """What a CS neither runs nor has to tell of any more was not started there, or ended without a word:
        of all that we gave it when it comes (back); later only of what it said it ran, for a start may be on
        its way to it."""
        known = {*server.state.running, *server.state.holding}
        for held in candidates:
            if held.attempt not in known:
                self._free(held)
                self._wait(held, held.since)

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
        return Stop(cs, attempt, sentence)

    def _gone(self, cs: str, sentence: str, keep: Collection[AttemptId] = ()) -> list[Instruction]:
        server = self.registry.remove(cs)
        return self._vanish(server, sentence, keep) if server is not None else []

    def _vanish(self, server: Server, sentence: str, keep: Collection[AttemptId] = ()) -> list[Instruction]:
        """Its attempts are lost, but those in ``keep``, of which it will still tell."""
        instructions: list[Instruction] = []
        for held in self._at(server.cs):
            if held.attempt in keep:
                held.stage = Stage.RUNNING  # the reply to its start may have been lost
            elif held.attempt is not None:
                detail = f"{server.state.name} ({server.address}): {sentence}"
                instructions.append(ReportVanished(held.attempt, server.cs, detail))
                self._drop(held)
        return instructions

    def _want(self) -> list[Instruction]:
        want = TellWant(limits.PREFETCH * len(self.registry), self.registry.epoch)
        if want == self._told:
            return []
        self._told = want
        return [want]


def _idle(state: CsState, attempt: AttemptId) -> CsState:
    """The CS's description once ``attempt`` ended, until it sends its own. If it has other reasons to be busy, it
    refuses the next start with them and tells when they are over."""
    running = tuple(each for each in state.running if each != attempt)
    return msgspec.structs.replace(state, running=running, busy=bool(running))
