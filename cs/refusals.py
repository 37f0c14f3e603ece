"""What this machine refused to run lately, for its owner: in memory, bounded, the newest last."""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from pathlib import Path

import attrs

from cs import limits
from cs.trust import NotAllowedError
from rjs.errors import RefusedError
from rjs.wire.messages import JobBrief


@attrs.frozen
class Refusal:
    """One job that was not run here. ``signer`` is known only of a job whose bundle our verifier accepted."""

    job: str
    name: str
    signer: str
    code: str
    sentence: str
    when: dt.datetime


class Refusals:
    """The last jobs that were refused, each once. ``folder`` is the owner's state folder, for commands to paste."""

    def __init__(self, folder: Path = Path("DIR")) -> None:
        self._folder = folder
        self._known: OrderedDict[str, Refusal] = OrderedDict()

    def note(self, job: JobBrief, error: RefusedError, when: dt.datetime) -> Refusal:
        """Keep why ``job`` is not run; the sentence is for the owner."""
        signer = error.signer if isinstance(error, NotAllowedError) else ""
        told = error.to_owner(str(self._folder)) if isinstance(error, NotAllowedError) else error.sentence
        self._known.pop(job.job, None)
        while len(self._known) >= limits.REFUSALS:
            self._known.popitem(last=False)
        refusal = Refusal(job.job, job.name, signer, error.code, told[: limits.REFUSAL_SENTENCE], when)
        self._known[job.job] = refusal
        return refusal

    def document(self) -> list[dict[str, str]]:
        """The newest last, as the status document states them."""
        return [
            {**attrs.asdict(each), "when": each.when.isoformat(timespec="seconds")}
            for each in self._known.values()
        ]
