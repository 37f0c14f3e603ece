"""Keys under a passphrase: what is written, who opens it, and a change that is ended anywhere."""

from __future__ import annotations

import datetime as dt
import shutil
import stat
import subprocess
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rjs.identity.ca import OperatorFolder
from rjs.identity.errors import IdentityError
from rjs.identity.keys import AskPassphrase, is_encrypted, load_private, new_key, save_private, spki_digest
from rjs.identity.names import Role
from rjs.identity.passphrases import (
    CHANGE_NAME,
    change_passphrase,
    check_new_passphrase,
    finish_change,
    read_passphrase,
)
from rjs.identity.testing import WS_ADDRESS

Killer = Callable[[int, Callable[[], object]], bool]
NAMES = ("root.key", "enrolment.key")
OLD, NEW = b"open sesame", "schöner schlüssel".encode()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guessing is made slow for thieves, not for tests."""
    monkeypatch.setattr("rjs.identity.encrypted_keys.PASSPHRASE_ROUNDS", 200)


def saying(passphrase: bytes) -> AskPassphrase:
    return lambda _: passphrase


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(IdentityError) as error:
        act()
    return error.value.code.removeprefix("identity.")


def test_an_encrypted_key_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    """The file is private, holds the key nowhere in the clear, and says in one sentence what is wrong."""
    path, key = tmp_path / "root.key", new_key()
    save_private(path, key, OLD)
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    assert is_encrypted(path) and scalar not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_private(path, saying(OLD)).private_numbers() == key.private_numbers()
    for wrong in (b"", b"open sesame ", NEW):
        assert refused(lambda wrong=wrong: load_private(path, saying(wrong))) == "passphrase"  # type: ignore[misc]  # bound now
    with pytest.raises(IdentityError, match=f"{path} needs a passphrase"):
        load_private(path)


def test_a_plain_key_asks_for_nothing(tmp_path: Path) -> None:
    """Nobody is asked for a passphrase that no file needs."""
    save_private(tmp_path / "root.key", new_key())

    def never(path: Path) -> bytes:
        raise AssertionError(path)

    load_private(tmp_path / "root.key", never)


def test_an_encrypted_key_may_lie_on_a_stick(tmp_path: Path) -> None:
    """File systems of sticks show every file as readable by all: a key that is encrypted is used from there too."""
    path = tmp_path / "root.key"
    save_private(path, new_key(), OLD)
    path.chmod(0o755)
    load_private(path, saying(OLD))


def test_guessing_is_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written states the rounds that limits.py states, and other tools open it."""
    monkeypatch.undo()
    path, key = tmp_path / "root.key", new_key()
    save_private(path, key, OLD)
    openssl = shutil.which("openssl")
    assert openssl, "openssl is missing"
    parsed = subprocess.run([openssl, "asn1parse", "-in", path], check=True, capture_output=True, text=True)
    assert "PBKDF2" in parsed.stdout and f":{600_000:06X}" in parsed.stdout
    shown = subprocess.run(
        [openssl, "pkey", "-in", path, "-passin", "stdin"], input=OLD + b"\n", check=True, capture_output=True
    )
    assert spki_digest(load_pem_private_key(shown.stdout, None)) == spki_digest(key)  # type: ignore[arg-type]  # P-256


def test_a_passphrase_is_read_from_a_private_file(tmp_path: Path) -> None:
    """The first line, without its end; a file that others can read is refused; a short passphrase is none."""
    path = tmp_path / "passphrase"
    path.write_bytes(OLD + b"\r\nsecond line\n")
    path.chmod(0o600)
    assert read_passphrase(path) == OLD
    path.chmod(0o640)
    assert refused(lambda: read_passphrase(path)) == "key_exposed"
    assert refused(lambda: check_new_passphrase(b"1234567")) == "passphrase_short"
    assert check_new_passphrase(b"12345678") == b"12345678"


# --- changing it ------------------------------------------------------------------------------------------


def two_keys(folder: Path, passphrase: bytes | None) -> dict[str, str]:
    folder.mkdir()
    keys = {name: new_key() for name in NAMES}
    for name, key in keys.items():
        save_private(folder / name, key, passphrase)
    return {name: spki_digest(key) for name, key in keys.items()}


def opened(folder: Path, passphrase: bytes | None) -> dict[str, str]:
    ask = None if passphrase is None else saying(passphrase)
    return {name: spki_digest(load_private(folder / name, ask)) for name in NAMES}


@pytest.mark.parametrize(("old", "new"), [(None, NEW), (OLD, NEW), (OLD, None)])
def test_a_change_is_for_all_keys(tmp_path: Path, old: bytes | None, new: bytes | None) -> None:
    """Set, changed or taken off: every key of the folder, the same keys, and nothing is left behind."""
    keys = two_keys(tmp_path / "ca", old)
    changed = change_passphrase(tmp_path / "ca", NAMES, None if old is None else saying(old), lambda: new)
    assert [path.name for path in changed] == list(NAMES)
    assert opened(tmp_path / "ca", new) == keys
    assert {path.name for path in (tmp_path / "ca").iterdir()} == set(NAMES)
    assert all(is_encrypted(path) == (new is not None) for path in changed)


def test_a_wrong_passphrase_changes_nothing(tmp_path: Path) -> None:
    """Not even where it opens the first of two keys."""
    keys = two_keys(tmp_path / "ca", OLD)
    (tmp_path / "ca" / "enrolment.key").unlink()
    other = new_key()
    save_private(tmp_path / "ca" / "enrolment.key", other, NEW)
    assert (
        refused(lambda: change_passphrase(tmp_path / "ca", NAMES, saying(OLD), lambda: None)) == "passphrase"
    )
    assert spki_digest(load_private(tmp_path / "ca" / "root.key", saying(OLD))) == keys["root.key"]
    assert spki_digest(load_private(tmp_path / "ca" / "enrolment.key", saying(NEW))) == spki_digest(other)


def test_a_change_that_is_ended_anywhere_is_done_or_was_never_begun(
    tmp_path: Path, killed_at: Killer
) -> None:
    """After the next look at the folder both keys open with the old passphrase, or both with the new one."""
    outcomes = set()
    for step in count(1):
        folder = tmp_path / str(step)
        keys = two_keys(folder, OLD)
        killed = killed_at(
            step,
            lambda folder=folder: change_passphrase(folder, NAMES, saying(OLD), lambda: NEW),  # type: ignore[misc]  # bound now
        )
        finish_change(folder)
        root = load_private(folder / "root.key", lambda path: OLD if _opens(path, OLD) else NEW)
        now = OLD if _opens(folder / "root.key", OLD) else NEW
        assert spki_digest(root) == keys["root.key"] and opened(folder, now) == keys
        assert not (folder / CHANGE_NAME).exists()
        outcomes.add(now)
        if not killed:
            break
    assert outcomes == {OLD, NEW} and step > 6


def _opens(path: Path, passphrase: bytes) -> bool:
    try:
        load_private(path, saying(passphrase))
    except IdentityError:
        return False
    return True


@pytest.mark.parametrize("content", [b"", b"[]", b'{"root.key": 3}', b'{"../x": "y"}', b'{"token.pem": "y"}'])
def test_a_damaged_change_touches_nothing(tmp_path: Path, content: bytes) -> None:
    """What is no change, or speaks of other files than keys with a passphrase, is refused by name."""
    two_keys(tmp_path / "ca", OLD)
    before = {path.name: path.read_bytes() for path in (tmp_path / "ca").iterdir()}
    (tmp_path / "ca" / CHANGE_NAME).write_bytes(content)
    with pytest.raises(IdentityError, match=CHANGE_NAME):
        finish_change(tmp_path / "ca")
    (tmp_path / "ca" / CHANGE_NAME).unlink()
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.key")} == before


# --- the operator's folder --------------------------------------------------------------------------------


def test_an_operators_folder_asks_when_a_key_signs(tmp_path: Path, now: dt.datetime) -> None:
    """Opening it asks for nothing; inviting and certifying do, and without the passphrase neither happens."""
    OperatorFolder.create(tmp_path / "ca", "Institute", now, OLD)
    asked: list[str] = []

    def ask(path: Path) -> bytes:
        asked.append(path.name)
        return OLD

    operator = OperatorFolder.open(tmp_path / "ca", ask)
    assert asked == []
    operator.invite(Role.CS, None, ws=[WS_ADDRESS], now=now)
    operator.certify_intermediate(new_key().public_key(), now)
    assert asked == ["enrolment.key", "root.key"]
    for closed in (OperatorFolder.open(tmp_path / "ca"), OperatorFolder.open(tmp_path / "ca", saying(NEW))):
        with pytest.raises(IdentityError, match="passphrase"):
            closed.invite(Role.CS, None, ws=[WS_ADDRESS], now=now)
        with pytest.raises(IdentityError, match="passphrase"):
            closed.certify_intermediate(new_key().public_key(), now)


def test_many_invitations_ask_once(tmp_path: Path, now: dt.datetime) -> None:
    """An invitation for each machine of a lab costs one look at the key."""
    asked: list[Path] = []
    OperatorFolder.create(tmp_path / "ca", "Institute", now, OLD)

    def ask(path: Path) -> bytes:
        asked.append(path)
        return OLD

    authority = OperatorFolder.open(tmp_path / "ca", ask).enrolment()
    for _ in range(20):
        authority.invite(Role.CS, None, ws=[WS_ADDRESS], now=now)
    assert len(asked) == 1


@pytest.mark.parametrize(("first", "second"), [(None, OLD), (OLD, None), (OLD, NEW)])
def test_an_unfinished_folder_is_not_finished_with_another_passphrase(
    tmp_path: Path, now: dt.datetime, first: bytes | None, second: bytes | None
) -> None:
    """Keys of an earlier try are not taken for protected as asked: that one is repeated, or the folder removed."""
    OperatorFolder.create(tmp_path / "ca", "Institute", now, first)
    (tmp_path / "ca" / "enrolment.pem").unlink()
    with pytest.raises(IdentityError):
        OperatorFolder.create(tmp_path / "ca", "Institute", now, second)
    OperatorFolder.create(tmp_path / "ca", "Institute", now, first)
