"""Terminal escapes in whatever a stranger can write: no command lets one reach the terminal."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from samples import attempt
from samples import job as sample_job

from rjs.answers.answer_jar import Exited, Receipt, write_answer
from rjs.attempts import Fence
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.sign import job_attributes, sign_jar
from rjs.bundle.testing import Party, make_party
from rjs.cli import main
from rjs.identity.keys import save_chain
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId, SpkiDigest
from rjs.toml_text import toml_table
from ws.job import JobState
from ws.job_tokens import Progress
from ws.status_files import job_text

EVIL = "e\x1b]0;evil\x07\x1b[2J\x9b31m\u202eright\u2028line\raccepted"
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
PERIOD = (NOW - DAY, NOW + 100 * DAY)

AGREEMENT = [(x509.KeyUsage(False, False, False, False, True, False, False, False, False), True)]

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run ``rjs`` and give all that it said."""
    monkeypatch.setenv("RJS_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def said(*arguments: object) -> str:
        main([str(argument) for argument in arguments])
        return "".join(capsys.readouterr())

    return said


@pytest.fixture
def signer() -> Party:
    """Somebody whose certificate is as evil as the CA that issued it lets it be."""
    root = make_party(f"Root {EVIL}"[:64], ca=True, period=PERIOD)
    return make_party(EVIL, root, usages=[CODE_SIGNING], period=PERIOD)


def assert_harmless(text: str) -> None:
    """Nothing in it acts on a terminal: every character is printable or ends a line."""
    assert text.strip(), "nothing was said"
    assert [char for char in text if char != "\n" and not char.isprintable()] == []


def bundle_of(signer: Party, toml: str) -> bytes:
    out = io.BytesIO()
    attributes = job_attributes("plain", bytes(16), NOW - DAY, NOW + DAY)
    entries = [("job.toml", toml.encode(), False), ("run.py", b"", False)]
    sign_jar(out, entries, key=signer.key, chain=signer.chain, attributes=attributes)
    return out.getvalue()


def test_in_every_text_of_a_descriptor_and_in_every_name(run: Run, signer: Party, tmp_path: Path) -> None:
    """Arguments, those of each task, and the names of readers, signer and CA show as what they are."""
    reader = make_party(
        EVIL, make_party("Reader CA", ca=True, period=PERIOD), period=PERIOD, replaced=AGREEMENT
    )
    toml = toml_table(
        "", {"name": "plain", "runtime": "python", "entry": "run.py", "args": [EVIL, "{index}"]}
    )
    toml += f"tasks = [{', '.join(msgspec.json.encode([EVIL, str(i)]).decode() for i in range(9))}]\n"
    pem = reader.certificate.public_bytes(Encoding.PEM).decode()
    toml += toml_table("[answer]", {"encrypt": True, "recipients": [pem]})
    (tmp_path / "job.jar").write_bytes(bundle_of(signer, toml))
    shown = run("inspect", "job.jar")
    assert "task 0" in shown
    assert "sealed for" in shown
    assert "\\x1b" in shown
    assert_harmless(shown)
    assert_harmless(run("inspect", "job.jar", "--json"))
    save_chain(tmp_path / "root.pem", [signer.root])
    assert_harmless(run("verify", "job.jar", "--trust", "root.pem"))


@pytest.mark.parametrize(
    "line",
    [
        f"name = {msgspec.json.encode(EVIL).decode()}",
        f"runtime = {msgspec.json.encode(EVIL).decode()}",
        f"entry = {msgspec.json.encode(EVIL).decode()}",
        f"{msgspec.json.encode(EVIL).decode()} = 1",
        f"[needs]\nos = {msgspec.json.encode(EVIL).decode()}",
        f"[permissions]\nnetwork = [{msgspec.json.encode(EVIL).decode()}]",
        f"[[resources]]\nfiles = [{msgspec.json.encode(EVIL).decode()}]",
        f"[java]\noptions = [{msgspec.json.encode(EVIL).decode()}]",
        f'[java]\nproperties = {{"a" = {msgspec.json.encode(EVIL).decode()}}}',
        f"[python]\nlock = {msgspec.json.encode(EVIL).decode()}",
        f"[answer]\nencrypt = true\nrecipients = [{msgspec.json.encode(EVIL).decode()}]",
    ],
)
def test_in_a_descriptor_that_is_refused(run: Run, signer: Party, tmp_path: Path, line: str) -> None:
    """A mistake is told with what was written, and what was written does nothing."""
    fields = {"name": '"plain"', "runtime": '"python"', "entry": '"run.py"'}
    given = line.partition(" ")[0]
    head = "".join(f"{field} = {value}\n" for field, value in fields.items() if field != given)
    (tmp_path / "job.jar").write_bytes(bundle_of(signer, f"{head}{line}\n"))
    said = run("inspect", "job.jar")
    assert said.startswith("refused: descriptor: ")
    assert_harmless(said)


def test_in_an_answer(run: Run, tmp_path: Path) -> None:
    """The name that a compute server gives itself, and that of the limit it met, show as what they are."""
    organisation = Organisation(datetime.now(UTC))
    invitation = organisation.invitation(Role.CS)
    server = organisation.answer(invitation)
    receipt = Receipt(
        bundle_id=BundleId("ab" * 32), task=2, fence=Fence(1, 1, 1), signer=SpkiDigest("cd" * 32),
        cs=ServerId(invitation.subject.id), cs_name=EVIL, mflops=1.0, limits={EVIL: 1}, limit_hit=EVIL,
        exit=Exited(0), started=NOW, ended=NOW, wall_seconds=1, cpu_seconds=1, max_memory=1,
    )  # fmt: skip
    with (tmp_path / "0.jar").open("wb") as out:
        write_answer(out, receipt=receipt, files=[("out/a", b"")], key=server.key, chain=server.chain)
    save_chain(tmp_path / "root.pem", [organisation.root])
    for said in (
        run("inspect", "0.jar"),
        run("inspect", "0.jar", "--json"),
        run("verify", "0.jar", "--trust", "root.pem", "--answer"),
        run("open", "0.jar", "--trust", "root.pem"),
    ):
        assert_harmless(said)
        assert "refused" not in said


def _jars() -> Iterator[tuple[str, dict[str, bytes], list[str]]]:
    yield "main class", {"META-INF/MANIFEST.MF": f"Main-Class: {EVIL}\n".replace("\r", "").encode()}, []
    yield "main class asked for", {"a": b""}, ["--main-class", EVIL]
    yield "no pattern", {"a": b""}, ["--main-class", "a", "--include", EVIL]
    yield "broken class", {"evil\u202e.class": b"none"}, ["--main-class", "a"]


@pytest.mark.parametrize(
    ("files", "options"), [case[1:] for case in _jars()], ids=[case[0] for case in _jars()]
)
def test_in_a_jar_that_is_packed(
    run: Run, tmp_path: Path, files: dict[str, bytes], options: list[str]
) -> None:
    """What a downloaded library holds does nothing when it is packed."""
    with zipfile.ZipFile(tmp_path / "lib.jar", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    said = run("pack", "lib.jar", "-o", "x.jar", "--unsigned", *options)
    assert said.startswith("refused: ")
    assert_harmless(said)


def test_in_what_a_compute_server_says(tmp_path: Path) -> None:
    """A status file, which people read with ``cat``, holds the lines that the web server wrote and no others."""
    state, evil = JobState(sample_job(attempts=1)), f"{EVIL}\nstate: done"
    state.note(0, "failed", "c" * 32, evil, evil)
    line = msgspec.structs.replace(state.line(), reason=evil)
    text = job_text(state, line, {1: Progress(attempt(1, task=1), 0.5, evil)})
    assert [each.split(":")[0] for each in text.splitlines()] == [
        "state", "job", "name", "accepted", "tasks", "reason", "task 0", "task 1"
    ]  # fmt: skip
    assert text.replace("\n", "").isprintable() and "\\x1b" in text
