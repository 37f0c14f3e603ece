"""``rjs submit`` of whatever it packs, on a real cluster: each kind of job comes back with its answer."""

from __future__ import annotations

import platform
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster
from jdk import run

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
    answers = cluster.ada.answers(done.stdout.strip(), tasks=1)
    assert b"RJS_TASK_INDEX=0" in answers[0].files["stdout.txt"].splitlines()
