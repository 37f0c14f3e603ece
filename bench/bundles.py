"""Signing and verifying bundles, beside ``jarsigner`` and the floor: hashing the same bytes.

    python bench/bundles.py --size 100 --files 10000 --big 1024

CPU seconds, user and system; the least of ``--rounds`` runs of ours and of the floor, one run of ``jarsigner``.
*Sign* turns an unsigned JAR into a signed one, *verify* judges it and checks every file; both read from disk, and
signing writes there. The floor reads the JAR and hashes it; for deflated JARs it inflates every file and hashes
that. *Extract* verifies and unpacks a JAR of one file of ``--big`` MiB in a process of its own, whose peak memory is
shown.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import attrs
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from rjs.bundle.resign import sign_existing_jar
from rjs.bundle.testing import Party, make_signer, signed_jar
from rjs.bundle.verify import open_bundle
from rjs.cli.console import print_table, say

MIB = 1 << 20
PASSWORD = "changeit"
VERIFYING = {"stored": "< 2", "deflated": "< 1.3"}
"""How often the floor verifying one large file may take; for many files it is 6."""


@attrs.frozen
class Figure:
    """One row: CPU seconds of ours, of the floor and of jarsigner, and how often the floor ours may take."""

    what: str
    ours: float
    floor: float | None = None
    jarsigner: float | None = None
    target: str = ""

    @property
    def times(self) -> float | None:
        """Ours as a multiple of the floor."""
        return self.ours / self.floor if self.floor else None


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["unpack"]:
        unpack_alone(Path(sys.argv[2]), Path(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description="Signing and verifying bundles.")
    parser.add_argument("--size", type=int, default=100, help="MiB of each JAR [100]")
    parser.add_argument("--files", type=int, default=10_000, help="files of the JARs of many files [10000]")
    parser.add_argument("--big", type=int, default=256, help="MiB of the JAR that is unpacked [256]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    signer = make_signer()
    figures = []
    with tempfile.TemporaryDirectory(prefix="rjs-bench-") as name:
        folder = Path(name)
        write_keystore(folder, signer)
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            for files in (1, given.files):
                figures += measure(folder, signer, given.size * MIB, files, method, given.rounds)
        figures.append(small_bundle(signer))
        figures += big_bundle(folder, signer, given.big)
    if given.json:
        rows = [{**attrs.asdict(figure), "times": figure.times} for figure in figures]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    print_table(
        ["WHAT", "OURS s", "FLOOR s", "OURS/FLOOR", "TO REACH", "JARSIGNER s", "JARSIGNER/FLOOR"],
        [[*map(shown, row(figure))] for figure in figures],
    )


def row(figure: Figure) -> list[str | float | None]:
    """The cells of one row."""
    theirs = figure.jarsigner / figure.floor if figure.jarsigner and figure.floor else None
    return [figure.what, figure.ours, figure.floor, figure.times, figure.target, figure.jarsigner, theirs]


def shown(cell: str | float | None) -> str:
    return cell if isinstance(cell, str) else "" if cell is None else f"{cell:.4g}"


def measure(folder: Path, signer: Party, size: int, files: int, method: int, rounds: int) -> list[Figure]:
    """Sign and verify one JAR of ``size`` bytes in ``files`` files, by us and by jarsigner."""
    kind = "stored" if method == zipfile.ZIP_STORED else "deflated"
    what = f"{size // MIB} MiB {kind}, {files} file{'s' * (files > 1)}"
    say(what)
    plain, ours, theirs = (folder / f"{each}.jar" for each in ("plain", "ours", "theirs"))
    write_jar(plain, size, files, method)
    shutil.copy(plain, theirs)
    store = ("-keystore", str(folder / "keys.p12"), "-storepass", PASSWORD)
    signing = Figure(
        f"sign {what}",
        least(rounds, lambda: sign(plain, ours, signer)),
        least(rounds, lambda: floor(plain, method)),
        run(*store, str(theirs), "ada"),
        "< 2.5" if (kind, files) == ("stored", 1) else "",
    )
    verifying = Figure(
        f"verify {what}",
        least(rounds, lambda: verify(ours)),
        least(rounds, lambda: floor(ours, method)),
        run("-verify", str(ours)),
        "< 6" if files > 1 else VERIFYING[kind],
    )
    return [signing, verifying]


def small_bundle(signer: Party) -> Figure:
    """A bundle of 20 kB, in memory, as a running compute server sees it."""
    jar = signed_jar(signer, {"job.toml": b"name = 'small'\n", "run.py": os.urandom(20_000)})

    def many() -> None:
        for _ in range(100):
            open_bundle(io.BytesIO(jar), at=datetime.now(UTC)).check_all()

    return Figure("verify 20 kB", least(3, many) / 100, target="< 0.002 s")


def big_bundle(folder: Path, signer: Party, size: int) -> list[Figure]:
    """Verify and extract one big file in a fresh process; its memory is a row too, in MiB."""
    plain, jar = folder / "plain.jar", folder / "ours.jar"
    write_jar(plain, size * MIB, 1, zipfile.ZIP_STORED)
    sign(plain, jar, signer)
    plain.unlink()
    floor_seconds = least(1, lambda: floor(jar, zipfile.ZIP_STORED))
    done = subprocess.run(
        [sys.executable, "-P", __file__, "unpack", str(jar), str(folder / "unpacked")],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    seconds, peak = map(float, done.stdout.split())
    return [
        Figure(f"verify and extract {size} MiB", seconds, floor_seconds),
        Figure(f"peak memory of that, MiB ({size} MiB)", peak, target="< 64 MiB"),
    ]


def unpack_alone(jar: Path, destination: Path) -> None:
    """In a process of its own: extract, then print CPU seconds and peak resident MiB."""
    began = time.process_time()
    with jar.open("rb") as file, open_bundle(file, at=datetime.now(UTC)) as bundle:
        bundle.unpack(destination)
    seconds = time.process_time() - began
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def write_jar(path: Path, size: int, files: int, method: int) -> None:
    """An unsigned JAR of text-like noise that deflates to three quarters."""
    noise = random.Random(1)
    with zipfile.ZipFile(path, "w", method) as archive:
        for number in range(files):
            with archive.open(f"folder{number % 100}/file{number}.dat", "w") as member:
                left = size // files
                while left:
                    piece = base64.b64encode(noise.randbytes(min(left, MIB)))[: min(left, MIB)]
                    member.write(piece)
                    left -= len(piece)


def write_keystore(folder: Path, signer: Party) -> None:
    encryption = BestAvailableEncryption(PASSWORD.encode())
    (folder / "keys.p12").write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"ada", signer.key, signer.certificate, signer.chain[1:], encryption
        )
    )


def sign(plain: Path, out: Path, signer: Party) -> None:
    with plain.open("rb") as source, out.open("wb") as target:
        sign_existing_jar(source, target, key=signer.key, chain=signer.chain, attributes={})


def verify(jar: Path) -> None:
    with jar.open("rb") as file, open_bundle(file, at=datetime.now(UTC)) as bundle:
        bundle.check_all()


def floor(jar: Path, method: int) -> None:
    """Hash the JAR's bytes; of a deflated one, what its files inflate to."""
    if method == zipfile.ZIP_STORED:
        with jar.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        return
    with zipfile.ZipFile(jar) as archive, jar.open("rb") as file:
        for entry in archive.infolist():
            file.seek(entry.header_offset + 30 + len(entry.filename.encode()) + len(entry.extra))
            inflate_and_hash(file, entry.compress_size)


def inflate_and_hash(file: io.BufferedReader, left: int) -> None:
    running, inflater = hashlib.sha256(), zlib.decompressobj(-zlib.MAX_WBITS)
    while left:
        piece = file.read(min(left, 256 << 10))
        left -= len(piece)
        with contextlib.suppress(zlib.error):  # the signature files are stored
            running.update(inflater.decompress(piece))


def least(rounds: int, function: Callable[[], None]) -> float:
    """CPU seconds of the quickest of ``rounds`` runs."""
    seconds = []
    for _ in range(rounds):
        began = time.process_time()
        function()
        seconds.append(time.process_time() - began)
    return min(seconds)


def run(*arguments: str) -> float:
    """CPU seconds of one run of jarsigner, which must end well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["jarsigner", *arguments], check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
