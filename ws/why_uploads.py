"""Why a file in ``jobs/`` is no job (yet). Pure."""

from __future__ import annotations

import attrs

from rjs.wire.messages import Reason
from ws.why_words import span

_LISTED = 8
"""Files that are named as those that a part belongs to."""


@attrs.frozen
class Upload:
    """What the watcher knows of a file that is not judged for good. ``refusal``: what it would be refused with if it
    stayed as it is. ``told``: why it cannot be taken now. ``again_in``: seconds until it is judged again. ``leads``:
    the files that name it as a part of their job."""

    is_judged_now: bool = False
    is_waiting: bool = False
    refusal: str = ""
    told: str = ""
    again_in: float = 0.0
    leads: tuple[str, ...] = ()


def why_no_job(upload: Upload, refused: str) -> Reason | None:
    """The reason; None when nothing is known of such a file. ``refused``: why its last judged version was refused."""
    if upload.is_judged_now:
        return _reason("being-judged", "it is copied and verified now", "a moment; a large file takes longer")
    if upload.is_waiting:
        return _reason(
            "waits-for-judging", "it waits for its turn to be verified", "files before it are done"
        )
    again = f"it is judged again by itself in {span(upload.again_in)}"
    if upload.refusal:
        return _reason(
            "may-be-arriving",
            f"unless more of it comes, it will be refused: {upload.refusal}",
            f"more of it comes; {again}",
        )
    if upload.told:
        return _reason("judged-again", upload.told, again)
    if upload.leads:
        more = " and others" if len(upload.leads) > _LISTED else ""
        leads = ", ".join(upload.leads[:_LISTED]) + more
        return _reason("part", f"it is part of the job of {leads}", "ask about that file")
    if refused:
        return _reason(
            "upload-refused",
            f"it was refused: {refused}",
            "mend what the sentence says, and put a new file there",
        )
    return None


def _reason(code: str, sentence: str, change: str) -> Reason:
    return Reason(code=code, sentence=sentence[:1024], change=(change[:1024],))
