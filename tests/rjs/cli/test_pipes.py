"""What people name may be a pipe that nobody writes to: no command waits for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

COMMANDS = [
    "verify PIPE --trust ROOT",
    "verify JAR --trust PIPE",
    "verify JAR --trust ROOT --crl PIPE",
    "inspect PIPE",
    "inspect JAR --trust PIPE",
    "open PIPE --trust ROOT --into NEW",
    "open JAR --trust ROOT --into NEW --key PIPE --certificate ROOT",
    "sign PIPE",
    "sign JAR --key PIPE --certificate ROOT",
    "sign JAR --key KEY --certificate PIPE",
    "sign JAR --pkcs12 PIPE",
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_pipe_is_refused_at_once(rjs: Rjs, home: Path, job: Path, tmp_path: Path, command: str) -> None:
    """Whatever it was named as, one sentence says what to do."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    jar = tmp_path / "job.jar"
    assert rjs("--home", home, "pack", job, "-o", jar).status == 0
    words = {
        "PIPE": tmp_path / "pipe", "JAR": jar, "ROOT": home / "root.pem", "KEY": home / "signing.key",
        "NEW": tmp_path / "new",
    }  # fmt: skip
    refused = rjs("--home", home, *(words.get(word, word) for word in command.split()))
    assert (refused.status, refused.out) == (1, "")
    assert (
        refused.err.startswith("refused: file.kind: ") and "save what it gives as a file first" in refused.err
    )
