"""Who may call what: the one decision in front of every call at every door.

Pure. It asks for the caller's name as its certificate proves it and for the method, and knows neither the session
nor what the call says: whose job a call is about is for its handler to judge. Today the rule is the roles that each
message declares. Groups and access lists will be judged here too, by the same question and with the same answer.
"""

from __future__ import annotations

from typing import Final

import attrs

from rjs.identity.names import RjsName
from rjs.wire import messages as m


@attrs.frozen
class Decision:
    """Whether a call may be made; where not, the rule that said no as a stable ``code``, and a sentence."""

    allowed: bool
    code: str = ""
    sentence: str = ""


ALLOWED: Final = Decision(True)


def decide(caller: RjsName, method: type[m.Message]) -> Decision:
    """Whether ``caller`` may call ``method``. What no rule allows is refused."""
    if caller.role in method.callers:
        return ALLOWED
    callers = ", ".join(sorted(method.callers))
    return Decision(False, "forbidden", f"{caller.uri()} may not call {m.tag_of(method)}; {callers} may")
