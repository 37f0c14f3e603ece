"""Whether an answer is sealed as its job asks: judged without a key, before the answer is committed.

Thus no compute server ends a task with outputs that everybody on their way can read, or that the submitter cannot.
"""

from __future__ import annotations

import datetime as dt

import attrs
from cryptography import x509

from rjs.answers.answer_jar import OpenedAnswer
from rjs.answers.sealed_outputs import check_sealed_for, recipients_of
from rjs.bundle.verify import open_bundle
from rjs.bundle.window import Window
from rjs.descriptor import read_descriptor
from rjs.errors import RefusedError
from ws import limits
from ws.bundles import Bundles
from ws.job import Job

Recipients = tuple[x509.Certificate, ...]


@attrs.frozen
class Seals:
    """Judges answers by what their jobs' bundles say. May be called from several threads."""

    bundles: Bundles
    _known: dict[str, Recipients] = attrs.field(factory=dict, init=False)

    def check(self, job: Job, answer: OpenedAnswer) -> None:
        """Raise RefusedError unless the answer is sealed for exactly those whom the job names, if any."""
        if not job.brief.sealed:
            if answer.is_sealed:
                raise RefusedError(
                    "answer-sealed", "the job did not ask for sealed answers: its submitter could not open it"
                )
        elif not answer.is_sealed:
            raise RefusedError(
                "answer-not-sealed", "the job asks for sealed answers, and everybody could read this one"
            )
        else:
            check_sealed_for(answer, self._recipients(job))

    def _recipients(self, job: Job) -> Recipients:
        found = self._known.get(job.id)
        if found is None:
            if len(self._known) >= limits.RECIPIENTS_KNOWN:
                self._known.clear()
            found = self._known[job.id] = read_recipients(self.bundles, job)
        return found


def read_recipients(bundles: Bundles, job: Job) -> Recipients:
    """Whom an accepted job names in its signed descriptor: read from our own copy, judged as of its acceptance."""
    main = range(job.brief.size - sum(jar.size for jar in job.brief.jars))
    accepted = dt.datetime.fromtimestamp(job.accepted, dt.UTC)
    with bundles.path(job.id).open("rb") as file, open_bundle(Window(file, main), at=accepted) as bundle:
        return recipients_of(read_descriptor(bundle).answer.recipients)
