"""``rjs status``: what became of one's jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from rjs.cli.console import json_option, print_json, print_table, safe_text, say

if TYPE_CHECKING:
    from rjs.wire.messages import JobLine, JobShown, TaskLine


@click.command("status")
@click.argument("job", required=False)
@json_option
def command(job: str | None, as_json: bool) -> None:
    """Show your jobs, or one job with its tasks.

    JOB is a job's id or its first digits.

    \b
    Example:
      rjs status
      rjs status 3fa9c1d2
    """
    from msgspec.structs import asdict  # unlike encoding, it leaves out no field that has its default

    from rjs.cli.ask import ask, job_prefix
    from rjs.wire import messages as m

    if job is None:
        lines = ask(m.JobList(), m.JobLines)
        if as_json:
            print_json([asdict(line) for line in lines.jobs])
            return
        print_table(HEADINGS, [_row(line) for line in lines.jobs])
        if lines.more:
            say(f"and {lines.more} older ones")
        return
    shown = ask(m.JobShow(job=job_prefix(job)), m.JobShown)
    if as_json:
        print_json({"job": asdict(shown.job), "tasks": [asdict(task) for task in shown.tasks]})
        return
    _show(shown)


HEADINGS = [
    "JOB", "NAME", "STATE", "TASKS", "WAITING", "RUNNING", "COMMITTED", "FAILED", "CANCELLED", "ACCEPTED",
]  # fmt: skip


def _row(line: JobLine) -> list[str | int | float | None]:
    accepted = datetime.fromtimestamp(line.accepted, UTC)
    return [
        line.job[:16], line.name, line.state, line.tasks, line.waiting, line.running, line.committed,
        line.failed, line.cancelled, f"{accepted:%Y-%m-%d %H:%M}Z",
    ]  # fmt: skip


def _show(shown: JobShown) -> None:
    print_table(HEADINGS, [_row(shown.job)])
    if shown.job.reason:
        say(f"reason: {shown.job.reason}")
    first = next((task.task for task in shown.tasks if task.state == "committed"), None)
    if first is not None:
        place = f"ans/{shown.job.job[:16]}"
        say(
            f"answers: {place}/ in your home on the web server; open what you fetched: rjs open {place}/{first}.jar"
        )
    click.echo()
    rows = [
        [task.task, task.state, _progress(task), task.cs or None, task.attempts, _first(task.detail)]
        for task in shown.tasks
    ]
    print_table(["TASK", "STATE", "PROGRESS", "COMPUTE SERVER", "TROUBLES", "LAST TROUBLE"], rows)
    _show_tails(shown)
    if len(shown.tasks) < shown.job.tasks:
        say(f"the first {len(shown.tasks)} of {shown.job.tasks} tasks")


def _progress(task: TaskLine) -> str | None:
    """What a running task told of itself."""
    if task.progress is None:
        return None
    return f"{task.progress:.0%}" + (f", {safe_text(task.said)}" if task.said else "")


def _first(detail: str) -> str | None:
    """The first line: the reason. What follows is the end of stderr."""
    return detail.partition("\n")[0].expandtabs() or None


def _show_tails(shown: JobShown) -> None:
    """The end of stderr of the first few tasks that had trouble, as it was written."""
    troubled = [(task.task, task.detail.partition("\n")[2]) for task in shown.tasks]
    for task, tail in [(task, tail) for task, tail in troubled if tail][:TAILS]:
        click.echo(f"\nthe end of task {task}'s stderr:")
        for line in tail.splitlines():
            click.echo(f"  {safe_text(line.expandtabs())}")


TAILS = 3
"""Tasks whose stderr is shown; the others' is in --json."""
