"""The owner's trust on disk: what is written is read, and what cannot be believed trusts nobody."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from cs.limits import TRUST_FILE, TRUST_LABEL
from cs.trust import Grant, TrustRefusedError, TrustStore
from cs.trust_store import TrustFolder, grant_for, read_trust, trust_text
from rjs.bundle.testing import NOW, Party, make_party, make_signer
from rjs.bundle.verify import spki_of
from rjs.errors import ConfigError
from rjs.ids import SpkiDigest
from rjs.network_places import PlaceRefusedError

ADA = make_signer("Ada")
ONE = Grant(SpkiDigest("1" * 64), "One", "signer", NOW)
TWO = Grant(
    SpkiDigest("2" * 64),
    "Two",
    "ca",
    NOW,
    NOW + timedelta(days=1),
    ("data.example.org:443", "[2001:db8::1]:80"),
)
ENTRY = f'[[grant]]\nspki = "{"1" * 64}"\nkind = "signer"\nlabel = "One"\nadded = 2026-06-01T12:00:00Z\n'


def pem(party: Party) -> str:
    """The certificate alone."""
    return party.certificate.public_bytes(Encoding.PEM).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A private folder, as a cluster's is."""
    tmp_path.chmod(0o700)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    """The trust file as a person would have edited it."""
    path = folder / "trust.toml"
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_no_file_is_an_empty_store(folder: Path) -> None:
    """A new machine trusts nobody, and that is no fault."""
    assert TrustFolder(folder).current() == TrustStore()


def test_grants_come_back_after_a_restart(folder: Path) -> None:
    """Added grants are there for another reader; the file is its owner's alone and explains itself."""
    for one in (ONE, TWO):
        TrustFolder(folder).add(one)
    assert TrustFolder(folder).current().grants == (ONE, TWO)
    assert (folder / "trust.toml").stat().st_mode & 0o777 == 0o600
    assert (folder / "trust.toml").read_text().startswith("# Whose jobs this machine runs.")


def test_a_removed_grant_is_gone(folder: Path) -> None:
    """It is returned, and only it is missing."""
    trust = TrustFolder(folder)
    trust.add(ONE)
    trust.add(TWO)
    assert trust.remove("1" * 8) == (ONE,)
    assert trust.current().grants == (TWO,)
    with pytest.raises(TrustRefusedError):
        trust.remove("1" * 8)


def test_a_running_server_notices_every_change(folder: Path) -> None:
    """Edited in place, replaced, made writable for others, mended, removed: the next question gets the new answer."""
    trust = TrustFolder(folder)
    path = write(folder, ENTRY)
    assert trust.current().grants == (ONE,)
    path.write_text(ENTRY.replace("1" * 64, "2" * 64))
    assert [grant.spki for grant in trust.current().grants] == ["2" * 64]
    path.chmod(0o620)
    assert trust.current().fault is not None
    path.chmod(0o600)
    assert trust.current().fault is None
    folder.chmod(0o770)
    assert trust.current().fault is not None
    folder.chmod(0o700)
    TrustFolder(folder).add(ONE)
    assert len(trust.current().grants) == 2
    path.unlink()
    assert trust.current() == TrustStore()


def test_an_unchanged_file_is_not_read_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every task asks, so the answer costs two looks at the folder."""
    trust = TrustFolder(folder)
    write(folder, ENTRY)
    first = trust.current()
    monkeypatch.setattr("cs.trust_store.read_trust", lambda path: pytest.fail("read again"))
    assert trust.current() is first


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[[grant", "trust.toml"),
        ("[" * 5000, "trust.toml"),
        ("grant = " + "[" * 5000, "trust.toml"),
        ("grant = " + "9" * 5000, "trust.toml"),
        (ENTRY + "colour = 1\n", "colour"),
        (ENTRY.replace("[[grant]]", "[[grants]]"), "grants"),
        (ENTRY.replace('label = "One"\n', ""), "label"),
        (ENTRY.replace('"signer"', '"sginer"'), "sginer"),
        (ENTRY.replace("1" * 64, "1" * 63), "spki"),
        (ENTRY.replace("1" * 64, "A" * 64), "spki"),
        (ENTRY.replace("1" * 64, "1" * 64 + "\\n"), "spki"),
        (ENTRY.replace("00:00Z", "00:00"), "added"),
        (ENTRY.replace("2026-06-01T12:00:00Z", "2026-06-01"), "added"),
        (ENTRY.replace("2026-06-01T12:00:00Z", '"2026-06-01T12:00:00Z"'), "added"),
        (ENTRY + ENTRY, "twice"),
        (ENTRY.replace("One", "x" * (TRUST_LABEL + 1)), "label"),
        ("# " + "x" * TRUST_FILE, "larger"),
    ],
)
def test_a_damaged_file_trusts_nobody_and_is_not_replaced(folder: Path, text: str, names: str) -> None:
    """The fault names the file and what is wrong; neither adding nor removing touches the file."""
    path = write(folder, text)
    trust = TrustFolder(folder)
    store = trust.current()
    assert store.grants == ()
    assert store.fault is not None
    assert str(path) in store.fault
    assert names in store.fault
    with pytest.raises(ConfigError):
        trust.add(TWO)
    with pytest.raises(ConfigError):
        trust.remove("1" * 64)
    assert path.read_text() == text


def test_bytes_that_are_no_text_trust_nobody(folder: Path) -> None:
    """A file in another encoding is a damaged one."""
    write(folder, "").write_bytes(b"\xff\xfe")
    assert TrustFolder(folder).current().fault is not None


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_believed(folder: Path, mode: int) -> None:
    """The sentence says how to close it."""
    write(folder, ENTRY).chmod(mode)
    with pytest.raises(ConfigError, match="chmod go-w"):
        read_trust(folder / "trust.toml")


def test_a_file_of_another_account_is_not_believed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the account itself and root speak for the owner."""
    path = write(folder, ENTRY)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 1 << 30)
    with pytest.raises(ConfigError, match="another account"):
        read_trust(path)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_only_a_plain_file_is_believed(folder: Path, kind: str) -> None:
    """A link could lead to a file of somebody else's, a pipe would block the server."""
    path = folder / "trust.toml"
    if kind == "link":
        path.symlink_to(write(folder, ENTRY).rename(folder / "elsewhere"))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert TrustFolder(folder).current().fault is not None


def test_two_writers_lose_nothing(folder: Path) -> None:
    """Commands that run at once wait for each other."""
    grants = [Grant(SpkiDigest(f"{n:064x}"), f"n{n}", "signer", NOW) for n in range(12)]
    threads = [threading.Thread(target=TrustFolder(folder).add, args=(grant,)) for grant in grants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(TrustFolder(folder).current().grants) == set(grants)


_moments = st.builds(
    datetime.fromtimestamp,
    st.integers(min_value=0, max_value=2**35),
    st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)
_grants = st.builds(
    Grant,
    spki=st.binary(min_size=32, max_size=32).map(lambda data: SpkiDigest(data.hex())),
    label=st.text(st.characters(codec="utf-8"), max_size=TRUST_LABEL),
    kind=st.sampled_from(["signer", "ca"]),
    added=_moments,
    until=st.none() | _moments,
)


@given(grants=st.lists(_grants, max_size=5, unique_by=lambda grant: grant.spki))
def test_any_grants_survive_the_file(tmp_path_factory: pytest.TempPathFactory, grants: list[Grant]) -> None:
    """Quotes, line ends, control characters and scripts in a label, and any moment, come back as they were."""
    path = write(tmp_path_factory.mktemp("trust"), trust_text(TrustStore(tuple(grants))))
    assert read_trust(path).grants == tuple(grants)


def test_a_certificate_gives_a_grant_of_its_kind() -> None:
    """A signer's certificate makes a signer grant, a CA's a ca grant, labelled with the subject."""
    root = make_party("The Root", ca=True)
    assert grant_for(pem(ADA), now=NOW) == Grant(spki_of(ADA.certificate), "CN=Ada", "signer", NOW)
    assert grant_for(pem(root), now=NOW, kind="signer", until=NOW) == Grant(
        spki_of(root.certificate), "CN=The Root", "ca", NOW, NOW
    )


@pytest.mark.parametrize("text", ["ab" * 32, "AB" * 32, ":".join(["ab"] * 32), f"  {'ab' * 32}\n"])
def test_a_fingerprint_gives_a_grant(text: str) -> None:
    """As people copy them: in capitals, with colons, with a line end."""
    assert grant_for(text, now=NOW, label="Ada", kind="ca") == Grant(SpkiDigest("ab" * 32), "Ada", "ca", NOW)


def test_a_label_cannot_dress_up() -> None:
    """Control and direction characters never reach a terminal, nor does a label without end."""
    label = grant_for("ab" * 32, now=NOW, label="A\x1b[31m\u202eda\n\x7f" + "x" * 999).label
    assert label == ("A[31mda" + "x" * 999)[:TRUST_LABEL]


@pytest.mark.parametrize(
    ("given_text", "code"),
    [
        ("", "trust.given"),
        ("ab" * 31, "trust.given"),
        ("xy" * 32, "trust.given"),
        (pem(ADA) + pem(ADA), "trust.certificates"),
        (pem(ADA).replace("MI", "AA"), "trust.certificate"),
        (
            ADA.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            "trust.given",
        ),
    ],
    ids=["nothing", "short", "no digits", "two", "damaged", "private key"],
)
def test_what_names_no_key_is_refused(given_text: str, code: str) -> None:
    """An owner who gives the wrong file trusts nobody by it."""
    with pytest.raises(TrustRefusedError) as refused:
        grant_for(given_text, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert refused.value.code == code


def test_places_are_kept_in_one_form() -> None:
    """However they were typed, each once."""
    made = grant_for(
        "ab" * 32, now=NOW, network=["Data.Example.ORG:443", "[2001:DB8:0::1]:80", "data.example.org:443"]
    )
    assert made.network == ("data.example.org:443", "[2001:db8::1]:80")


def test_a_private_place_is_granted_and_read_back(folder: Path) -> None:
    """What may be in the owner's own network is named beside the others; alone in the file it is a mistake."""
    made = grant_for("ab" * 32, now=NOW, network=["a.org:1"], private=["NAS.lan:80"])
    assert (made.network, made.private) == (("a.org:1", "nas.lan:80"), ("nas.lan:80",))
    TrustFolder(folder).add(made)
    assert TrustFolder(folder).current() == TrustStore((made,))
    write(folder, ENTRY + 'private = ["nas.lan:80"]\n')
    fault = TrustFolder(folder).current().fault
    assert fault is not None and "private" in fault


def test_what_is_no_place_is_refused(folder: Path) -> None:
    """By the command and in the file, which then trusts nobody; and a grant names a hundred at most."""
    with pytest.raises(PlaceRefusedError):
        grant_for("ab" * 32, now=NOW, network=["data.example.org"])
    with pytest.raises(TrustRefusedError, match="at most 100"):
        grant_for("ab" * 32, now=NOW, network=[f"n{number}.example.org:443" for number in range(101)])
    write(folder, ENTRY + 'network = ["*.example.org:443"]\n')
    fault = TrustFolder(folder).current().fault
    assert fault is not None and "'*.example.org:443' is no network place" in fault
