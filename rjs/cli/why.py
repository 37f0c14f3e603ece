"""``rjs why``: why a job stands as it does, and what would change it."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from rjs.cli.console import counted, json_option, print_json, safe_text

if TYPE_CHECKING:
    from rjs.wire.messages import CsReason, JobReasons, JobWhy, Reason


@click.command("why")
@click.argument("job")
@click.argument("task", required=False, type=click.IntRange(0, 2**31 - 1))
@json_option
def command(job: str, task: int | None, as_json: bool) -> None:
    """Say why a job stands as it does, and what would change it.

    JOB is a job's id, its first digits, or the name of a file in jobs/, which may be no job yet. Without TASK, tasks
    that stand alike are counted together. What decides most comes first.

    \b
    Example:
      rjs why 3fa9c1d2
      rjs why mandelbrot.jar
      rjs why 3fa9c1d2 17
    """
    from msgspec import to_builtins
    from msgspec.structs import asdict

    from rjs.cli.ask import ask
    from rjs.wire import messages as m

    said = ask(question(job, task), m.JobReasons)
    if as_json:
        line = None if said.job is None else asdict(said.job)
        print_json({"job": line, "reasons": [to_builtins(reason) for reason in said.reasons]})
        return
    for text in lines(said, job, task):
        click.echo(safe_text(text))


def question(job: str, task: int | None) -> JobWhy:
    """What is asked: by id, or by what can only be the name of a file. Raises UsageError."""
    from rjs.cli.ask import job_prefix
    from rjs.wire import messages as m

    if job.endswith((".jar", ".jnlp")):
        return m.JobWhy(file=PurePath(job).name, task=task)
    return m.JobWhy(job=job_prefix(job), task=task)


def lines(said: JobReasons, job: str, task: int | None) -> list[str]:
    """The whole answer as text."""
    line = said.job
    if line is None:
        head = f"{job} is no job yet"
    else:
        which = "" if task is None else f", task {task}"
        head = f"{line.job[:16]} {line.name}{which}: {line.state}, {line.committed} of {line.tasks} tasks answered"
    return [head, *(text for reason in said.reasons for text in _reason(reason, task))]


def _reason(reason: Reason, task: int | None) -> list[str]:
    whom = _whom(reason) if reason.tasks and task is None else ""
    first = f"{whom}: {reason.sentence}" if whom else reason.sentence
    return [
        "",
        f"{first} ({reason.code})",
        *(f"  {_servers(each)}" for each in reason.servers),
        *(f"  what would change it: {each}" for each in reason.change),
    ]


_DONE, _FAILED, _STARTS = ("is done", "are done"), ("has failed", "have failed"), ("starts", "start")

VERBS = {
    "running": ("runs", "run"), "adoptable": ("runs on", "run on"), "placed": _STARTS, "starting": _STARTS,
    "cs-silent": ("was running", "were running"), "committed": _DONE, "undelivered": _DONE, "failed": _FAILED,
    "expired": _FAILED, "signer-revoked": _FAILED, "cancelled": ("was cancelled", "were cancelled"),
    "tried-before": ("had trouble", "had trouble"), "may-still-run": ("may still run", "may still run"),
}  # fmt: skip
"""What is said of one task and of several, by code; of all others, that they wait."""


def _whom(reason: Reason) -> str:
    """``3 tasks (0, 4, 7) wait``; which, where they are few."""
    one, several = VERBS.get(reason.code, ("waits", "wait"))
    which = "" if len(reason.first) != reason.tasks else f" ({', '.join(map(str, reason.first))})"
    return f"{counted(reason.tasks, 'task')}{which} {one if reason.tasks == 1 else several}"


def _servers(each: CsReason) -> str:
    """How some compute servers stand."""
    others = each.count - len(each.names)
    names = ", ".join(each.names) + (f" and {counted(others, 'other')}" if others > 0 else "")
    return f"{names}: {each.sentence} ({each.code})"
