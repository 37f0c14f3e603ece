"""``rjs pack``, ``rjs verify`` and ``rjs inspect``, as people use them."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.answers.answer_jar import Exited, Receipt, write_answer
from rjs.attempts import Fence
from rjs.bundle.testing import make_party, revocation_list
from rjs.identity.keys import save_chain
from rjs.identity.names import Role
from rjs.identity.testing import Organisation
from rjs.ids import BundleId, ServerId, SpkiDigest

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs


def test_pack_prints_the_id_and_says_what_it_took(rjs: Rjs, home: Path, job: Path) -> None:
    """The id alone goes to stdout; what was taken and what was left out goes to stderr."""
    (job / "__pycache__").mkdir()
    said = rjs("--home", home, "pack", job, "-o", job / "small.jar")
    assert said.status == 0
    assert re.fullmatch(r"[0-9a-f]{64}\n", said.out)
    assert "2 files" in said.err
    assert "job.toml, run.py" in said.err
    assert "left out: __pycache__" in said.err
    assert rjs("--home", home, "pack", job, "-o", job / "small.jar").status == 0, "again, over the old one"


def test_pack_is_signed_by_the_folder_that_is_named(rjs: Rjs, home: Path, job: Path, tmp_path: Path) -> None:
    """``--sign-with`` takes another folder than the person's own; one that cannot sign says what to do."""
    out = tmp_path / "a.jar"
    assert rjs("pack", job, "-o", out, "--sign-with", home, "--json").status == 0
    (tmp_path / "empty").mkdir()
    stranger = rjs("pack", job, "-o", out, "--sign-with", tmp_path / "empty")
    assert stranger.status == 1
    assert "rjs join" in stranger.err
    (home / "signing.pem").unlink()
    uncertified = rjs("pack", job, "-o", out, "--sign-with", home)
    assert uncertified.status == 1
    assert "rjs ca issue" in uncertified.err


def test_pack_makes_a_job_of_a_script(rjs: Rjs, home: Path, job: Path, tmp_path: Path) -> None:
    """A script needs no job.toml: its name and number of tasks come from the command."""
    out = tmp_path / "s.jar"
    script = job / "run.py"
    assert rjs("--home", home, "pack", script, "-o", out, "--tasks", 5, "--valid", 2).status == 0
    found = json.loads(rjs("inspect", out, "--json").out)
    assert (found["job"]["name"], found["job"]["entry"], found["job"]["tasks"]) == ("run", "run.py", 5)
    moments = [dt.datetime.fromisoformat(found["bundle"][key]) for key in ("not_before", "not_after")]
    assert dt.timedelta(days=2) <= moments[1] - moments[0] < dt.timedelta(days=2, hours=1)
    assert [file["name"] for file in found["files"]] == ["job.toml", "run.py"]


@pytest.mark.parametrize("wrong", [["--tasks", "2"], ["--name", "x"], ["--unsigned", "--sign-with", "."]])
def test_pack_options_that_contradict_each_other_are_wrong_usage(
    rjs: Rjs, job: Path, wrong: list[str]
) -> None:
    """What a folder states itself cannot be given beside it, nor a signer for no signature."""
    assert rjs("pack", job, *wrong).status == 2


def test_verify_accepts_by_the_root_and_by_the_signers_own_certificate(
    rjs: Rjs, jar: Path, home: Path
) -> None:
    """A CA's certificate trusts its signers; a signer's certificate trusts that key."""
    for trusted in ("root.pem", "ada.pem"):
        said = rjs("verify", jar, "--trust", home / trusted)
        assert said.status == 0, said.err
        assert said.out.startswith("accepted: ")


def test_verify_refuses_strangers_by_name(
    rjs: Rjs, jar: Path, tmp_path: Path, organisation: Organisation
) -> None:
    """Neither another organisation's root, nor another person's certificate, nor both make Ada trusted."""
    save_chain(tmp_path / "other.pem", [Organisation(dt.datetime.now(dt.UTC)).root])
    save_chain(tmp_path / "eve.pem", [organisation.signing("eve").chain[0]])
    by_root = rjs("verify", jar, "--trust", tmp_path / "other.pem")
    by_key = rjs("verify", jar, "--trust", tmp_path / "eve.pem")
    by_both = rjs("verify", jar, "--trust", tmp_path / "eve.pem", "--trust", tmp_path / "other.pem")
    assert [by_root.status, by_key.status, by_both.status] == [1, 1, 1]
    assert by_root.err.startswith("refused: path: ")
    assert by_key.err.startswith("refused: untrusted: ")
    assert by_both.err.startswith("refused: untrusted: ")
    assert by_root.out == by_key.out == by_both.out == ""


def test_a_chain_trusts_its_signer_and_nobody_else(
    rjs: Rjs, jar: Path, home: Path, tmp_path: Path, organisation: Organisation
) -> None:
    """The CAs behind a signer's certificate are no word for their other signers; two equals in a file are unclear."""
    eve = organisation.signing("eve")
    save_chain(tmp_path / "eve-chain.pem", eve.chain)
    save_chain(tmp_path / "both.pem", [eve.chain[0], *organisation.signing("ada").chain])
    assert rjs("verify", jar, "--trust", home / "signing.pem").status == 0
    assert rjs("verify", jar, "--trust", tmp_path / "eve-chain.pem").err.startswith("refused: untrusted: ")
    assert rjs("verify", jar, "--trust", tmp_path / "both.pem").status == 2


def test_verify_refuses_a_changed_byte(rjs: Rjs, jar: Path, home: Path, tmp_path: Path) -> None:
    """In whichever file of the bundle it is, the signature's too: the status is 1 and stderr says why."""
    data = jar.read_bytes()
    with zipfile.ZipFile(jar) as archive:
        places = {
            entry.filename: data.index(archive.read(entry), entry.header_offset) + entry.file_size // 2
            for entry in archive.infolist()
        }
    assert len(places) == 5
    changed = tmp_path / "changed.jar"
    for name, at in places.items():
        changed.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        said = rjs("verify", changed, "--trust", home / "root.pem")
        assert said.status == 1, name
        assert re.match(r"refused: [a-z-]+: ", said.err), (name, said.err)


def test_verify_judges_as_of_a_time(rjs: Rjs, jar: Path, home: Path) -> None:
    """Before the job, after it, and after its signer's certificate it is refused, each by its own name."""

    def at(days: float) -> str:
        moment = (dt.datetime.now(dt.UTC) + dt.timedelta(days=days)).isoformat()
        return rjs("verify", jar, "--trust", home / "root.pem", "--at", moment).err.split(":")[1].strip()

    assert at(-1) == "certificate-not-yet-valid"
    assert at(31) == "job-expired"
    assert at(5 * 365) == "certificate-expired"
    assert rjs("verify", jar, "--trust", home / "root.pem", "--at", "soon").status == 2


def test_inspect_shows_everything_that_a_person_has_to_know(rjs: Rjs, jar: Path) -> None:
    """Descriptor, signer, permissions and files stand there; a changed bundle is not shown."""
    said = rjs("inspect", jar)
    assert said.status == 0
    words = " ".join(said.out.split())
    for part in ("small", "tasks 3", "CN=ada", "network none", "run.py"):
        assert part in words
    jar.write_bytes(jar.read_bytes() + b"\0")
    refused = rjs("inspect", jar)
    assert (refused.status, refused.out) == (1, "")


@pytest.fixture
def answer(organisation: Organisation, tmp_path: Path) -> Path:
    """An answer as a compute server of the organisation makes it."""
    invitation = organisation.invitation(Role.CS)
    server = organisation.answer(invitation)
    now = dt.datetime.now(dt.UTC)
    receipt = Receipt(
        bundle_id=BundleId("ab" * 32),
        task=2,
        fence=Fence(1, 1, 1),
        signer=SpkiDigest("cd" * 32),
        cs=ServerId(invitation.subject.id),
        cs_name="desk 7",
        mflops=1234.5,
        limits={"memory": 1.0},
        limit_hit=None,
        exit=Exited(0),
        started=now,
        ended=now,
        wall_seconds=1.0,
        cpu_seconds=1.0,
        max_memory=1,
    )
    out = io.BytesIO()
    write_answer(out, receipt=receipt, files=[("out/a.txt", b"a")], key=server.key, chain=server.chain)
    path = tmp_path / "2.jar"
    path.write_bytes(out.getvalue())
    return path


def test_an_answer_is_judged_and_shown_as_one(rjs: Rjs, answer: Path, home: Path) -> None:
    """``verify --answer`` takes the organisation's root; ``inspect`` finds out by itself and shows the receipt."""
    assert rjs("verify", answer, "--answer", "--trust", home / "root.pem").status == 0
    found = json.loads(rjs("inspect", answer, "--json").out)
    assert found["bundle"]["kind"] == "answer"
    assert (found["receipt"]["task"], found["receipt"]["cs_name"]) == (2, "desk 7")


def test_an_answer_never_passes_as_a_job_nor_a_job_as_an_answer(
    rjs: Rjs, answer: Path, jar: Path, home: Path
) -> None:
    """Each is refused where the other belongs; an answer needs a CA to be judged by."""
    as_job = rjs("verify", answer, "--trust", home / "root.pem")
    as_answer = rjs("verify", jar, "--answer", "--trust", home / "root.pem")
    assert (as_job.status, as_answer.status) == (1, 1)
    assert as_job.err.startswith("refused: certificate: ")
    assert as_answer.err.startswith("refused: certificate: ")
    assert "this is no answer: leave --answer out, and name its CA with --trust" in as_answer.err
    assert rjs("verify", answer, "--answer", "--trust", home / "ada.pem").status == 2


def test_an_answer_without_the_option_is_named_as_one(
    rjs: Rjs, answer: Path, jar: Path, home: Path, tmp_path: Path
) -> None:
    """Who forgot ``--answer`` is told so; who verifies something else is not."""
    assert "judge it with --answer" in rjs("verify", answer, "--trust", home / "root.pem").err
    jar.write_bytes(jar.read_bytes()[:-1])
    assert "--answer" not in rjs("verify", jar, "--trust", home / "root.pem").err


def test_inspect_judges_by_a_root_where_one_is_named(
    rjs: Rjs, answer: Path, jar: Path, home: Path, tmp_path: Path
) -> None:
    """An answer under the organisation's root is shown offline, under another root it is not; a bundle alike."""
    save_chain(tmp_path / "other.pem", [Organisation(dt.datetime.now(dt.UTC)).root])
    for file in (answer, jar):
        said = rjs("inspect", file, "--trust", home / "root.pem")
        assert said.status == 0, said.err
        assert "leads to the signer" in said.err
        strange = rjs("inspect", file, "--trust", tmp_path / "other.pem")
        assert (strange.status, strange.out) == (1, "")
        assert strange.err.startswith("refused: path: ")


def test_inspect_shows_the_whole_descriptor(rjs: Rjs, home: Path, job: Path, tmp_path: Path) -> None:
    """Needs, platforms, permissions, what each platform has and its size, and what the first tasks are given."""
    (job / "table.bin").write_bytes(bytes(5 << 20))
    (job / "job.toml").write_text(
        'name = "whole"\nruntime = "python"\nentry = "run.py"\nargs = ["--part", "{index}"]\ntasks = 9\n'
        "attempts = 2\n"
        '[needs]\nmemory = "2 GiB"\nwall_time = "10 min"\nos = "linux"\narch = "aarch64"\npython = ">=3.12"\n'
        '[permissions]\nnetwork = ["data.example.org:443"]\n'
        '[[resources]]\nos = "linux"\narch = "aarch64"\nfiles = ["table.bin"]\n'
    )
    assert rjs("--home", home, "pack", job, "-o", tmp_path / "x.jar").status == 0
    words = " ".join(rjs("inspect", tmp_path / "x.jar").out.split())
    for part in (
        "tasks 9", "attempts 2", "task 0 --part 0", "task 4 --part 4", "and 4 more tasks", "memory 2,048 MiB",
        "wall_time 600 s", "platforms linux-aarch64", "python >=3.12", "asks to reach data.example.org:443",
        "linux-aarch64 1 file, 5 MiB", "sealed no", "table.bin 5242880",
    ):  # fmt: skip
        assert part in words, part
    found = json.loads(rjs("inspect", tmp_path / "x.jar", "--json").out)
    assert found["needs"]["memory"] == 2 << 30
    assert found["job"]["first_tasks"][1] == ["--part", "1"]
    assert found["resources"] == [
        {"platform": "linux-aarch64", "entry": None, "files": ["table.bin"], "size": 5 << 20, "jars": []}
    ]


def test_an_answer_needs_lists_where_they_are_asked_for(
    rjs: Rjs, answer: Path, home: Path, tmp_path: Path
) -> None:
    """With ``--crl`` an answer too is refused unless every CA on its path has a fresh list."""
    strangers = revocation_list(make_party("Stranger", ca=True))
    (tmp_path / "other.crl").write_bytes(strangers.public_bytes(Encoding.PEM))
    said = rjs("verify", answer, "--answer", "--trust", home / "root.pem", "--crl", tmp_path / "other.crl")
    assert said.status == 1
    assert said.err.startswith("refused: revocation-unknown: ")
