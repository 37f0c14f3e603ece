"""What a compute server fetches of a bundle that is mostly for other platforms, beside all of it.

    python bench/parts.py --size 100 --elsewhere 90 --files 100

A bundle of ``--size`` MB in ``--files`` files, of which ``--elsewhere`` MB are for macOS, is fetched and unpacked by
the real code from a lookup server in the same process that reads its file; the wire is not in it. *Whole* is a
machine of a platform that needs everything. The floor for time is reading and hashing the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from cs.fetch import fetch
from cs.opened_job import OpenedJob
from rjs.background import ImmediateWorkers
from rjs.bundle.sign import job_attributes
from rjs.bundle.testing import make_signer, signed_jar
from rjs.bundle.verify import open_bundle
from rjs.cli.console import print_table
from rjs.limits import MAX_ARCHIVE_BYTES
from rjs.needs import Needs, Platform
from rjs.wire.blobs import chunk_of
from rjs.wire.messages import BlobData, BlobRead, JobBrief
from rjs.wire.session import Session

Cell = str | int | float | None
MB = 1_000_000
DESCRIPTOR = b"""name = "parts"
runtime = "python"
entry = "main.py"
[[resources]]
os = "linux"
files = ["linux/*"]
[[resources]]
os = "macos"
files = ["macos/*"]
[[resources]]
os = "windows"
files = ["linux/*", "macos/*"]
"""
PLATFORMS = {
    "linux: its part": Platform("linux", "x86_64"),
    "macos: its part": Platform("macos", "aarch64"),
    "windows: whole": Platform("windows", "x86_64"),
}


class Lus:
    """Reads from the file what it is asked for, and counts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests = self.bytes = 0

    async def request(self, read: BlobRead, kind: object) -> BlobData:
        """What a lookup server answers."""
        self.requests += 1
        self.bytes += read.length
        return chunk_of(self.path, read)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Bytes fetched of a bundle for several platforms.")
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--elsewhere", type=int, default=90)
    parser.add_argument("--files", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rjs-bench-") as folder:
        path = Path(folder) / "bundle.jar"
        brief = make(path, given.size, given.elsewhere, given.files)
        rows: list[Sequence[Cell]] = [
            [what, *measured(Path(folder), path, brief, PLATFORMS[what])] for what in PLATFORMS
        ]
        began = time.perf_counter()
        hashlib.sha256(path.read_bytes())
        rows.append(["floor: hash all", 0, f"{brief.size / MB:.2f}", f"{time.perf_counter() - began:.3f}"])
    print_table(["WHAT", "REQUESTS", "MB FETCHED", "SECONDS"], rows)


def make(path: Path, size: int, elsewhere: int, files: int) -> JobBrief:
    """Write the bundle; ``size`` and ``elsewhere`` in MB."""
    each = size * MB // files
    here = files * (size - elsewhere) // size
    names = [f"linux/{number}" if number < here else f"macos/{number}" for number in range(files)]
    now, day = datetime.now(UTC), timedelta(days=1)
    content = {name: os.urandom(each) for name in names}
    path.write_bytes(
        signed_jar(
            make_signer(),
            {"job.toml": DESCRIPTOR, "main.py": b"pass\n", **content},
            job_attributes("parts", os.urandom(16), now - day, now + day),
        )
    )
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        job = open_bundle(file, at=now)
        return JobBrief(
            job=job.bundle_id, name="parts", signer=job.signer.spki, tasks=1, size=path.stat().st_size, sha256=sha256,
            needs=Needs(),
        )  # fmt: skip


def measured(folder: Path, path: Path, brief: JobBrief, platform: Platform) -> list[Cell]:
    """Requests, MB, and seconds until the job is fetched, judged and unpacked."""
    lus, began = Lus(path), time.perf_counter()
    place = folder / f"{platform}"
    place.mkdir()
    fetching = fetch(
        brief, cast(Session, lus), place / "cached.jar", platform, lambda _: None, workers=ImmediateWorkers(),
        timers=Clock(), room=MAX_ARCHIVE_BYTES,
    )  # fmt: skip
    jobs: list[OpenedJob] = []
    ensureDeferred(fetching).addCallback(jobs.append)
    jobs[0].unpack(place / "job", place / "jars")
    jobs[0].close()
    return [lus.requests, f"{lus.bytes / MB:.2f}", f"{time.perf_counter() - began:.3f}"]


if __name__ == "__main__":
    main()
