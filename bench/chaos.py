"""A cluster under faults for as long as asked: nine real servers on a LAN of their own, and a checker at the end.

    python bench/chaos.py --hours 0.25 --seed 7 --tasks 10000

Prints a table (faults by kind, tasks by end, violations, seconds to an answer) and where the history is; ends with 1
if a promise was broken. Needs root, and the Debian packages that ``make tools`` installs. ``--judge FILE`` judges a
history again. See docs/chaos.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / name) for name in ("chaos", "integration")]

from campaign import Plan, run  # noqa: E402 - they are no installed modules
from checker import check  # noqa: E402
from history import read_history  # noqa: E402

from rjs.cli.console import print_table, say  # noqa: E402


def main() -> int:
    """Run, or judge again; the exit status."""
    parser = argparse.ArgumentParser(description="A cluster under faults.")
    parser.add_argument("--hours", type=float, default=1 / 60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tasks", type=int, default=150)
    parser.add_argument("--pause", type=float, default=1.5, help="seconds between two faults, on average")
    parser.add_argument(
        "--keep", type=Path, help="a new folder for history and logs; default: a temporary one"
    )
    parser.add_argument("--judge", type=Path, help="judge this history, and run nothing")
    given = parser.parse_args()
    if given.judge is not None:
        violations = check(read_history(given.judge))
    else:
        folder = given.keep or Path(tempfile.mkdtemp(prefix="rjs-chaos-"))
        plan = Plan(seed=given.seed, seconds=given.hours * 3600, tasks=given.tasks, pause=given.pause)
        report = run(folder, plan, say)
        violations = list(report.violations)
        print_table(["WHAT", "AMOUNT"], [list(line) for line in report.lines()])
    for violation in violations:
        say(str(violation))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
