"""What the commands of all three servers share: the state folder, running in it, asking who runs in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.group import role_entry

if TYPE_CHECKING:
    from rjs.identity.names import Role

state_folder = click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))


def run_server(role: str, folder: Path) -> int:
    """Run the server of this role until it is told to stop; its exit status."""
    status = role_entry(f"{role}.run")(folder)
    assert isinstance(status, int)
    return status


def status_of(role: Role, folder: Path) -> Any:
    """What the server of this role says of itself. Raises ConfigError for another role's folder, and
    UnreachableError when it does not run."""
    from rjs.state import member_of
    from rjs.status import read_status

    member_of(folder, role)
    return read_status(folder)
