"""Attack: a bundle that is handed another's unpacked wheel, or whose wheels take far more of a disk than they say."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import attrs
import pytest
from wheelhouse import make_wheel

from cs import limits
from cs.wheels import Space, Wheels
from rjs.attempts import AttemptId, Fence
from rjs.bundle.manifest import Digest
from rjs.bundle.testing import NOW, Party, make_signer, signed_jar
from rjs.bundle.verify import OpenedBundle, open_bundle
from rjs.errors import RefusedError
from rjs.ids import BundleId
from rjs.wheels import open_wheel

ADA, EVE = make_signer("Ada"), make_signer("Eve")
FIRST, SECOND = (AttemptId("0" * 64, task, Fence(1, 1, 1)) for task in (0, 1))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def bundle_of(*wheels: Path, signer: Party = ADA, content: bytes | None = None) -> OpenedBundle:
    """A bundle with these wheels and their true lock; ``content`` lies where the wheels should."""
    lock, files = 'lock-version = "1.0"\ncreated-by = "test"\n', dict[str, bytes]()
    for path in wheels:
        name, sha256 = f"wheels/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
        lock += f'[[packages]]\nname = "{path.name.partition("-")[0]}"\nversion = "1.0"\n'
        lock += f'wheels = [{{ path = "{name}", hashes = {{ sha256 = "{sha256}" }} }}]\n'
        files[name] = path.read_bytes() if content is None else content
    return open_bundle(io.BytesIO(signed_jar(signer, {"pylock.toml": lock.encode(), **files})), at=NOW)


def folders(wheels: Wheels, bundle: OpenedBundle, attempt: AttemptId) -> tuple[Path, ...]:
    return wheels.folders(attempt, bundle, wheels.chosen(bundle, "pylock.toml", ()))


@pytest.mark.parametrize("content", [b"", b"rubbish", b"PK\x05\x06" + bytes(18)])
def test_a_lock_that_states_anothers_wheel_gets_none_of_it(
    tmp_path: Path, cache: Path, content: bytes
) -> None:
    """Who knows the digest of a wheel that was unpacked for others, but does not hold it, is refused."""
    secret = make_wheel(tmp_path, "secret", {"secret.py": "KEY = 7\n"})
    wheels = Wheels(cache)
    folders(wheels, bundle_of(secret), FIRST)
    with pytest.raises(RefusedError) as refused:
        folders(wheels, bundle_of(secret, signer=EVE, content=content), SECOND)
    assert refused.value.code == "bad-lock"
    assert len(folders(wheels, bundle_of(secret, signer=EVE), SECOND)) == 1


def test_a_bundle_signed_with_another_digest_is_read_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the manifest has SHA-512, as jarsigner can write it, the wheel's bytes prove that it is the lock's."""
    wheel = make_wheel(tmp_path, "pure", {"pure.py": ""})
    wheels, bundle = Wheels(cache), bundle_of(wheel)
    other = with_sha512(bundle_of(wheel, signer=EVE))
    rubbish = with_sha512(bundle_of(wheel, signer=EVE, content=b"rubbish"))
    folder = folders(wheels, bundle, FIRST)
    with pytest.raises(RefusedError, match="bad-lock"):
        folders(wheels, rubbish, SECOND)
    assert folders(wheels, other, SECOND) == folder
    monkeypatch.setattr(OpenedBundle, "chunks", pytest.fail)
    for each in (bundle, other):
        assert folders(wheels, each, SECOND) == folder


def with_sha512(bundle: OpenedBundle) -> OpenedBundle:
    """The bundle as if its manifest had these digests of its files."""
    entries = {
        name: attrs.evolve(entry, digest=Digest("sha512", hashlib.sha512(bundle.read(name, 10**6)).digest()))
        for name, entry in bundle.entries.items()
    }
    return attrs.evolve(bundle, entries=entries, bundle_id=BundleId(bundle.bundle_id[::-1]))


def test_many_small_files_are_counted_as_a_disk_counts_them(tmp_path: Path, cache: Path) -> None:
    """A thousand files of a byte in a folder each take blocks and inodes, and no cap is passed by them."""
    many = {f"many/{number}/x.py": "#" for number in range(1000)}
    wheel = make_wheel(tmp_path, "many", many)
    with pytest.raises(RefusedError) as refused:
        folders(Wheels(cache, most=Space(1000 * 2 * 4096, limits.WHEEL_FILES)), bundle_of(wheel), FIRST)
    assert refused.value.code == "wheels-size"
    with pytest.raises(RefusedError) as refused:
        folders(Wheels(cache, most=Space(limits.WHEELS, 2000)), bundle_of(wheel), FIRST)
    assert refused.value.code == "wheels-size"
    assert not list(cache.iterdir())


def test_what_is_counted_is_no_less_than_the_disk_says(tmp_path: Path, cache: Path) -> None:
    """So no number of wheels can take more of a desktop's disk than its owner was told."""
    wheel = make_wheel(
        tmp_path, "m", {f"m/{number % 40}/{number}.py": "#" * 5 * number for number in range(999)}
    )
    (folder,) = folders(Wheels(cache), bundle_of(wheel), FIRST)
    taken = sum(path.lstat().st_blocks * 512 for path in (folder, *folder.rglob("*")))
    with wheel.open("rb") as file:
        space = Space.of(open_wheel(file, wheel.name))
    assert space.size >= taken
    assert space.files == len([folder, *folder.rglob("*")])


def test_old_wheels_go_when_there_are_too_many_files(tmp_path: Path, cache: Path) -> None:
    """The number of files is kept as the bytes are: the least recently used wheel goes first."""
    one, two = (
        make_wheel(tmp_path, name, {f"{name}/{number}.py": "" for number in range(50)})
        for name in ("one", "two")
    )
    wheels = Wheels(cache, most=Space(limits.WHEELS, 100))
    (first,) = folders(wheels, bundle_of(one), FIRST)
    wheels.release(FIRST)
    (second,) = folders(wheels, bundle_of(two), SECOND)
    assert second.exists() and not first.exists()
