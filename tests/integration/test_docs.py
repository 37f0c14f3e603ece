"""The commands of the README and the tutorial, run as a newcomer would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 90
"""Seconds that a page may take."""

PRELUDE = """\
set -eu
mkdir "$HOME" && ip link set lo up
await() {
    for _ in $(seq 600); do
        if eval "$1" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "never: $1"
    exit 1
}
"""
FINALE = "await 'test \"$(ls ws/home/ada/ans/*/*.jar | wc -l)\" -eq {tasks}'\n"


def clone(folder: Path) -> Path:
    """A tree like that of a clone, where ``ws/``, ``lus/`` and ``cs/`` are source packages."""
    tree = folder / "clone"
    shutil.copytree(
        ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__", "tests", "*.egg-info", "cluster")
    )
    return tree


def shell_blocks(page: Path) -> list[str]:
    """The ``sh`` blocks of a Markdown page."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run_script(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it in namespaces of its own: loopback is the whole LAN, and no process outlives the script."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder.parent / "home"),
        "LANG": "C.UTF-8",
    }
    return subprocess.run(
        ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", script],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip


@pytest.mark.integration
def test_the_readme_works_as_it_stands(tmp_path: Path) -> None:
    """The README's lines, in a clone, lead from nothing to an answer, and leave the sources alone."""
    tree = clone(tmp_path)
    sources = set(tree.rglob("*"))
    block = next(block for block in shell_blocks(ROOT / "README.md") if "rjs ca init" in block)
    before, opening, after = block.partition("rjs open ")
    script = f"{PRELUDE}{before}{FINALE.format(tasks=8)}{opening}{after}ls answer-0/out\n"
    done = run_script(script, tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mandelbrot" in done.stdout
    assert {path for path in tree.rglob("*") if not path.is_relative_to(tree / "cluster")} == sources


@pytest.mark.integration
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    """The tutorial's blocks after the installation, in order, do what its text says."""
    blocks = shell_blocks(ROOT / "docs" / "tutorial.md")[1:]
    script = PRELUDE
    for block in blocks:
        if "rjs lus status" in block:
            script += "await 'rjs lus status lus | grep desk-1'\n"
        if "rjs inspect" in block:
            script += FINALE.format(tasks=4)
        script += block
    done = run_script(script, clone(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "desk-1" in done.stdout
    assert "accepted: " in done.stdout + done.stderr
