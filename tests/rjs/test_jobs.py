"""Every cell of the transition table of tasks."""

from __future__ import annotations

import itertools
import runpy
from pathlib import Path

import pytest

from rjs.errors import IllegalTransitionError
from rjs.jobs import ENDED, TRANSITIONS, TaskEvent, TaskState, after, diagram

LEGAL = {
    (TaskState.OPEN, TaskEvent.LEASE): TaskState.LEASED,
    (TaskState.OPEN, TaskEvent.COMMIT): TaskState.COMMITTED,
    (TaskState.OPEN, TaskEvent.FAIL): TaskState.FAILED,
    (TaskState.OPEN, TaskEvent.CANCEL): TaskState.CANCELLED,
    (TaskState.LEASED, TaskEvent.REOPEN): TaskState.OPEN,
    (TaskState.LEASED, TaskEvent.COMMIT): TaskState.COMMITTED,
    (TaskState.LEASED, TaskEvent.FAIL): TaskState.FAILED,
    (TaskState.LEASED, TaskEvent.CANCEL): TaskState.CANCELLED,
}
CELLS = list(itertools.product(TaskState, TaskEvent))


@pytest.mark.parametrize(("state", "event"), [cell for cell in CELLS if cell in LEGAL])
def test_a_legal_event_leads_where_the_table_says(state: TaskState, event: TaskEvent) -> None:
    """Each legal event has one outcome."""
    assert after(state, event) is LEGAL[state, event]


@pytest.mark.parametrize(("state", "event"), [cell for cell in CELLS if cell not in LEGAL])
def test_an_illegal_event_is_refused_with_the_story(state: TaskState, event: TaskEvent) -> None:
    """Whatever the table does not have is our own fault, and says of which task, in which state, by what."""
    with pytest.raises(IllegalTransitionError) as caught:
        after(state, event, "task 7 of job abc")
    assert str(caught.value) == f"task 7 of job abc: {event.value!r} does not fit the state {state.name}"


def test_no_event_leads_out_of_an_end() -> None:
    """Committed, failed and cancelled absorb."""
    assert {state for state, _ in TRANSITIONS} == set(TaskState) - ENDED


def test_the_module_prints_its_diagram(capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m rjs.jobs`` prints the table with every transition as one line."""
    with pytest.warns(RuntimeWarning, match=r"rjs\.jobs"):
        runpy.run_module("rjs.jobs", run_name="__main__")
    assert capsys.readouterr().out == diagram()
    for (state, event), target in LEGAL.items():
        assert f"    {state.name.lower()} --> {target.name.lower()}: {event.value}\n" in diagram()
    assert diagram().count("-->") == len(LEGAL) + len(ENDED) + 1


def test_the_documentation_has_this_diagram() -> None:
    """docs/leases.md shows the table that runs."""
    page = Path(__file__).parents[2] / "docs" / "leases.md"
    assert f"```mermaid\n{diagram()}```\n" in page.read_text("utf-8")
