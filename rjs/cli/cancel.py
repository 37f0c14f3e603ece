"""``rjs cancel``: a job is not wanted any more."""

from __future__ import annotations

import click

from rjs.cli.console import say


@click.command("cancel")
@click.argument("job")
def command(job: str) -> None:
    """End what has not ended of a job.

    JOB is a job's id or its first digits. Running tasks are stopped; answers that came stay in ans/.

    \b
    Example:
      rjs cancel 3fa9c1d2
    """
    from rjs.cli.ask import ask, job_prefix
    from rjs.wire import messages as m

    ask(m.JobCancel(job=job_prefix(job)), m.Done)
    say(f"cancelled job {job}")
