"""The whole path: a signed job goes in at one end and its picture comes out at the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import Cluster, running_cluster
from jobs import HEIGHT, WIDTH, band, write_mandelbrot

from rjs.cli.example import example_module

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c")) as made:
        yield made


def test_the_picture_is_the_one_of_a_single_process(cluster: Cluster, tmp_path: Path) -> None:
    """Eight answers, each verified, make pixel for pixel the picture that one process computes."""
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "mandelbrot")))
    answers = cluster.ada.answers(job, tasks=8)
    splice = example_module("mandelbrot", "splice").splice
    picture = splice([answers[task].files["out/band.ppm"] for task in range(8)])
    alone = splice([band(0, 1)])
    assert picture.size == alone.size == (WIDTH, HEIGHT)
    assert picture.tobytes() == alone.tobytes()
    shown = cluster.ada.wait_until(job, "done")
    assert (shown["job"]["committed"], shown["job"]["failed"], shown["job"]["running"]) == (8, 0, 0)
    cluster.quiet()


def test_answers_verify_with_the_command(cluster: Cluster, tmp_path: Path) -> None:
    """What is delivered stands by itself: `rjs verify --answer` accepts it, and as no answer of another root."""
    job = cluster.ada.place(cluster.ada.pack(write_mandelbrot(tmp_path / "verified", tasks=2)))
    cluster.ada.answers(job, tasks=2)
    for path in cluster.ada.delivered(job).values():
        done = cluster.rjs("verify", "--answer", path, "--trust", cluster.root)
        assert done.stdout.startswith("accepted: ")
    stranger = tmp_path / "stranger"
    cluster.rjs("ca", "init", stranger)
    done = cluster.rjs("verify", "--answer", path, "--trust", stranger / "root.pem", status=1)
    assert done.stderr.startswith("refused: path: ")


def test_submitting_over_the_session_is_the_same(cluster: Cluster, tmp_path: Path) -> None:
    """`rjs submit` of a folder packs, signs, sends it and prints the job's id; the answers come to ans/."""
    job = cluster.ada.rjs("submit", write_mandelbrot(tmp_path / "sent", tasks=2)).stdout.strip()
    answers = cluster.ada.answers(job, tasks=2)
    assert [answers[task].files["out/band.ppm"] for task in range(2)] == [band(0, 2), band(1, 2)]
