"""Runs ``rjs`` in this process, in which SIGUSR2 arms the crash point that a file names.

    python armed.py ORDER cs run DIR

ORDER is removed when the point is armed. Tests start servers so; nothing that is installed can.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from rjs.cli import main
from rjs.crash_points import arm


def run(order: Path) -> None:
    """Answer the signal."""
    arm(order.read_text())
    order.unlink()


if __name__ == "__main__":
    named = Path(sys.argv.pop(1))
    signal.signal(signal.SIGUSR2, lambda *_: run(named))
    sys.exit(main())
