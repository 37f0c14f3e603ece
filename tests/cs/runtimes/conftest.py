"""Attempts that are prepared as a compute server prepares them, to be run by a real spawner."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from samples import attempt

from cs.attempt import request_of
from cs.java import Java, find_java
from cs.prepared import Prepared
from cs.spawner.messages import Ended
from cs.spawner.testing import Workbench
from cs.workplace import Workplace
from rjs.bundle.sign import sign_jar
from rjs.bundle.testing import NOW, make_signer, signing_key_of
from rjs.bundle.verify import open_bundle
from rjs.descriptor.model import Descriptor

SIGNER = make_signer()


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., Prepared]:
    """Makes an attempt of files (name → content; those that end with ``!`` are executable) and a descriptor.

    It lies in a folder whose name has a colon, a space and a comma in it.
    """

    def made(
        files: Mapping[str, bytes | str],
        descriptor: Descriptor,
        *,
        attributes: Mapping[str, str] = {},
        **more: Any,
    ) -> Prepared:
        out = io.BytesIO()
        entries = [
            (name.rstrip("!"), content.encode() if isinstance(content, str) else content, name.endswith("!"))
            for name, content in files.items()
        ]
        sign_jar(out, entries, key=signing_key_of(SIGNER), chain=SIGNER.chain, attributes=dict(attributes))
        root = tmp_path / "a:b, c"
        root.mkdir()
        place = Workplace(root, attempt(1))
        bundle = open_bundle(out, at=NOW)
        place.create()
        bundle.unpack(place.job)
        place.add_answer_folders(java=descriptor.runtime == "java")
        return Prepared(attempt(1), place, bundle, descriptor, **more)

    return made


@pytest.fixture
def run(workbench: Workbench) -> Callable[[Prepared], tuple[Ended, str]]:
    """Runs an attempt to its end: how it ended, and all that it said."""

    def played(prepared: Prepared) -> tuple[Ended, str]:
        ended = workbench.run(request_of(prepared))
        return ended, prepared.workplace.stdout.read_text() + prepared.workplace.stderr.read_text()

    return played


@pytest.fixture(scope="session")
def java() -> Java:
    """This machine's Java."""
    found = find_java()
    assert found is not None, "install default-jdk-headless"
    return found


@pytest.fixture
def compile_java(tmp_path: Path) -> Callable[..., dict[str, bytes]]:
    """Compiles sources (name of the class → source) to files of classes."""

    def compiled(sources: Mapping[str, str], *options: str) -> dict[str, bytes]:
        folder = tmp_path / f"javac-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, source in sources.items():
            (folder / f"{name}.java").write_text(source)
        names = [f"{name}.java" for name in sources]
        subprocess.run(["javac", *options, "-d", "classes", *names], cwd=folder, check=True, timeout=60)
        classes = folder / "classes"
        return {str(path.relative_to(classes)): path.read_bytes() for path in classes.rglob("*.class")}

    return compiled
