"""Sends the canary: a job of one task, packed, signed, submitted, watched, cancelled where it does not end."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import tempfile
import time
from pathlib import Path
from typing import Final

import attrs
from twisted.internet.base import ReactorBase

from rjs.answers.answer_jar import open_answer
from rjs.background import sleep
from rjs.client import digest_of, run_client, with_own_ws
from rjs.doctor.rules.canary import Came, CanaryFacts, Step
from rjs.errors import RefusedError, RjsError, UnreachableError
from rjs.identity.folder import IdentityFolder
from rjs.identity.keys import AskPassphrase
from rjs.ids import BundleId
from rjs.packing import gather, write_signed
from rjs.person_door import PersonDoor
from rjs.signer import own_signer
from rjs.wall_time import utc_now
from rjs.wire import messages as m
from rjs.wire.session import Session

WAIT = 20
"""Seconds from the submission on, unless said otherwise: a free compute server takes well under one."""
LOOK = 0.1
VALID = dt.timedelta(hours=1)
_REVOKED: Final = "revoked: "
"""How the reason begins with which the web server ends the session of somebody revoked."""
OUTPUT: Final = "out/song.txt"
SONG: Final = b"I am well\n"

_JOB: Final = """\
name = "canary of rjs doctor"
runtime = "python"
entry = "sing.py"
tasks = 1

[needs]
memory = "64 MiB"
disk = "1 MiB"
wall_time = "1 min"
"""
_ENTRY: Final = """\
import os
import pathlib

pathlib.Path(os.environ["RJS_OUTPUT"], "song.txt").write_text("I am well\\n")
"""


def send_canary(
    person: Path,
    identity: IdentityFolder,
    ask: AskPassphrase | None,
    answers: Path | None,
    wait: float = WAIT,
) -> CanaryFacts:
    """What became of it within ``wait`` seconds. ``answers`` is the person's ``ans/`` as this machine sees it, to
    verify the answer there.

    Runs the process's reactor: once in a process. Raises nothing that is the cluster's or the person's fault.
    """
    with tempfile.TemporaryDirectory(prefix="rjs-canary-") as folder:
        began = time.monotonic()
        try:
            bundle, job = _packed(Path(folder), person, identity, ask)
        except (RjsError, OSError) as error:
            return CanaryFacts(Came.NO_KEY, words=_words(error))
        certificate = str(identity.path / "signing.pem")
        flight = _Flight(bundle, job, certificate, wait)
        flight.steps.append(Step("packed and signed in", time.monotonic() - began))
        try:
            run_client(
                lambda reactor: with_own_ws(reactor, identity, lambda s: flight.fly(reactor, s), flight.door)
            )
        except UnreachableError as error:
            said = str(error)
            return flight.facts(Came.REVOKED if said.startswith(_REVOKED) else Came.UNREACHED, said)
        except RefusedError as refused:
            return flight.facts(Came.REFUSED, refused.sentence, refused.code)
        if flight.came is Came.COMMITTED and answers is not None:
            return _verified(flight, answers, identity)
        return flight.facts(flight.came, flight.words)


def _packed(
    folder: Path, person: Path, identity: IdentityFolder, ask: AskPassphrase | None
) -> tuple[Path, BundleId]:
    source = folder / "canary"
    source.mkdir()
    (source / "job.toml").write_text(_JOB)
    (source / "sing.py").write_text(_ENTRY)
    signer = own_signer(person, ask)
    bundle = folder / "canary.jar"
    job = write_signed(
        gather(source), bundle, key=signer.key, chain=signer.chain, now=utc_now(), nonce=os.urandom(16), valid=VALID,
        cluster=identity.member().cluster,
    )  # fmt: skip
    return bundle, job


@attrs.define
class _Flight:
    """One canary under way: how far it came, and the seconds of each step."""

    bundle: Path
    job: BundleId
    certificate: str
    wait: float
    steps: list[Step] = attrs.field(factory=list)
    came: Came = Came.WAITING
    words: str = ""
    cs: str = ""
    cancelled: bool = False
    door: PersonDoor = attrs.field(init=False)

    @door.default
    def _door(self) -> PersonDoor:
        return PersonDoor(self.bundle, digest_of(self.bundle)[0])

    def facts(self, came: Came, words: str = "", code: str = "") -> CanaryFacts:
        """The flight as it ended."""
        return CanaryFacts(
            came, tuple(self.steps), words, code, self.job, self.cs, self.certificate, self.cancelled
        )

    async def fly(self, reactor: ReactorBase, session: Session) -> None:
        """Submit and watch, for so long as was said; what has not ended then is cancelled."""
        sha256, size = digest_of(self.bundle)
        began = last = time.monotonic()
        offer = m.JobSubmit(name=f"rjs-doctor-{self.job[:8]}.jar", size=size, sha256=sha256)
        await session.request(offer, m.JobAccepted)
        last = self._step("accepted after", last)
        while time.monotonic() < began + self.wait:
            shown = await session.request(m.JobShow(job=self.job), m.JobShown)
            if self._look(shown) is Came.RUNNING and "started after" not in {
                step.what for step in self.steps
            }:
                last = self._step("started after", last)
            if shown.job.committed or shown.job.failed or shown.job.cancelled:
                self._step("ended after", last)
                return
            await sleep(reactor, LOOK)
        with contextlib.suppress(RefusedError):  # it ended in this moment
            await session.request(m.JobCancel(job=self.job), m.Done)
            self.cancelled = True

    def _step(self, what: str, since: float) -> float:
        now = time.monotonic()
        self.steps.append(Step(what, now - since))
        return now

    def _look(self, shown: m.JobShown) -> Came:
        line, task = shown.job, shown.tasks[0]
        self.cs = task.cs or self.cs
        self.words = line.reason or task.detail
        if line.committed:
            self.came = Came.COMMITTED
        elif line.failed or line.cancelled:
            self.came = Came.FAILED
        else:
            self.came = Came.RUNNING if line.running else Came.WAITING
        return self.came


def _verified(flight: _Flight, answers: Path, identity: IdentityFolder) -> CanaryFacts:
    """The answer in ``ans/``, judged as ``rjs verify --answer`` judges it."""
    path, began = answers / flight.job[:16] / "0.jar", time.monotonic()
    while not path.exists():
        if time.monotonic() > began + flight.wait:
            return flight.facts(Came.BAD_ANSWER, f"{path} did not come", "answer-missing")
        time.sleep(LOOK)
    try:
        with (
            path.open("rb") as file,
            open_answer(file, roots=[identity.root()], at=utc_now()).bundle as bundle,
        ):
            song = bundle.read(OUTPUT, len(SONG))
    except RefusedError as refused:
        return flight.facts(Came.BAD_ANSWER, refused.sentence, refused.code)
    except KeyError:
        return flight.facts(Came.BAD_ANSWER, f"{path} holds no {OUTPUT}", "answer-output")
    if song != SONG:
        return flight.facts(Came.BAD_ANSWER, f"{path} holds another song", "answer-output")
    flight.steps.append(Step("verified after", time.monotonic() - began))
    return flight.facts(Came.BACK)


def _words(error: Exception) -> str:
    if isinstance(error, RefusedError):
        return error.sentence
    return str(error)
