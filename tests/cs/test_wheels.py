"""The CS's wheels: chosen by the signed lock, unpacked once, read-only, noticed when changed, evicted in order."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename
from wheelhouse import make_wheel

from cs.wheels import Space, Wheels
from rjs.attempts import AttemptId, Fence
from rjs.bundle.testing import NOW, make_signer, signed_jar
from rjs.bundle.verify import OpenedBundle, open_bundle
from rjs.errors import RefusedError

SIGNER = make_signer()
HERE = str(next(sys_tags()))
ELSEWHERE = "cp311-cp311-win_arm64"
FIRST, SECOND = (AttemptId("0" * 64, task, Fence(1, 1, 1)) for task in (0, 1))


def bundle_of(*wheels: Path, toml: str = "", digest: str = "") -> OpenedBundle:
    """A signed bundle with these wheels and their lock: ``toml`` begins it, ``digest`` replaces the true ones."""
    files = {f"wheels/{path.name}": path.read_bytes() for path in wheels}
    lock = toml or 'lock-version = "1.0"\ncreated-by = "test"\n'
    packages: dict[str, list[str]] = {}
    for name, content in files.items():
        package, version, _, _ = parse_wheel_filename(name.rpartition("/")[2])
        sha256 = digest or hashlib.sha256(content).hexdigest()
        head = f'\n[[packages]]\nname = "{package}"\nversion = "{version}"\nwheels = [\n'
        packages.setdefault(head, []).append(
            f'  {{ path = "{name}", hashes = {{ sha256 = "{sha256}" }} }},\n'
        )
    lock += "".join(f"{head}{''.join(lines)}]\n" for head, lines in packages.items())
    return open_bundle(io.BytesIO(signed_jar(SIGNER, {"pylock.toml": lock.encode(), **files})), at=NOW)


def paths(wheels: Wheels, bundle: OpenedBundle, attempt: AttemptId = FIRST) -> tuple[Path, ...]:
    return wheels.folders(attempt, bundle, wheels.chosen(bundle, "pylock.toml", ()))


def imported(folders: tuple[Path, ...], expression: str) -> object:
    """What a bare interpreter with these folders on its path makes of the expression; None for anything but JSON."""
    code = f"import sys, json; sys.path += sys.argv[1:]; print(json.dumps({expression}))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code, *map(str, folders)], capture_output=True, check=True
    )
    result: object = json.loads(done.stdout)
    return result


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def test_the_wheel_of_this_interpreter_is_chosen_and_can_be_imported(tmp_path: Path, cache: Path) -> None:
    """Of a package's wheels the one for this machine is unpacked, and no other."""
    here = make_wheel(tmp_path, "built", {"built.py": "WHERE = 'here'\n"}, tag=HERE)
    there = make_wheel(tmp_path, "built", {"built.py": "WHERE = 'there'\n"}, tag=ELSEWHERE)
    pure = make_wheel(tmp_path, "pure", {"pure/__init__.py": "", "pure/data.txt": "7"})
    bundle = bundle_of(here, there, pure)
    wheels = Wheels(cache)
    folders = paths(wheels, bundle)
    assert [folder.name for folder in folders] == [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (here, pure)
    ]
    assert sorted(path.name for path in cache.iterdir()) == sorted(folder.name for folder in folders)
    assert imported(folders, "__import__('built').WHERE") == "here"
    assert imported(folders, "__import__('importlib.metadata').metadata.version('pure')") == "1.0"
    assert wheels.chosen(bundle, "pylock.toml", ()).files == {
        f"wheels/{path.name}" for path in (here, there, pure)
    }


def test_files_for_other_platforms_are_not_looked_at(tmp_path: Path, cache: Path) -> None:
    """What need not be there is not chosen, even if its name says that it would fit."""
    pure = make_wheel(tmp_path, "pure", {"pure.py": ""})
    with pytest.raises(RefusedError) as refused:
        Wheels(cache).chosen(bundle_of(pure), "pylock.toml", {f"wheels/{pure.name}"})
    assert refused.value.code == "no-wheel"


def test_a_package_without_a_wheel_for_this_interpreter_is_refused_by_name(
    tmp_path: Path, cache: Path
) -> None:
    """Every such package is named, and nothing is unpacked."""
    bundle = bundle_of(
        *(make_wheel(tmp_path, name, {f"{name}.py": ""}, tag=ELSEWHERE) for name in ("one", "two"))
    )
    with pytest.raises(RefusedError, match=r"one 1\.0, two 1\.0") as refused:
        paths(Wheels(cache), bundle)
    assert refused.value.code == "no-wheel"
    assert not list(cache.iterdir())


@pytest.mark.parametrize(
    ("toml", "code"),
    [
        ('lock-version = "1.0"\ncreated-by = "x"\nrequires-python = "<3"\n', "no-wheel"),
        ('lock-version = "1.0"\ncreated-by = "x"\nenvironments = ["sys_platform == \'none\'"]\n', "no-wheel"),
        ('lock-version = "2.0"\ncreated-by = "x"\n', "bad-lock"),
        ("this is no toml", "bad-lock"),
        ("x = 1\n" * 200_000, "file-size"),
    ],
)
def test_locks_that_cannot_be_applied_are_refused(tmp_path: Path, cache: Path, toml: str, code: str) -> None:
    """Each with a code: for whom it is not, or that it is none."""
    with pytest.raises(RefusedError) as refused:
        paths(Wheels(cache), bundle_of(make_wheel(tmp_path, "pure", {"pure.py": ""}), toml=toml))
    assert refused.value.code == code


@pytest.mark.parametrize("digest", ["0" * 64, "../../../../etc", "A" * 64])
def test_a_lock_must_state_the_wheels_own_digest(tmp_path: Path, cache: Path, digest: str) -> None:
    """The digest names a folder on the owner's disk, so it is one, and the true one."""
    with pytest.raises(RefusedError) as refused:
        paths(Wheels(cache), bundle_of(make_wheel(tmp_path, "pure", {"pure.py": ""}), digest=digest))
    assert refused.value.code == "bad-lock"
    assert not list(cache.iterdir())


def test_a_wheel_is_unpacked_once_and_read_only(tmp_path: Path, cache: Path) -> None:
    """Two attempts, of one bundle or of two, share a folder in which nothing is writable."""
    pure = make_wheel(tmp_path, "pure", {"pure/__init__.py": "", "pure/deep/x.py": ""})
    other = make_wheel(tmp_path, "other", {"other.py": ""})
    wheels = Wheels(cache)
    (folder,) = paths(wheels, bundle_of(pure))
    before = {path: path.stat().st_ino for path in folder.rglob("*")}
    assert paths(wheels, bundle_of(pure, other), SECOND)[0] == folder
    assert {path: path.stat().st_ino for path in folder.rglob("*")} == before
    assert not any(path.stat().st_mode & 0o222 for path in (folder, *before))


def test_libraries_of_the_data_folder_move_and_what_would_run_or_lie_elsewhere_does_not(
    tmp_path: Path, cache: Path
) -> None:
    """purelib and platlib are unpacked to the top; scripts, headers, data and .pth files are left out."""
    data = "odd-1.0.data"
    wheel = make_wheel(tmp_path, "odd", {
        f"{data}/purelib/pure.py": "", f"{data}/platlib/built/x.py": "", f"{data}/scripts/odd": "#!python\n",
        f"{data}/headers/odd.h": "", f"{data}/data/share/x": "", "odd.pth": "import os", "top.py": "",
        f"{data}/purelib/also.pth": "import os",
    })  # fmt: skip
    (folder,) = paths(Wheels(cache), bundle_of(wheel))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == {"pure.py", "built/x.py", "top.py"}


@pytest.mark.parametrize("what", ["content", "same size and time", "another file", "missing file", "a link"])
def test_a_folder_that_changed_is_unpacked_again(tmp_path: Path, cache: Path, what: str) -> None:
    """Whatever was done to it, and however well it was hidden, the next attempt imports what was signed."""
    pure = make_wheel(tmp_path, "pure", {"pure.py": "VALUE = 1\n"})
    wheels = Wheels(cache)
    (folder,) = paths(wheels, bundle_of(pure))
    module, before = folder / "pure.py", (folder / "pure.py").stat()
    for path in (folder, module):
        path.chmod(0o700)
    if what == "another file":
        (folder / "json.py").write_text("VALUE = 2\n")
    elif what in ("missing file", "a link"):
        module.unlink()
        if what == "a link":
            module.symlink_to("/etc/passwd")
    else:
        module.write_text("VALUE = 2\n" if what == "same size and time" else "VALUE = 22\n")
        os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
        module.chmod(0o444)
    folder.chmod(0o555)
    assert paths(wheels, bundle_of(pure), SECOND) == (folder,)
    assert module.read_text() == "VALUE = 1\n"
    assert not (folder / "json.py").exists()


def test_what_an_earlier_run_left_is_removed_at_start(tmp_path: Path, cache: Path) -> None:
    """Nobody knows what became of it."""
    paths(Wheels(cache), bundle_of(make_wheel(tmp_path, "pure", {"pure/__init__.py": ""})))
    Wheels(cache).sweep()
    assert not list(cache.iterdir())


def test_the_least_recently_used_goes_first_and_nothing_that_runs(tmp_path: Path, cache: Path) -> None:
    """Beyond the cap old wheels go, those of running attempts never; what then cannot fit is refused."""
    bundles = [
        bundle_of(make_wheel(tmp_path, name, {f"{name}.py": "#" * 10_000})) for name in ("one", "two", "six")
    ]
    wheels = Wheels(cache, most=Space(80_000, 100))
    (one,), (two,) = paths(wheels, bundles[0], FIRST), paths(wheels, bundles[1], SECOND)
    third = AttemptId("0" * 64, 2, Fence(1, 1, 1))
    with pytest.raises(RefusedError) as refused:
        paths(wheels, bundles[2], third)
    assert refused.value.code == "wheels-size"
    assert one.exists() and two.exists()
    wheels.release(SECOND)
    paths(wheels, bundles[2], third)
    assert one.exists() and not two.exists()


def test_a_wheel_that_the_strict_reader_refuses_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    """Two archives in one, the old trick against readers that disagree, is refused though it was signed."""
    pure = make_wheel(tmp_path, "pure", {"pure.py": ""})
    pure.write_bytes(b"MZ" + pure.read_bytes())
    with pytest.raises(RefusedError) as refused:
        paths(Wheels(cache), bundle_of(pure))
    assert refused.value.code == "bad-wheel"
    assert not list(cache.iterdir())


def test_a_package_whose_marker_is_false_here_is_not_wanted(tmp_path: Path, cache: Path) -> None:
    """Neither does it matter that it has no wheel for this interpreter."""
    pure = make_wheel(tmp_path, "pure", {"pure.py": ""})
    toml = 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "b"\nversion = "1"\n'
    toml += "marker = \"sys_platform == 'none'\"\n"
    toml += f'wheels = [{{ path = "wheels/b-1-{ELSEWHERE}.whl", hashes = {{ sha256 = "{"0" * 64}" }} }}]\n'
    assert len(paths(Wheels(cache), bundle_of(pure, toml=toml))) == 1
