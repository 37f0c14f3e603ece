"""What the owner can look up of what was refused."""

from __future__ import annotations

from pathlib import Path

from cs.limits import REFUSALS
from cs.refusals import Refusals
from cs.trust import NotAllowedError, NotTrusted
from rjs.bundle.testing import NOW
from rjs.bundle.verify import Signer
from rjs.errors import RefusedError
from rjs.ids import SpkiDigest
from rjs.needs import Needs
from rjs.wire.messages import JobBrief

SIGNER = Signer(SpkiDigest("ab" * 32), "CN=Ada", b"", (b"",), NOW)


def brief(number: int) -> JobBrief:
    """A job."""
    return JobBrief(
        job=f"{number:064x}", name=f"job {number}", tasks=1, signer="", size=1, sha256="", needs=Needs()
    )


def test_the_owner_reads_whose_job_it_was_and_what_to_paste() -> None:
    """Signer, code, time and the command with the owner's own folder; a signer who was not verified has no name."""
    refusals = Refusals(Path("/desk/cs"))
    refusals.note(brief(1), NotAllowedError(NotTrusted("nobody knows her", "rjs trust add ab"), SIGNER), NOW)
    refusals.note(brief(2), RefusedError("unsigned", "no signature"), NOW)
    first, second = refusals.document()
    assert (first["name"], first["signer"], first["code"]) == ("job 1", "CN=Ada", "not-trusted")
    assert first["sentence"] == (
        "nobody knows her; the owner can change that with: rjs trust add ab --cs /desk/cs"
    )
    assert first["when"] == NOW.isoformat(timespec="seconds")
    assert (second["signer"], second["code"]) == ("", "unsigned")


def test_only_the_last_jobs_are_kept_each_once() -> None:
    """However many jobs are refused, however often, the list stays short, with the newest at its end."""
    refusals = Refusals()
    for number in [*range(REFUSALS + 5), *range(10, 13)]:
        refusals.note(brief(number), RefusedError("unsigned", "x" * 100_000), NOW)
    names = [each["name"] for each in refusals.document()]
    assert len(names) == len(set(names)) == REFUSALS
    assert names[-3:] == ["job 10", "job 11", "job 12"]
    assert max(len(each["sentence"]) for each in refusals.document()) == 4096
