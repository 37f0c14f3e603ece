"""A package that is loaded in advance, and so in the first process of the cell, where it means to stay.

Its thread changes the job's folder for as long as there is one. As a script it is done at once.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

from probing import tell

BEAT = Path("/work/job/beat")


def change_for_ever() -> None:
    """As fast as it goes, whatever anybody removes."""
    while True:
        try:
            BEAT.touch()
            BEAT.unlink()
        except OSError:
            continue


if os.getpid() == 1:
    threading.Thread(target=change_for_ever, daemon=True).start()
elif __name__ == "__main__":
    before = BEAT.parent.stat().st_mtime_ns
    while BEAT.parent.stat().st_mtime_ns == before:
        pass
    tell("changed by", "the first process")
