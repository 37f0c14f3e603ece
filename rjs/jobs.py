"""What can become of a task: one visible transition table, the same for everyone who speaks of tasks.

Pure. ``python -m rjs.jobs`` prints the diagram in the documentation, made from the table.
"""

from __future__ import annotations

import enum
import sys

from rjs.errors import IllegalTransitionError


class TaskState(enum.IntEnum):
    """Where a task stands at the WS. One byte a task in memory."""

    OPEN = 0
    LEASED = 1
    COMMITTED = 2
    FAILED = 3
    CANCELLED = 4


class TaskEvent(enum.StrEnum):
    """What happens to a task."""

    LEASE = "lease"
    REOPEN = "reopen"
    COMMIT = "commit"
    FAIL = "fail"
    CANCEL = "cancel"


ENDED = frozenset({TaskState.COMMITTED, TaskState.FAILED, TaskState.CANCELLED})
"""These absorb: no event leads out of them."""

TRANSITIONS: dict[tuple[TaskState, TaskEvent], TaskState] = {
    (TaskState.OPEN, TaskEvent.LEASE): TaskState.LEASED,
    (TaskState.LEASED, TaskEvent.REOPEN): TaskState.OPEN,
    # An answer stays valid after its lease has lapsed, so an open task can be committed as well.
    (TaskState.OPEN, TaskEvent.COMMIT): TaskState.COMMITTED,
    (TaskState.LEASED, TaskEvent.COMMIT): TaskState.COMMITTED,
    # Only an attempt fails a leased task; an open one fails when its bundle expires in the queue.
    (TaskState.OPEN, TaskEvent.FAIL): TaskState.FAILED,
    (TaskState.LEASED, TaskEvent.FAIL): TaskState.FAILED,
    (TaskState.OPEN, TaskEvent.CANCEL): TaskState.CANCELLED,
    (TaskState.LEASED, TaskEvent.CANCEL): TaskState.CANCELLED,
}


def after(state: TaskState, event: TaskEvent, subject: object = "task") -> TaskState:
    """The state that ``event`` leads to. Raises IllegalTransitionError naming the subject and its state."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransitionError(
            f"{subject}: {event.value!r} does not fit the state {state.name}"
        ) from None


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", "    [*] --> open"]
    lines += [
        f"    {source.name.lower()} --> {target.name.lower()}: {event.value}"
        for (source, event), target in TRANSITIONS.items()
    ]
    lines += [f"    {state.name.lower()} --> [*]" for state in sorted(ENDED)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(diagram())
