"""Measures this machine's whole figure when nobody needs it, where a compute server started with a provisional one.

The machine must have been quiet for LOOK seconds, and quiet while it was measured, or the figure does not count; what
came meanwhile, a task or the machine's owner, is not kept waiting. What else forbids it is for ``why_not`` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
from twisted.logger import Logger

from cs.linpack import QUIET, is_provisional, keep, measure
from cs.linpack_values import LinpackRecord
from cs.machine_load import CpuTime, cpu_time, used_by_others
from rjs.background import Workers

_log = Logger("cs.speed_keeper")

LOOK = 60.0
"""Seconds between looks: long beside a burst of typing, short beside a night."""


@attrs.define(eq=False)
class SpeedKeeper:
    """The record, cached in ``folder``. ``why_not``: a sentence when the machine is not to be measured now, else
    empty. ``changed`` is called with a new record."""

    folder: Path
    record: LinpackRecord
    workers: Workers
    why_not: Callable[[], str]
    changed: Callable[[LinpackRecord], object]
    measuring: Callable[[], LinpackRecord] = measure
    load: Callable[[], CpuTime | None] = cpu_time
    _last: CpuTime | None = None
    _has_looked: bool = False

    async def look(self) -> None:
        """Every LOOK seconds. Raises LinpackError where the machine computes wrongly, OSError for the folder."""
        before, self._last, looked, self._has_looked = self._last, self.load(), self._has_looked, True
        if not looked or not is_provisional(self.record) or used_by_others(before, self._last, 0.0) > QUIET:
            return
        if why_not := self.why_not():
            _log.debug("not measured now: {why_not}", why_not=why_not)
            return
        record = await self.workers.run(self.measuring)
        if is_provisional(record):
            _log.info(
                "a measurement does not count: others used {share:.0%} of the cores",
                share=record.used_by_others,
            )
            return
        await self.workers.run(keep, self.folder, record)
        self.record = record
        self.changed(record)
