"""Third-party packages of a Python job: a lock, and the wheels for the platforms asked for."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

import pytest
from wheelhouse import make_wheel

from rjs.errors import RefusedError, UsageError
from rjs.needs import PLATFORMS, Platform
from rjs.packing import PackingError, Requirements, gather, read_requirements
from rjs.packing.requirements import vendor
from rjs.packing.targets import LATER, PYTHONS
from rjs.wheels import read_lock

LINUX = Platform("linux", "x86_64")
MAC = Platform("macos", "aarch64")
WINDOWS = Platform("windows", "x86_64")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder of wheels: ``pure`` requires ``helper``; ``built`` is compiled for Linux and macOS."""
    folder = tmp_path / "wheels"
    make_wheel(folder, "pure", {"pure/__init__.py": "import helper\n"}, requires=["helper>=1"])
    make_wheel(folder, "helper", {"helper.py": "VALUE = 7\n"})
    make_wheel(folder, "built", {"built.so": b"\x7fELF linux"}, tag="cp311-cp311-manylinux_2_17_x86_64")
    make_wheel(folder, "built", {"built.so": b"\x7fELF newer"}, tag="cp311-cp311-manylinux_2_28_x86_64")
    make_wheel(folder, "built", {"built.so": b"mach-o"}, tag="cp311-cp311-macosx_11_0_arm64")
    return folder


def test_pure_wheels_serve_every_platform_and_later_pythons(wheels: Path) -> None:
    """What a requirement requires comes too, says by whom, and nothing narrows where the job can run."""
    vendored = vendor(Requirements(("pure",), (LINUX,), "3.12", wheels))
    assert {file.name: file.why for file in vendored.files} == {
        "pylock.toml": "the lock of the requirements",
        "wheels/helper-1.0-py3-none-any.whl": "required by pure",
        "wheels/pure-1.0-py3-none-any.whl": "asked for as a requirement",
    }
    assert vendored.platforms == PLATFORMS
    assert vendored.pythons == (*PYTHONS[1:], LATER)
    assert vendored.modules == {"pure": (), "helper": ()}
    assert vendored.tables == [("[needs]", {"python": ">=3.12"}), ("[python]", {"lock": "pylock.toml"})]


def test_wheels_for_platforms_lie_apart_and_the_oldest_system_is_served(wheels: Path) -> None:
    """Each platform has a folder of its own wheels, and of two that serve it the more portable one is taken."""
    vendored = vendor(Requirements(("built", "helper"), (LINUX, MAC), "3.11", wheels))
    assert sorted(file.name for file in vendored.files[1:]) == [
        "wheels/helper-1.0-py3-none-any.whl",
        "wheels/linux-x86_64/built-1.0-cp311-cp311-manylinux_2_17_x86_64.whl",
        "wheels/macos-aarch64/built-1.0-cp311-cp311-macosx_11_0_arm64.whl",
    ]
    assert vendored.platforms == (LINUX, MAC)
    assert vendored.pythons == ("3.11",)
    assert vendored.lines == (
        '[needs]\npython = "==3.11.*"\nos = ["linux", "macos"]\narch = ["aarch64", "x86_64"]\n\n'
        '[python]\nlock = "pylock.toml"\n\n'
        '[[resources]]\nos = "linux"\narch = "x86_64"\nfiles = ["wheels/linux-x86_64/*"]\n\n'
        '[[resources]]\nos = "macos"\narch = "aarch64"\nfiles = ["wheels/macos-aarch64/*"]\n'
    )


def test_the_lock_names_exactly_the_files_of_the_bundle(wheels: Path) -> None:
    """Paths, sizes and digests in the lock are those of the files, and any installer's reader accepts it."""
    vendored = vendor(Requirements(("pure", "built"), (LINUX, MAC), "3.11", wheels))
    lock, *files = vendored.files
    named = {
        wheel.path: (wheel.size, wheel.hashes["sha256"])
        for package in read_lock(b"".join(lock.chunks())).packages
        for wheel in package.wheels or ()
    }
    assert named == {
        file.name: (file.size, hashlib.sha256(b"".join(file.chunks())).hexdigest()) for file in files
    }


def test_the_same_requirements_give_the_same_bytes(wheels: Path) -> None:
    """Lock and wheels do not depend on when, or in which order, they were asked for."""
    first = vendor(Requirements(("pure", "built"), (LINUX, MAC), "3.11", wheels))
    second = vendor(Requirements(("built", "pure"), (MAC, LINUX), "3.11", wheels))
    contents = [
        sorted((file.name, b"".join(file.chunks())) for file in each.files) for each in (first, second)
    ]
    assert contents[0] == contents[1]


def test_every_package_without_a_wheel_is_named_with_platform_and_python(wheels: Path) -> None:
    """A missing wheel is refused with what lacks it, for whom, and what would help."""
    make_wheel(wheels, "other", {"other.so": b"x"}, tag="cp311-cp311-win_amd64")
    with pytest.raises(RefusedError) as refused:
        vendor(Requirements(("built", "other"), (LINUX, WINDOWS), "3.11,3.12", wheels))
    lines = refused.value.sentence.splitlines()[1:]
    assert [line.partition(":")[0] for line in lines] == [
        "other 1.0 has no wheel for linux-x86_64 and Python 3.11",
        "built 1.0 has no wheel for linux-x86_64 and Python 3.12",
        "other 1.0 has no wheel for linux-x86_64 and Python 3.12",
        "built 1.0 has no wheel for windows-x86_64 and Python 3.11",
        "built 1.0 has no wheel for windows-x86_64 and Python 3.12",
        "other 1.0 has no wheel for windows-x86_64 and Python 3.12",
    ]
    assert all("--find-links" in line for line in lines)


def test_sources_are_never_built(wheels: Path) -> None:
    """A package that is there as sources alone is refused, and nothing of it runs."""
    source = wheels / "evil-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"open({str(wheels / 'ran')!r}, 'w')\n")
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    shutil.make_archive(str(source), "gztar", wheels, source.name)
    shutil.rmtree(source)
    with pytest.raises(RefusedError, match="evil"):
        vendor(Requirements(("evil",), (LINUX,), "3.12", wheels))
    assert not (wheels / "ran").exists()


def test_markers_are_those_of_the_platform_asked_for(wheels: Path) -> None:
    """A package that only Windows needs goes along for Windows alone, whatever the packer's machine is."""
    make_wheel(wheels, "both", {"both.py": ""}, requires=["helper; sys_platform == 'win32'"])
    names = {file.name for file in vendor(Requirements(("both",), (LINUX,), "3.12", wheels)).files}
    assert "wheels/helper-1.0-py3-none-any.whl" not in names
    vendored = vendor(Requirements(("both",), (LINUX, WINDOWS), "3.12", wheels))
    assert "wheels/helper-1.0-py3-none-any.whl" in {file.name for file in vendored.files}
    assert vendored.modules == {"both": (), "helper": (LINUX,)}


def test_what_others_require_need_not_be_there(wheels: Path) -> None:
    """A package that only Windows needs is not asked for on Linux; then the job is for Linux alone."""
    make_wheel(wheels, "both", {"both.py": ""}, requires=["absent; sys_platform == 'win32'"])
    vendored = vendor(Requirements(("both",), (LINUX,), "3.12", wheels))
    assert [file.name for file in vendored.files[1:]] == ["wheels/both-1.0-py3-none-any.whl"]
    assert vendored.platforms == (LINUX,)


@pytest.mark.parametrize(
    ("specs", "python", "said"),
    [
        (("not a requirement!",), "3.12", "no requirement"),
        (("pure @ https://example.org/pure-1.0-py3-none-any.whl",), "3.12", "--find-links"),
        (("pure",), "2.7", "not for"),
        ((), "3.12", "no requirement is named"),
    ],
)
def test_what_is_no_requirement_is_wrong_usage(
    wheels: Path, specs: tuple[str, ...], python: str, said: str
) -> None:
    """A requirement names a distribution, for a Python that compute servers have."""
    with pytest.raises(UsageError, match=said):
        vendor(Requirements(specs, (LINUX,), python, wheels))


def test_a_malformed_wheel_is_refused_by_the_strict_reader(wheels: Path) -> None:
    """Bytes after the archive's end, which other readers pass over, are refused by name."""
    with (wheels / "helper-1.0-py3-none-any.whl").open("ab") as file:
        file.write(b"more")
    with pytest.raises(RefusedError, match=r"helper-1\.0") as refused:
        vendor(Requirements(("helper",), (LINUX,), "3.12", wheels))
    assert refused.value.code in ("bad-wheel", "pack")


def test_a_file_of_requirements_is_read_line_by_line(tmp_path: Path) -> None:
    """Comments and empty lines are passed over; pip's options are refused with their line."""
    file = tmp_path / "requirements.txt"
    file.write_text("# what we need\nnumpy>=2  # arrays\n\nattrs\n")
    assert read_requirements(file) == ("numpy>=2", "attrs")
    file.write_text("numpy\n--index-url x\n")
    with pytest.raises(UsageError, match=r"requirements.txt:2"):
        read_requirements(file)


def test_a_script_may_import_what_its_requirements_provide(wheels: Path, tmp_path: Path) -> None:
    """Modules of the vendored wheels are no missing modules; others still are."""
    script = tmp_path / "run.py"
    script.write_text("import helper, pure, sys\n")
    files = gather(script, requirements=Requirements(("pure",), (LINUX,), "", wheels))
    assert files.descriptor.lock == "pylock.toml"
    assert files.descriptor.needs.python == f">=3.{sys.version_info.minor}"
    assert files.warnings == ()
    with pytest.raises(PackingError, match="pure is not in"):
        gather(script, requirements=Requirements(("helper",), (LINUX,), "", wheels))


def test_a_module_that_one_platform_lacks_is_a_warning(wheels: Path, tmp_path: Path) -> None:
    """It names the platform: tasks fail only there."""
    make_wheel(wheels, "both", {"both.py": ""}, requires=["helper; sys_platform == 'win32'"])
    script = tmp_path / "run.py"
    script.write_text("import both, helper\n")
    files = gather(script, requirements=Requirements(("both",), (LINUX, WINDOWS), "3.12", wheels))
    assert files.warnings == (
        "run.py:1: helper has no wheel for linux-x86_64; a task that imports it there fails",
    )


def test_a_folder_is_told_the_lines_that_its_descriptor_lacks(wheels: Path, tmp_path: Path) -> None:
    """Its own job.toml is never rewritten: with the lines that the refusal names, it is accepted."""
    job = tmp_path / "job"
    job.mkdir()
    toml = 'name = "x"\nruntime = "python"\nentry = "run.py"\n'
    (job / "job.toml").write_text(toml)
    (job / "run.py").write_text("import built\n")
    requirements = Requirements(("built",), (LINUX, MAC), "3.11", wheels)
    with pytest.raises(PackingError) as refused:
        gather(job, requirements=requirements)
    lines = refused.value.faults[-1].partition("\n\n")[2]
    (job / "job.toml").write_text(toml + lines)
    files = gather(job, requirements=requirements)
    assert files.descriptor.unneeded_files(LINUX) == {
        "wheels/macos-aarch64/built-1.0-cp311-cp311-macosx_11_0_arm64.whl"
    }
    assert (job / "job.toml").read_text() == toml + lines


def test_wheels_that_lie_in_the_folder_count_and_are_checked(wheels: Path, tmp_path: Path) -> None:
    """A folder that has its lock and wheels needs no requirements; a wheel that is another is refused."""
    job = tmp_path / "job"
    vendored = vendor(Requirements(("helper",), (LINUX,), "3.12", wheels))
    for file in vendored.files:
        (job / file.name).parent.mkdir(parents=True, exist_ok=True)
        (job / file.name).write_bytes(b"".join(file.chunks()))
    toml = 'name = "x"\nruntime = "python"\nentry = "run.py"\n'
    (job / "job.toml").write_text(toml + vendored.lines)
    (job / "run.py").write_text("import helper\n")
    assert gather(job).warnings == ()
    make_wheel(job / "wheels", "helper", {"helper.py": "VALUE = 8\n"})
    with pytest.raises(PackingError, match="SHA-256 differs"):
        gather(job)
