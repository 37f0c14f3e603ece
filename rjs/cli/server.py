"""What the commands of all three servers share: the state folder, running in it, asking who runs in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.group import role_entry
from rjs.sizes import size_text

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
    return read_status(folder, f"rjs {role} run {folder}")


def offer_words(offer: Mapping[str, Any]) -> str:
    """What a compute server offers one task, as its status document states it, in one short line."""
    cores = "1 core" if offer["cores"] == 1 else f"{offer['cores']} cores"
    amounts = [f"{size_text(offer[name])} {name}" for name in ("memory", "disk")]
    runtimes = [f"{name} {offer[name]}" for name in ("python", "java") if offer[name]]
    return ", ".join([offer["platform"], cores, *amounts, *runtimes])


def network_words(network: Mapping[str, Any]) -> str | None:
    """What a compute server's last task with a network carried, by its status document; None without one."""
    if not network:
        return None
    places = [
        f"{place} ({each['connections']} connections, {size_text(each['sent'])} sent, "
        f"{size_text(each['received'])} received)"
        for place, each in network["places"].items()
    ]
    refused = [f"{network['refused']} requests refused"] if network["refused"] else []
    used = f"{size_text(network['used'])} of {size_text(network['most'])}"
    return "; ".join([used, *places, *refused])


def certificate_words(certificate: Mapping[str, Any]) -> str:
    """When a server's own certificate ends, and what happens then, as its status document states it."""
    from datetime import timedelta

    from rjs.identity.held import span

    ends = span(timedelta(seconds=certificate["seconds_left"]))
    trouble = f"; not renewed yet: {certificate['trouble']}" if certificate["trouble"] else ""
    return f"ends {ends} ({certificate['until']}); {certificate['then']}{trouble}"


def clock_words(clock: Mapping[str, Any]) -> str:
    """How the clocks of a server and its peers agree, as its status document states it."""
    if clock["trouble"]:
        return str(clock["trouble"])
    if not clock["ahead"]:
        return "nobody to compare it with"
    return f"within {max(map(abs, clock['ahead'].values())):.0f} s of {len(clock['ahead'])} others"
