"""Options that several commands share, so that one option means one thing everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from rjs.errors import RefusedError, UsageError


def moment(ctx: click.Context, param: click.Parameter, value: str | None) -> datetime | None:
    """Give the aware time that ``value`` spells; without an offset it is UTC, as certificates' dates are."""
    if value is None:
        return None
    try:
        given = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not a time such as 2026-05-01T12:00:00Z", ctx, param
        ) from None
    return given if given.tzinfo is not None else given.replace(tzinfo=UTC)


@contextmanager
def wrong_usage(*codes: str) -> Iterator[None]:
    """What is refused with one of these codes is a slip in the command line: exit status 2, like every other."""
    try:
        yield
    except RefusedError as refused:
        if refused.code in codes:
            raise UsageError(refused.sentence) from refused
        raise


at_option = click.option(
    "--at", callback=moment, metavar="TIME", help="Judge as of this time (ISO 8601) [now]."
)
"""``--at`` of the commands that judge; the function receives ``at``, an aware time or None for now."""
