"""Keys under a passphrase, as people use them: the operator's folder, wherever it lies, and one's own."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.identity.ca import cluster_of
from rjs.identity.errors import IdentityError
from rjs.identity.folder import IdentityFolder
from rjs.identity.invitation import Invitation
from rjs.identity.keys import is_encrypted, load_chain, new_key, save_chain, save_private
from rjs.identity.names import Role, signer_uri
from rjs.identity.requests import make_request, read_request
from rjs.identity.testing import Organisation
from rjs.state import cluster_folder

if TYPE_CHECKING:
    from tests.rjs.cli.conftest import Rjs

WS = "cluster.example.org:9000"
OLD, NEW = "open sesame", "schöner schlüssel"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing is made slow for thieves, not for tests."""
    monkeypatch.setattr("rjs.identity.encrypted_keys.PASSPHRASE_ROUNDS", 200)


class Typist(io.StringIO):
    """A terminal at which nobody types: what is asked for comes from ``lines``, whose prompts are kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
        super().__init__()
        self.asked: list[str] = []
        left = iter(lines)

        def answer(prompt: str) -> str:
            self.asked.append(prompt)
            return next(left)

        monkeypatch.setattr("sys.stdin", self)
        monkeypatch.setattr("click.termui.hidden_prompt_func", answer)

    def isatty(self) -> bool:
        return True


@pytest.fixture
def secret(tmp_path: Path) -> Callable[[str], Path]:
    def written(passphrase: str) -> Path:
        path = tmp_path / f"passphrase {passphrase}"
        path.write_text(f"{passphrase}\n")
        path.chmod(0o600)
        return path

    return written


@pytest.fixture
def cadir(rjs: Rjs, tmp_path: Path, secret: Callable[[str], Path]) -> Path:
    """An operator's folder under a passphrase."""
    said = rjs("ca", "init", tmp_path / "ca", "--passphrase-file", secret(OLD))
    assert said.status == 0, said.err
    return tmp_path / "ca"


def invite(rjs: Rjs, cadir: Path, *options: object) -> tuple[int, str]:
    said = rjs("ca", "invite", cadir, "--ws", WS, "--role", "cs", *options)
    if said.status == 0:
        Invitation.decode(said.out)
    return said.status, said.err


def test_both_keys_are_protected(cadir: Path) -> None:
    """No key of a protected folder lies in the clear."""
    assert is_encrypted(cadir / "root.key") and is_encrypted(cadir / "enrolment.key")


def test_it_is_asked_on_the_terminal(rjs: Rjs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice when it is set, once when it is used, however many invitations are made."""
    typist = Typist(monkeypatch, OLD, OLD)
    assert rjs("ca", "init", tmp_path / "ca", "--passphrase").status == 0
    assert len(typist.asked) == 2
    typist = Typist(monkeypatch, OLD)
    assert (
        len(rjs("ca", "invite", tmp_path / "ca", "--ws", WS, "--role", "cs", "--count", 5).out.split()) == 5
    )
    assert len(typist.asked) == 1 and "enrolment.key" in typist.asked[0]


def test_a_wrong_passphrase_is_one_sentence(rjs: Rjs, cadir: Path, secret: Callable[[str], Path]) -> None:
    """Wrong, missing or readable by others: refused in a line that says which key, and nothing is issued."""
    for options, words in (
        (("--passphrase-file", secret("guess")), "identity.passphrase: this passphrase does not open"),
        ((), "give --passphrase-file"),
    ):
        status, err = invite(rjs, cadir, *options)
        assert status != 0 and words in err and "enrolment.key" in err and err.count("\n") == 1
    exposed = secret(OLD)
    exposed.chmod(0o644)
    assert "chmod 600" in invite(rjs, cadir, "--passphrase-file", exposed)[1]
    assert rjs("ca", "list", cadir, "--json").out == "[]\n"


@pytest.mark.parametrize("passphrase", ["", "short"])
def test_a_short_passphrase_protects_nothing(
    rjs: Rjs, tmp_path: Path, secret: Callable[[str], Path], passphrase: str
) -> None:
    """It is refused before a key is made."""
    said = rjs("ca", "init", tmp_path / "ca", "--passphrase-file", secret(passphrase))
    assert said.err.startswith("refused: identity.passphrase_short: ")
    assert not (tmp_path / "ca").exists()


def test_it_is_changed_and_taken_off(rjs: Rjs, cadir: Path, secret: Callable[[str], Path]) -> None:
    """Only with the old one; afterwards only the new one opens, and without any the folder asks for nothing."""
    old, new = secret(OLD), secret(NEW)
    change = ("ca", "passphrase", cadir)
    wrong = rjs(*change, "--passphrase-file", new, "--new-passphrase-file", new)
    assert (wrong.status, wrong.err.startswith("refused: identity.passphrase: ")) == (1, True)
    assert rjs(*change, "--passphrase-file", old, "--new-passphrase-file", new).status == 0
    assert invite(rjs, cadir, "--passphrase-file", old)[0] == 1
    assert invite(rjs, cadir, "--passphrase-file", new)[0] == 0
    assert rjs(*change, "--none", "--new-passphrase-file", new).status == 2
    assert rjs(*change, "--passphrase-file", new, "--none").status == 0
    assert invite(rjs, cadir)[0] == 0
    assert rjs(*change, "--new-passphrase-file", old).status == 0
    assert invite(rjs, cadir)[0] == 2


def test_the_old_one_is_asked_first(rjs: Rjs, cadir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for both keys, then the new one twice; a wrong old one ends it at once."""
    typist = Typist(monkeypatch, OLD, NEW, NEW)
    assert rjs("ca", "passphrase", cadir).status == 0
    assert [each.partition(" ")[0] for each in typist.asked] == ["Passphrase", "New", "Repeat"]
    typist = Typist(monkeypatch, OLD)
    assert rjs("ca", "passphrase", cadir).status == 1
    assert len(typist.asked) == 1


def test_the_folder_works_wherever_it_lies(
    rjs: Rjs, cadir: Path, tmp_path: Path, secret: Callable[[str], Path]
) -> None:
    """Moved to a stick, whose file system shows all files to all, it invites, certifies and founds a web server; no
    file in it names a place."""
    stick = tmp_path / "media" / "stick"
    stick.parent.mkdir()
    shutil.move(cadir, stick)
    for path in (stick, *stick.iterdir()):
        path.chmod(0o755)
        assert path == stick or str(tmp_path).encode() not in path.read_bytes()
    passphrase = ("--passphrase-file", secret(OLD))
    assert invite(rjs, stick, *passphrase)[0] == 0
    request = tmp_path / "signing-request.pem"
    request.write_bytes(pem_request())
    assert rjs("ca", "issue", stick, request, *passphrase).status == 0
    assert load_chain(tmp_path / "signing.pem")[-1:] == load_chain(stick / "root.pem")
    found = ("ws", "init", tmp_path / "ws", "--ca", stick, "--address", WS)
    assert rjs(*found).status == 2
    assert rjs(*found, *passphrase).status == 0


def pem_request() -> bytes:
    return make_request(new_key(), signer_uri("ada"), "ada").public_bytes(Encoding.PEM)


# --- one's own keys ---------------------------------------------------------------------------------------


@pytest.fixture
def ada(tmp_path: Path, organisation: Organisation) -> Path:
    """Ada's own folder: joined, and certified as a signer."""
    invitation, now = organisation.invitation(Role.USER), datetime.now(UTC)
    identity = IdentityFolder(cluster_folder(tmp_path / "ada", cluster_of(organisation.root)) / "identity")
    key, _ = read_request(identity.create_pending(invitation, now).token_request)
    identity.complete(invitation, organisation.tokens.issue(key, invitation.subject, "Ada", now), now)
    signer = organisation.signing("ada")
    (identity.path / "signing.key").unlink()
    save_private(identity.path / "signing.key", signer.key)
    save_chain(identity.path / "signing.pem", signer.chain)
    return tmp_path / "ada"


def own_keys(home: Path) -> list[Path]:
    return sorted((*home.rglob("signing.key"), *home.rglob("encryption.key")))


def test_ones_own_keys_rest_under_a_passphrase(
    rjs: Rjs, ada: Path, job: Path, tmp_path: Path, secret: Callable[[str], Path]
) -> None:
    """Signing then asks for it, refuses a wrong one, and works as before once it is taken off."""
    old = secret(OLD)
    assert rjs("--home", ada, "cert", "passphrase", "--new-passphrase-file", old).status == 0
    assert [is_encrypted(path) for path in own_keys(ada)] == [True, True]
    pack = ("--home", ada, "pack", job, "-o", tmp_path / "small.jar")
    assert rjs(*pack).status == 2
    wrong = rjs(*pack, "--passphrase-file", secret("wrong guess"))
    assert wrong.err.startswith("refused: identity.passphrase: ") and wrong.err.count("\n") == 1
    said = rjs(*pack, "--passphrase-file", old)
    assert said.status == 0, said.err
    assert rjs("--home", ada, "cert", "passphrase", "--passphrase-file", old, "--none").status == 0
    assert [is_encrypted(path) for path in own_keys(ada)] == [False, False]
    assert rjs(*pack).status == 0


def test_requests_are_made_again(rjs: Rjs, ada: Path) -> None:
    """For the same keys, which stay; an older folder gets its encryption key by it."""
    before = [path.read_bytes() for path in own_keys(ada)]
    said = rjs("--home", ada, "cert", "request", "--signing", "--encryption")
    assert said.status == 0 and [Path(line).name for line in said.out.split()] == [
        "signing-request.pem",
        "encryption-request.pem",
    ]
    assert [path.read_bytes() for path in own_keys(ada)] == before
    for path in ada.rglob("encryption*"):
        path.unlink()
    assert rjs("--home", ada, "cert", "request", "--encryption").status == 0
    assert {path.name for path in ada.rglob("encryption*")} == {
        "encryption.key",
        "encryption.pem",
        "encryption-request.pem",
    }
    assert rjs("--home", ada, "cert", "request").status == 2


def test_the_operator_certifies_an_encryption_key(
    rjs: Rjs, ada: Path, cadir: Path, secret: Callable[[str], Path]
) -> None:
    """``rjs ca issue`` tells one request from the other, and puts the certificate where it is looked for."""
    (request,) = ada.rglob("encryption-request.pem")
    own = load_chain(request.with_name("encryption.pem"))
    said = rjs("ca", "issue", cadir, request, "--passphrase-file", secret(OLD))
    assert said.status == 0 and "certified the encryption key" in said.err
    chain = load_chain(request.with_name("encryption.pem"))
    assert len(own) == 1 and len(chain) == 2 and chain[0].public_key() == own[0].public_key()
    assert "encryption key" in rjs("ca", "list", cadir).out


def test_joining_with_a_passphrase(tmp_path: Path) -> None:
    """Signing and encryption key are never on the disk without it, and the join can be repeated with it; a key that
    was made without is not taken for one that is protected."""
    organisation = Organisation(datetime.now(UTC))
    invitation, folder = organisation.invitation(Role.USER), IdentityFolder(tmp_path / "ada")
    requests = [folder.create_pending(invitation, organisation.now, OLD.encode()) for _ in range(2)]
    assert len({read_request(each.signing_request or b"")[0].public_numbers() for each in requests}) == 1
    assert is_encrypted(folder.path / "signing.key") and is_encrypted(folder.path / "encryption.key")
    for wrong in (None, NEW.encode()):
        with pytest.raises(IdentityError, match=r"identity\.passphrase"):
            folder.create_pending(invitation, organisation.now, wrong)
    other = IdentityFolder(tmp_path / "eve")
    other.create_pending(invitation, organisation.now)
    with pytest.raises(IdentityError, match=r"identity\.unprotected"):
        other.create_pending(invitation, organisation.now, OLD.encode())


def test_a_passphrase_is_for_people(rjs: Rjs, tmp_path: Path, secret: Callable[[str], Path]) -> None:
    """A server's keys have none, and its join says so before anything is made."""
    invitation = Organisation(datetime.now(UTC)).invitation(Role.CS).encode()
    said = rjs("join", invitation, tmp_path / "cs", "--passphrase-file", secret(OLD))
    assert said.status == 2 and "a passphrase is for the keys of a person" in said.err
    assert not (tmp_path / "cs").exists()
