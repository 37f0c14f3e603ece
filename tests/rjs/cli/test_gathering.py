"""What ``rjs pack`` and ``rjs submit`` make of PATH and of the options that they share."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.bundle.seal_testing import make_recipient
from rjs.cli.pack import command as pack_command
from rjs.cli.submit import command as submit_command
from rjs.identity.keys import save_chain
from rjs.packing.testing import elf

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

Pack = Callable[..., dict[str, Any]]


@pytest.fixture
def pack(rjs: Rjs, home: Path, tmp_path: Path) -> Pack:
    """Pack and show: what ``rjs inspect`` says of the bundle."""

    def run(path: object, *options: object) -> dict[str, Any]:
        out = tmp_path / "packed.jar"
        said = rjs("--home", home, "pack", path, "-o", out, *options)
        assert said.status == 0, said.err
        shown: dict[str, Any] = json.loads(rjs("inspect", out, "--json").out)
        return shown

    return run


def options_of(command: click.Command) -> dict[str | None, tuple[str, ...]]:
    return {param.name: tuple(param.opts) for param in command.params}


def test_submit_takes_what_pack_takes() -> None:
    """Every option of the one is an option of the other, but for where the bundle goes."""
    packing, submitting = options_of(pack_command), options_of(submit_command)
    assert {name for name in packing if name not in submitting} == {"out", "unsigned"}
    assert {name: packing[name] for name in submitting} == submitting


def test_a_native_job_is_packed_by_its_name(pack: Pack, tmp_path: Path) -> None:
    """Nothing lies at PATH; the executable is signed as one."""
    (tmp_path / "sim").write_bytes(elf())
    shown = pack("walk", "--native", f"linux-x86_64={tmp_path / 'sim'}", "--tasks", 3)
    assert (shown["job"]["name"], shown["job"]["tasks"]) == ("walk", 3)
    assert shown["needs"]["platforms"] == ["linux-x86_64"]
    assert shown["resources"][0]["entry"] == "linux-x86_64/sim"
    assert {file["name"]: file["executable"] for file in shown["files"]}["linux-x86_64/sim"]


def test_a_folder_of_classes_is_java(rjs: Rjs, home: Path, tmp_path: Path) -> None:
    """Its manifest says so with a Main-Class, unless there is a job.toml; without, the refusal says what to add."""

    def refusal(*options: str) -> str:
        said = rjs("--home", home, "pack", tmp_path / "classes", "-o", tmp_path / "x.jar", *options)
        assert said.status != 0
        return said.err

    manifest = tmp_path / "classes/META-INF/MANIFEST.MF"
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(b"Manifest-Version: 1.0\n")
    (tmp_path / "classes/Main.class").write_bytes(b"")
    assert "there is none; name the --main-class" in refusal()
    manifest.write_bytes(b"Manifest-Version: 1.0\nMain-Class: Main\n")
    assert "Java classes" in refusal("--reached-only")
    (tmp_path / "classes/job.toml").write_bytes(b"")
    assert "field 'name' is missing" in refusal("--reached-only")


def test_answers_are_sealed_for_whom_the_option_names(pack: Pack, job: Path, tmp_path: Path) -> None:
    """The certificates go into the made ``job.toml``, and inspect names their holders."""
    readers = [make_recipient("Ada"), make_recipient("Grace")]
    for reader in readers:
        save_chain(tmp_path / f"{reader.certificate.serial_number}.pem", reader.chain[:1])
    files = [tmp_path / f"{reader.certificate.serial_number}.pem" for reader in readers]
    shown = pack(job / "run.py", "--encrypt-for", files[0], "--encrypt-for", files[1])
    assert shown["answers"]["sealed"]
    assert [reader["subject"] for reader in shown["answers"]["for"]] == ["CN=Ada", "CN=Grace"]


def test_a_descriptor_of_ones_own_is_told_the_lines_to_add(
    rjs: Rjs, pack: Pack, home: Path, job: Path, tmp_path: Path
) -> None:
    """Nobody edits a person's file; with exactly the lines that are told, it is what the option asked for."""
    reader = make_recipient("Ada")
    save_chain(tmp_path / "ada.pem", reader.chain[:1])
    said = rjs("--home", home, "pack", job, "-o", tmp_path / "x.jar", "--encrypt-for", tmp_path / "ada.pem")
    assert said.status == 1
    assert not (tmp_path / "x.jar").exists()
    lines = [line.strip() for line in said.err.splitlines()[1:]]
    assert lines[:2] == ["[answer]", "encrypt = true"]
    assert json.dumps(reader.certificate.public_bytes(Encoding.PEM).decode()) in lines[2]
    with (job / "job.toml").open("a") as file:
        file.write("\n".join(lines))
    assert pack(job)["answers"]["sealed"]


def test_a_reader_that_nothing_can_be_sealed_for_is_refused(
    rjs: Rjs, home: Path, job: Path, tmp_path: Path
) -> None:
    """A signing certificate is not for encryption."""
    said = rjs(
        "--home", home, "pack", job / "run.py", "-o", tmp_path / "x.jar", "--encrypt-for", home / "ada.pem"
    )
    assert said.status == 1
    assert said.err.startswith("refused: seal-recipient: ")


@pytest.mark.parametrize("command", ["pack", "submit"])
@pytest.mark.parametrize(
    ("path", "options", "why"),
    [
        ("job", ["--tasks", "2"], "--tasks is not for a folder"),
        ("job", ["--python", "3.12"], "--python is for packages"),
        (
            "job",
            ["--native", "linux-x86_64=job/run.py", "--reached-only"],
            "--reached-only is not for native",
        ),
        ("job/run.py", ["--main-class", "Main", "-r", "numpy"], "--requirement is not for Java"),
        ("nowhere", [], "there is no nowhere"),
        ("nowhere", ["--entry-point", "--include", "x"], "--include is not for an installed command"),
        ("x", ["--native", "linux-x86_64"], "is not PLATFORM=FILE"),
        ("x", ["--native", "beos-x86_64=job/run.py"], "there are linux-x86_64"),
    ],
)
def test_options_that_path_does_not_take_are_wrong_usage(
    rjs: Rjs, home: Path, job: Path, monkeypatch: pytest.MonkeyPatch, command: str, path: str, options: list[str],
    why: str,
) -> None:  # fmt: skip
    """What was asked for is done or refused, never passed over; nothing is packed or sent."""
    monkeypatch.chdir(job.parent)
    said = rjs("--home", home, command, path, *options)
    assert said.status == 2
    assert why in " ".join(said.err.split())


def test_the_bundle_never_takes_the_place_of_what_is_packed(
    rjs: Rjs, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``app.jar`` beside oneself would become ``app.jar``."""
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("app.jar", "w") as archive:
        archive.writestr("a", b"")
    said = rjs("--home", home, "pack", "app.jar")
    assert said.status == 2
    assert "--out" in said.err


def test_a_signed_bundle_is_sent_as_it_is(rjs: Rjs, home: Path, jar: Path) -> None:
    """Options of packing and signing are wrong usage beside it."""
    for options in (["--tasks", 2], ["--valid", 3], ["--include", "x"]):
        assert rjs("--home", home, "submit", jar, *options).status == 2
