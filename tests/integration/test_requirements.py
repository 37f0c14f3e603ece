"""Python jobs with third-party packages, from a person's command to an answer, on real servers without any index."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import files as installed_files
from importlib.metadata import version
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster
from wheelhouse import make_wheel

from rjs.limits import MIB

pytestmark = pytest.mark.integration

LARGE = 3 * MIB
MACHINE = platform.machine()
HERE, ELSEWHERE = f"linux-{MACHINE}", "windows-x86_64"
PYTHON = f"cp3{sys.version_info.minor}"
SCRIPT = """
import json, os, pathlib, sys
import msgspec, placed
found = {
    "decoded": msgspec.json.decode(b'[1, 2]'), "compiled": msgspec._core.__file__, "placed": placed.WHERE,
    "files": sorted(str(path) for path in pathlib.Path().rglob("*") if path.is_file()),
    "writable": [entry for entry in sys.path if entry.startswith(os.path.dirname(os.path.dirname(msgspec.__file__)))
                 and os.stat(entry).st_mode & 0o222],
}
pathlib.Path("out/found.json").write_text(json.dumps(found))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c")) as made:
        yield made


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compiled package as it is installed here, and one with a large wheel for each of two platforms."""
    folder = tmp_path_factory.mktemp("wheels")
    compiled = {
        each.as_posix(): Path(str(each.locate())).read_bytes()
        for each in installed_files("msgspec") or ()
        if each.parts[0] == "msgspec" and each.suffix != ".pyc"
    }
    assert any(name.endswith(".so") for name in compiled)
    make_wheel(
        folder, "msgspec", compiled, version=version("msgspec"), tag=f"{PYTHON}-{PYTHON}-linux_{MACHINE}"
    )
    for tag, where, data in (
        (f"linux_{MACHINE}", "here", b""),
        ("win_amd64", "elsewhere", os.urandom(LARGE)),
    ):
        files: dict[str, bytes | str] = {"placed.py": f"WHERE = {where!r}\n", "placed.bin": data}
        make_wheel(folder, "placed", files, tag=f"py3-none-{tag}")
    return folder


def test_a_compiled_package_is_imported_on_a_compute_server(
    cluster: Cluster, wheels: Path, tmp_path: Path
) -> None:
    """Two tasks import it out of the server's cache; neither wheels nor what is for others lies in their folders."""
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    bundle = cluster.ada.pack(
        script,
        "--tasks",
        "2",
        "-r",
        "msgspec",
        "-r",
        "placed",
        "--platform",
        HERE,
        "--find-links",
        str(wheels),
    )
    answers = cluster.ada.answers(cluster.ada.place(bundle), tasks=2)
    found = [json.loads(answers[task].files["out/found.json"]) for task in range(2)]
    caches = {each.folder / "clusters" for each in cluster.compute_servers}
    for each in found:
        assert each["decoded"] == [1, 2]
        assert each["placed"] == "here"
        assert each["files"] == ["job.toml", "pylock.toml", "run.py"]
        assert each["writable"] == []
        assert any(Path(each["compiled"]).is_relative_to(cache) for cache in caches)
    cluster.quiet()


def test_wheels_for_another_platform_are_not_fetched(cluster: Cluster, wheels: Path, tmp_path: Path) -> None:
    """Of a package with a wheel for each of two platforms, a compute server fetches and unpacks its own."""
    script = tmp_path / "run.py"
    script.write_text("import pathlib, placed\npathlib.Path('out/where').write_text(placed.WHERE)\n")
    bundle = cluster.ada.pack(
        script, "-r", "placed", "--platform", HERE, "--platform", ELSEWHERE, "--find-links", str(wheels)
    )
    shown = cluster.ada.rjs("inspect", bundle).stdout
    assert "wheels/windows-x86_64/placed-1.0-py3-none-win_amd64.whl" in shown
    job = cluster.ada.place(bundle)
    answers = cluster.ada.answers(job, tasks=1)
    assert answers[0].files["out/where"] == b"here"
    assert bundle.stat().st_size > LARGE
    fetched = [
        path for each in cluster.compute_servers for path in each.folder.glob(f"clusters/*/cache/{job}.jar")
    ]
    assert fetched
    assert all(path.stat().st_blocks * 512 < LARGE // 2 for path in fetched)
    cluster.quiet()


def test_a_package_for_another_python_is_refused_before_it_is_sent(
    cluster: Cluster, wheels: Path, tmp_path: Path
) -> None:
    """The refusal names package, platform and Python, and no bundle is written."""
    script = tmp_path / "run.py"
    script.write_text("import msgspec\n")
    other = "3.12" if PYTHON == "cp311" else "3.11"
    done = cluster.ada.rjs(
        "pack",
        script,
        "-r",
        "msgspec",
        "--platform",
        HERE,
        "--python",
        other,
        "--find-links",
        wheels,
        status=1,
    )
    assert f"msgspec {version('msgspec')} has no wheel for {HERE} and Python {other}" in done.stderr
    assert not (tmp_path / "run.jar").exists()
