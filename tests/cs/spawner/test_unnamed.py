"""What a process holds on the disk without a name is found among its descriptors."""

from __future__ import annotations

import os
from pathlib import Path

from cs.spawner.proctree import read_process
from cs.spawner.unnamed import UnnamedFiles
from rjs.limits import MIB


def test_only_what_has_no_name_counts(tmp_path: Path) -> None:
    """Once for each file, however often it is open; nothing of another file system; nothing once it is closed."""
    process = read_process(os.getpid())
    assert process is not None
    before = UnnamedFiles(str(tmp_path), MIB).measure([process, process])
    path = tmp_path / "file"
    with path.open("wb") as file, path.open("rb"):
        file.write(b"x" * MIB)
        file.flush()
        assert UnnamedFiles(str(tmp_path), MIB).measure([process]) == before
        path.unlink()
        assert UnnamedFiles(str(tmp_path), MIB).measure([process, process]) == before + MIB
        assert UnnamedFiles("/proc", MIB).measure([process]) == 0
    assert UnnamedFiles(str(tmp_path), MIB).measure([process]) == before
