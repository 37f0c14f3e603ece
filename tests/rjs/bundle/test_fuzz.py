"""Random damage: whatever the bytes, a bundle is refused by code, or nothing that was signed differs."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rjs.bundle import verify
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger, RawMember
from rjs.bundle.fuzz import CHANGES, Change, FuzzedError, Seed, end_of, fuzz, make_seeds
from rjs.bundle.manifest import Manifest, parse_manifest
from rjs.bundle.testing import NOW
from rjs.bundle.verify import OpenedBundle, open_bundle

FORGER = Forger(main={"RJS-Name": "fuzz"}, per_file={"run.py": {"RJS-Executable": "true"}})


def _jar() -> bytes:
    archive = FORGER.archive()
    archive.member("run.py").deflate()
    archive.members.append(RawMember(b"folder/", b""))
    return archive.build()


JAR = _jar()


def _signed(bundle: OpenedBundle) -> object:
    contents = {name: bundle.read(name, 1000) for name in bundle.entries}
    return bundle.bundle_id, bundle.signer, bundle.attributes, dict(bundle.entries), contents


ORIGINAL = _signed(open_bundle(io.BytesIO(JAR), at=NOW))


def check(jar: bytes) -> None:
    """The property: refused with a documented code, or equal in everything that was signed."""
    try:
        found = _signed(open_bundle(io.BytesIO(jar), at=NOW))
    except BundleRefusedError:
        return
    assert found == ORIGINAL


PLACES = st.integers(0, 9999)
"""Taken modulo the length of what is changed, which varies with the random ECDSA signatures."""
pieces = st.one_of(st.binary(max_size=40), st.sampled_from([b"PK\x05\x06", b"\r\n", b"\r\n\r\n"]))
edits = st.tuples(PLACES, st.integers(0, 40), pieces)


def edited(data: bytes, edit: tuple[int, int, bytes]) -> bytes:
    place, removed, inserted = edit
    position = place % (len(data) + 1)
    return data[:position] + inserted + data[position + removed :]


@settings(max_examples=400, deadline=None)
@given(st.lists(edits, min_size=1, max_size=4))
def test_edits_of_the_archive(changes: list[tuple[int, int, bytes]]) -> None:
    """Bytes overwritten, inserted and removed anywhere."""
    jar = JAR
    for edit in changes:
        jar = edited(jar, edit)
    check(jar)


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
def test_every_byte_flipped(mask: int) -> None:
    """Every single byte of the archive, one at a time."""
    for position in range(len(JAR)):
        check(JAR[:position] + bytes([JAR[position] ^ mask]) + JAR[position + 1 :])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["META-INF/MANIFEST.MF", "META-INF/RJS.SF", "META-INF/RJS.EC"]), edits)
def test_edits_of_one_layer(layer: str, edit: tuple[int, int, bytes]) -> None:
    """One layer damaged under correct ZIP structure, so that the damage reaches the parser behind it."""
    archive = FORGER.archive()
    member = archive.member(layer)
    member.content = edited(member.content, edit)
    check(archive.build())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_signed_garbage(garbage: bytes) -> None:
    """A signer may sign anything: manifests made of garbage are refused, not crashed on."""
    for layer in ("change_manifest", "change_signature_file"):
        forger = Forger(signer=FORGER.signer)
        setattr(forger, layer, lambda data: data[: len(data) // 2] + garbage)
        with pytest.raises(BundleRefusedError):
            open_bundle(io.BytesIO(forger.build()), at=NOW).check_all()


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_garbage(garbage: bytes) -> None:
    """Garbage alone, and as a deflate stream, is refused."""
    with pytest.raises(BundleRefusedError):
        open_bundle(io.BytesIO(garbage), at=NOW)
    archive = FORGER.archive()
    member = archive.member("run.py")
    member.deflate()
    member.raw = garbage
    check(archive.build())


@pytest.mark.parametrize(
    "inputs",
    [4000, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
)
def test_changed_structure(inputs: int) -> None:
    """The structure-aware fuzzer finds nothing, and reaches most codes."""
    ends = fuzz(inputs, seed=random.randrange(1 << 32)).ends
    assert ends.total() == inputs
    assert len(ends) > 15
    assert 0 < ends["accepted"] < inputs / 4


SEEDS = make_seeds()


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(CHANGES), st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_changes_that_hypothesis_chooses(change: Change, origin: Seed, dice: random.Random) -> None:
    """The same changes with Hypothesis as the dice, which shrinks what it finds."""
    end_of(change(origin, dice))


@pytest.mark.parametrize("check", ["_judged_manifest", "_check_same_files"])
def test_the_fuzzer_notices_a_missing_check(check: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a verifier that leaves out one check is found out."""

    def careless(data: bytes, signature: Manifest) -> Manifest:
        return parse_manifest(data, "Manifest-Version")

    without = {"_judged_manifest": careless, "_check_same_files": lambda *_: None}
    monkeypatch.setattr(verify, check, without[check])
    with pytest.raises(FuzzedError):
        fuzz(20_000, seed=1)
