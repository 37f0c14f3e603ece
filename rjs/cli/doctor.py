"""``rjs doctor``: what is wrong, and what mends it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rjs.cli.console import counted, json_option, print_json, print_table, safe_text
from rjs.cli.group import person_folder
from rjs.cli.passphrases import Passphrases, passphrase_option

if TYPE_CHECKING:
    from rjs.doctor.finding import Finding
    from rjs.doctor.patient import Patient

_folder = click.Path(file_okay=False, path_type=Path)


@click.command("doctor")
@click.argument("folder", metavar="[DIR]", required=False, type=_folder)
@click.option("--ca", "cadir", type=_folder, metavar="CADIR", help="Look at this operator's folder too.")
@click.option("--no-canary", is_flag=True, help="Send no job.")
@click.option("--ans", "answers", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
              help="Your ans/ as this machine sees it: the canary's answer is verified there.")  # fmt: skip
@click.option("--wait", type=click.IntRange(1, 3600), default=20, metavar="SECONDS", show_default=True,
              help="How long the canary may take.")  # fmt: skip
@passphrase_option
@json_option
def command(
    folder: Path | None,
    cadir: Path | None,
    no_canary: bool,
    answers: Path | None,
    wait: int,
    passphrase_file: Path | None,
    as_json: bool,
) -> int:
    """Say what is wrong here, and what mends it.

    DIR is a server's state folder; without it, your own is looked at, and a canary is sent: a tiny job that is signed
    with your key, runs somewhere, and comes back. Nothing else is changed. Ends with 1 where there is a fault.

    \b
    Example:
      rjs doctor
      rjs doctor ~/rjs-cs
      rjs doctor ~/rjs-ws --ca /media/stick/rjs-ca --json
    """
    from rjs.doctor import examine, examine_operator
    from rjs.doctor.finding import Level

    findings: list[Finding] = [] if cadir is None else examine_operator(cadir)
    where = folder or person_folder()
    patient = None
    if folder is not None or cadir is None or where.is_dir():
        patient, found = examine(where)
        findings = found + findings
        if patient is not None and not no_canary:
            findings.append(_canary(patient, found, answers, Passphrases(passphrase_file), wait))
    _print(findings, patient, as_json)
    return int(any(each.level is Level.FAULT for each in findings))


def _canary(
    patient: Patient, found: list[Finding], answers: Path | None, ask: Passphrases, wait: int
) -> Finding:
    from rjs.doctor.look.canary import send_canary
    from rjs.doctor.rules.canary import Came, CanaryFacts, judge_canary

    if why := _unsent(patient, found):
        return judge_canary(CanaryFacts(Came.NOT_ASKED, words=why))
    return judge_canary(send_canary(patient.path, patient.identity, ask, answers, wait))


def _unsent(patient: Patient, found: list[Finding]) -> str:
    """Why no canary is sent; empty where one is."""
    from rjs.doctor.finding import Level

    if patient.role != "user":
        return f"a canary is sent by a user, and here is no signing key but the folder of a {patient.role}"
    doors = [each for each in found if each.subject.startswith("door of ws")]
    if not any(each.level is Level.OK for each in doors):
        return "none was sent, for no door of the web server is open"
    if any(each.code == "signing-not-certified" for each in found):
        return "none was sent, for your signing key is not certified"
    return ""


_MARKS = {"ok": "ok", "notice": "note", "fault": "FAULT"}


def _print(findings: list[Finding], patient: Patient | None, as_json: bool) -> None:
    from rjs.doctor.finding import Level

    faults = [each for each in findings if each.level is Level.FAULT]
    notices = [each for each in findings if each.level is Level.NOTICE and each.remedy]
    if as_json:
        print_json(_facts(findings, patient, len(faults)))
        return
    print_table(
        ["", "WHAT", "FOUND"], [[_MARKS[each.level], each.subject, _words(each)] for each in findings]
    )
    _tell(counted(len(faults), "fault"), faults)
    _tell(counted(len(notices), "note"), notices)


def _words(finding: Finding) -> str:
    return f"{finding.code}: {finding.sentence}" if finding.code else finding.sentence


def _tell(heading: str, findings: list[Finding]) -> None:
    """What mends each; commands stand alone in a line, to be copied."""
    click.echo(f"\n{heading}{':' if findings else ''}")
    for each in findings:
        click.echo(safe_text(f"  {each.code} ({each.subject}): {each.remedy}"))
        for line in each.commands:
            click.echo(f"      {safe_text(line)}")


def _facts(findings: list[Finding], patient: Patient | None, faults: int) -> dict[str, Any]:
    return {
        "folder": None if patient is None else str(patient.path),
        "name": None if patient is None else patient.member.name.uri(),
        "faults": faults,
        "findings": [
            {
                "level": each.level.value,
                "subject": each.subject,
                "code": each.code or None,
                "sentence": each.sentence,
                "remedy": each.remedy or None,
                "commands": list(each.commands),
            }
            for each in findings
        ],
    }
