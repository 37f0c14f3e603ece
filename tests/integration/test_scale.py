"""The benchmark of scale in small: its simulated compute servers beside a real lookup and a real web server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "scale.py"


def test_simulated_compute_servers_answer_every_task() -> None:
    """Twenty of them register, and every one of 500 tasks is committed by the web server's word."""
    argv = [sys.executable, "-P", str(BENCH), "--sessions", "20", "--seconds", "1", "--tasks", "500"]
    done = subprocess.run(
        [*argv, "--queued", "0", "--json"], capture_output=True, text=True, timeout=90, check=True
    )
    rows = {row["what"]: row for row in json.loads(done.stdout)}
    assert rows["20 compute servers registered"]["met"]
    assert rows["500 tasks, answered at once"]["measured"].endswith(" tasks/s")
