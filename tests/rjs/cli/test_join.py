"""``rjs join``: the settings of a server that joins."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from rjs.cli.join import _write_config
from rjs.identity.invitation import Invitation

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

GIVEN = {"unconfined": "i accept", "interfaces": ["127.0.0.1"], "port": 0}


def test_the_same_command_may_be_given_again(rjs: Rjs, tmp_path: Path) -> None:
    """Who repeats a join that reached nobody repeats its --set too; other settings do not vanish unsaid."""
    cadir = tmp_path / "ca"
    assert rjs("ca", "init", cadir).status == 0
    line = rjs("ca", "invite", cadir, "--ws", "ws.example.org:9000", "--role", "cs").out.strip()
    invited, folder = Invitation.decode(line), tmp_path / "cs"
    _write_config(invited, folder, GIVEN)
    _write_config(invited, folder, GIVEN)
    with pytest.raises(click.UsageError, match="edit it there"):
        _write_config(invited, folder, GIVEN | {"port": 9002})
