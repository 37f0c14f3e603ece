"""``rjs ws status``: what a running web server says of itself, and what its operator should do next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.console import Cell, json_option, print_json, print_table, safe_text
from rjs.cli.server import certificate_words, clock_words, state_folder, status_of

if TYPE_CHECKING:
    from datetime import datetime

    from rjs.doctor.finding import Finding


@click.command("status")
@state_folder
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Show what this web server holds, and what to do next.

    \b
    Example:
      rjs ws status ~/rjs-ws
    """
    from datetime import UTC, datetime

    from rjs.doctor.rules.servers import judge_server
    from rjs.identity.names import Role

    document = status_of(Role.WS, folder)
    if as_json:
        print_json(document)
        return
    print_table(["WEB SERVER", ""], rows(document, datetime.now(UTC)))
    if document["live"]:
        click.echo()
        print_table(HEADINGS, [_job(each) for each in document["live"]])
    click.echo()
    for each in to_do(judge_server("ws", document, str(folder))):
        click.echo(safe_text(each))


HEADINGS = ["JOB", "NAME", "USER", "STATE", "TASKS", "WAITING", "RUNNING", "COMMITTED", "FAILED", "REASON"]


def rows(document: Mapping[str, Any], now: datetime) -> list[tuple[str, Cell]]:
    """The facts of a web server's status document, a line each."""
    authority, revocations, disk = document["authority"], document["revocations"], document["disk"]
    states = document["job_states"]
    return [
        ("port", str(document["port"])),
        ("lookup servers", ", ".join(document["lus"]) or "none is connected"),
        ("accounts", str(document["accounts"])),
        ("jobs", ", ".join(f"{states[each]} {each}" for each in sorted(states)) or "none"),
        ("certificate", certificate_words(document["certificate"])),
        ("authority", _authority(authority, now)),
        ("its separation", authority["separation"] or "not known while it does not run"),
        ("revoked", _revoked(revocations, now)),
        ("disk", disk["sentence"] if disk["fault"] else f"{disk['free'] >> 20:,} MiB are free"),
        ("clock", clock_words(document["clock"])),
    ]


def _authority(authority: Mapping[str, Any], now: datetime) -> str:
    if not authority["issues"]:
        return f"issues nothing: {authority['trouble'] or 'it does not run'}"
    return f"issues as the account {authority['user']}; {_until(authority['until'], now)}"


def _revoked(revocations: Mapping[str, Any], now: datetime) -> str:
    if not revocations["number"]:
        return "there is no list yet"
    number = revocations["entries"]
    entries = "1 entry" if number == 1 else f"{number} entries"
    stale = "; it is too old to start anything by" if revocations["stale"] else ""
    return f"{entries} in list {revocations['number']}, {_until(revocations['until'], now)}{stale}"


def _until(until: str, now: datetime) -> str:
    from datetime import datetime

    from rjs.identity.held import span

    return f"ends {span(datetime.fromisoformat(until) - now)} ({until})"


def _job(line: Mapping[str, Any]) -> list[Cell]:
    numbers = [line.get(each, 0) for each in ("tasks", "waiting", "running", "committed", "failed")]
    said = [line["name"], line.get("user", ""), line["state"]]
    return [line["job"][:16], *said, *numbers, line.get("reason") or None]


def to_do(findings: list[Finding]) -> list[str]:
    """What is wrong, and what mends it; a sentence where nothing is."""
    said = []
    for each in findings:
        if each.code:
            said += [f"{each.level}: {each.sentence}", *([f"  {each.remedy}"] if each.remedy else [])]
            said += [f"  {command}" for command in each.commands]
    return said or ["nothing is to be done; rjs doctor DIR looks at more"]
