"""``rjs submit`` of whatever it packs, on a real cluster: each kind of job comes back with its answer."""

from __future__ import annotations

import json
import platform
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster
from jdk import run
from jobs import write_job

pytestmark = pytest.mark.integration

HERE = {"x86_64": "linux-x86_64", "aarch64": "linux-aarch64"}[platform.machine()]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c")) as made:
        yield made


def test_java_classes_are_packed_sent_and_run(cluster: Cluster, tmp_path: Path) -> None:
    """Classes as ``javac`` left them, of which the main class reaches two."""
    (tmp_path / "Main.java").write_text(
        "class Main { public static void main(String[] a) { System.out.println(Other.text()); } }\n"
        'class Other { static String text() { return "hello from Java"; } } class Unused {}\n'
    )
    run("javac", "--release", "11", "-d", tmp_path / "classes", tmp_path / "Main.java")
    done = cluster.ada.rjs("submit", tmp_path / "classes", "--main-class", "Main")
    assert "left out: classes: Unused.class" in done.stderr
    answers = cluster.ada.answers(done.stdout.strip(), tasks=1)
    assert answers[0].files["stdout.txt"] == b"hello from Java\n"


def test_an_executable_of_this_platform_runs(cluster: Cluster, tmp_path: Path) -> None:
    """A real ELF, and data that goes along; what is large is sent with a word about how far it is."""
    shutil.copy("/usr/bin/env", tmp_path / "show")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/noise.bin").write_bytes(random.Random(1).randbytes(9 << 20))
    done = cluster.ada.rjs("submit", tmp_path / "data", "--native", f"{HERE}={tmp_path / 'show'}")
    assert "uploading (KiB): " in done.stderr
    job = done.stdout.strip()
    answers = cluster.ada.answers(job, tasks=1)
    shown = cluster.ada.rjs("status", job)
    assert f"open what you fetched: rjs open ans/{job[:16]}/0.jar" in shown.stderr
    assert b"RJS_TASK_INDEX=0" in answers[0].files["stdout.txt"].splitlines()


def test_the_same_bundle_is_no_second_job(cluster: Cluster, tmp_path: Path) -> None:
    """Sent again, it is known, as what it is by now, and how to run it again is said; its id is printed as ever."""
    bundle = cluster.ada.pack(write_job(tmp_path / "hello", "print(1)"))
    first = cluster.ada.rjs("submit", bundle)
    assert "accepted: 1 task; watch it with: " in first.stderr
    cluster.ada.answers(first.stdout.strip(), tasks=1)
    again = cluster.ada.rjs("submit", bundle)
    assert again.stdout == first.stdout
    assert "accepted" not in again.stderr
    assert "known already, and done: watch it with: " in again.stderr
    assert f"sign it anew: rjs sign {bundle} --job" in again.stderr
    assert json.loads(cluster.ada.rjs("submit", bundle, "--json").stdout)["known"] is True
