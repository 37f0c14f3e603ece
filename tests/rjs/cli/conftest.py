"""The command line in this process, and people to use it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from rjs.cli import main
from rjs.identity.keys import save_chain, save_private
from rjs.identity.testing import Organisation


class Said(NamedTuple):
    """What one command gave back."""

    status: int
    out: str
    err: str


Rjs = Callable[..., Said]


@pytest.fixture
def rjs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Rjs:
    """Run ``rjs`` with these arguments."""
    monkeypatch.delenv("RJS_DEBUG", raising=False)
    monkeypatch.delenv("RJS_HOME", raising=False)

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Said(status, *capsys.readouterr())

    return run


@pytest.fixture
def organisation() -> Organisation:
    """An organisation founded now: commands read the clock."""
    return Organisation(datetime.now(UTC))


@pytest.fixture
def home(tmp_path: Path, organisation: Organisation) -> Path:
    """Ada's own folder, with a certified signing key."""
    folder = tmp_path / "home"
    folder.mkdir()
    signer = organisation.signing("ada")
    save_private(folder / "signing.key", signer.key)
    save_chain(folder / "signing.pem", signer.chain)
    save_chain(folder / "ada.pem", signer.chain[:1])
    save_chain(folder / "root.pem", [organisation.root])
    return folder


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A small job's folder."""
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.toml").write_text('name = "small"\nruntime = "python"\nentry = "run.py"\ntasks = 3\n')
    (folder / "run.py").write_text("print('hello')\n")
    return folder


@pytest.fixture
def jar(rjs: Rjs, home: Path, job: Path, tmp_path: Path) -> Path:
    """The job, packed and signed by Ada."""
    said = rjs("--home", home, "pack", job, "-o", tmp_path / "small.jar")
    assert said.status == 0, said.err
    return tmp_path / "small.jar"
