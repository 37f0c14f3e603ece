"""Java and native jobs, whole: real `javac`, `jar` and `jarsigner`, and the same picture as in Python."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cluster import Answered, Cluster, Person, running_cluster
from jdk import run, sign_with_jarsigner
from jobs import HEIGHT, WIDTH, band

from rjs.bundle.testing import Party
from rjs.cli.example import example_module
from rjs.identity.folder import IdentityFolder

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "mandelbrot_java"
DESCRIPTOR = "JNLP-INF/APPLICATION.JNLP"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1", "cs2"]) as made:
        yield made


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, compiled."""
    folder = tmp_path_factory.mktemp("classes")
    run("javac", "--release", "11", "-d", folder, EXAMPLE / "Mandelbrot.java")
    return folder


def jar(path: Path, classes: Path, *options: str, files: Mapping[str, str] = {}) -> Path:
    """A JAR of the classes and ``files``, made by ``jar``."""
    folder = path.parent / f"{path.stem}-content"
    shutil.copytree(classes, folder)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    run("jar", "--create", "--file", path, *options, "-C", folder, ".")
    return path


def sign(path: Path, person: Person) -> Path:
    """The JAR, signed by ``jarsigner`` with the person's own key."""
    identity = IdentityFolder(person.identity).signing()
    store = path.parent / f"{path.stem}-store"
    store.mkdir()
    sign_with_jarsigner(path, Party(identity.key, tuple(identity.chain)), store)
    return path


def bands(answers: Mapping[int, Answered], tasks: int) -> list[bytes]:
    """The picture in each task's answer JAR, which it left in ``rjs/`` of its home."""
    found = []
    for task in range(tasks):
        content = answers[task].files[f"out/band-{task}.jar"]
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            found.append(archive.read("band.ppm"))
    return found


def check_picture(answers: Mapping[int, Answered], tasks: int) -> None:
    """Pixel for pixel what one process of the Python example computes."""
    splice = example_module("mandelbrot", "splice").splice
    picture, alone = splice(bands(answers, tasks)), splice([band(0, 1)])
    assert picture.size == (WIDTH, HEIGHT)
    assert picture.tobytes() == alone.tobytes()


def small_job_toml() -> str:
    """The example's job.toml, for the small picture."""
    toml = (EXAMPLE / "job.toml").read_text()
    assert toml.count('"{count}"') == 1
    return toml.replace('"{count}"', f'"{{count}}", "{WIDTH}", "{HEIGHT}"')


def small_jnlp() -> str:
    """The example's JNLP file, for the small picture."""
    jnlp = (EXAMPLE / "mandelbrot.jnlp").read_text()
    assert jnlp.count("  </application-desc>") == 1
    sizes = f"    <argument>{WIDTH}</argument><argument>{HEIGHT}</argument>\n"
    return jnlp.replace("  </application-desc>", f"{sizes}  </application-desc>")


def test_every_compute_server_says_which_java_it_has(cluster: Cluster) -> None:
    """In its status, for its owner."""
    shown = json.loads(cluster.rjs("cs", "status", cluster["cs1"].folder, "--json").stdout)
    assert "/java" in shown["java"]


def test_the_picture_by_job_toml(cluster: Cluster, classes: Path, tmp_path: Path) -> None:
    """Signed by ``jarsigner`` alone, computed by Java in eight tasks, the same picture."""
    bundle = sign(
        jar(tmp_path / "mandelbrot.jar", classes, files={"job.toml": small_job_toml()}), cluster.ada
    )
    job = cluster.ada.place(bundle)
    check_picture(cluster.ada.answers(job, tasks=8), 8)
    cluster.quiet()


def test_the_picture_by_jnlp(cluster: Cluster, classes: Path, tmp_path: Path) -> None:
    """The descriptor of 2006, inside the JAR."""
    bundle = sign(jar(tmp_path / "webstart.jar", classes, files={DESCRIPTOR: small_jnlp()}), cluster.ada)
    job = cluster.ada.place(bundle)
    answers = cluster.ada.answers(job, tasks=8)
    check_picture(answers, 8)
    assert cluster.ada.status(job)["job"]["name"] == "mandelbrot in Java"
    assert {answers[task].receipt.limits["memory"] for task in range(8)} == {128 * 2**20}


def test_a_jnlp_file_beside_its_jars(cluster: Cluster, classes: Path, tmp_path: Path) -> None:
    """Uploaded as in 2006: the .jnlp, the main JAR, and one with the classes under libs/."""
    jnlp = small_jnlp().replace("mandelbrot.jar", "main.jar")
    jnlp = jnlp.replace("</resources>", '  <jar href="libs/classes.jar"/>\n  </resources>')
    (tmp_path / "empty").mkdir()
    main = sign(jar(tmp_path / "main.jar", tmp_path / "empty", files={DESCRIPTOR: jnlp}), cluster.ada)
    further = sign(jar(tmp_path / "classes.jar", classes), cluster.ada)
    (tmp_path / "picture.jnlp").write_text(jnlp)
    (cluster.ada.jobs / "libs").mkdir()
    for path, name in (
        (tmp_path / "picture.jnlp", "picture.jnlp"),
        (further, "libs/classes.jar"),
        (main, "main.jar"),
    ):
        place(cluster.ada, path, name)
    job = cluster.ada.accepted("picture.jnlp")
    check_picture(cluster.ada.answers(job, tasks=8), 8)


def place(person: Person, path: Path, name: str) -> None:
    """Put a file below ``jobs/``, whole at once."""
    target = person.jobs / name
    hidden = target.with_name(f".{target.name}.upload")
    shutil.copyfile(path, hidden)
    hidden.rename(target)


def test_a_jar_with_a_main_class_alone(cluster: Cluster, tmp_path: Path) -> None:
    """No descriptor at all: one task, without arguments; what it prints is in the answer."""
    (tmp_path / "Hello.java").write_text(
        'public class Hello { public static void main(String[] a) { System.out.println("hello " + a.length); } }'
    )
    run("javac", "-d", tmp_path / "hello", tmp_path / "Hello.java")
    bundle = sign(jar(tmp_path / "hello.jar", tmp_path / "hello", "--main-class", "Hello"), cluster.ada)
    job = cluster.ada.place(bundle)
    assert cluster.ada.answers(job, tasks=1)[0].files["stdout.txt"] == b"hello 0\n"
    assert cluster.ada.status(job)["job"]["name"] == "Hello"


def test_a_program_that_needs_too_much_fails_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    """Its error reaches the submitter's eyes; the task is tried as often as stated, then failed."""
    (tmp_path / "Greedy.java").write_text(
        "public class Greedy { public static void main(String[] a) { long[][] kept = new long[99999][];"
        " for (int i = 0; ; i++) kept[i] = new long[100000]; } }"
    )
    run("javac", "-d", tmp_path / "greedy", tmp_path / "Greedy.java")
    toml = 'name = "greedy"\nruntime = "java"\nentry = "Greedy"\nattempts = 1\n[needs]\nmemory = "96 MiB"\n'
    bundle = sign(jar(tmp_path / "greedy.jar", tmp_path / "greedy", files={"job.toml": toml}), cluster.ada)
    job = cluster.ada.place(bundle)
    shown = cluster.ada.wait_until(job, "failed")
    assert "OutOfMemoryError" in json.dumps(shown)


def test_the_page_works_as_it_stands(cluster: Cluster, tmp_path: Path) -> None:
    """The commands of docs/java.md and of the example's README lead to the picture, whole and in full size."""
    (tmp_path / "examples").symlink_to(EXAMPLE.parent)
    (tmp_path / "home" / ".config").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "rjs").symlink_to(cluster.ada.folder)
    packing, signing = shell_blocks(ROOT / "docs" / "java.md")
    again, splicing = shell_blocks(EXAMPLE / "README.md")
    assert again == packing
    upload = signing[signing.index("scp ") :]
    signed, job = shell(packing, tmp_path).split()
    assert signed == job
    shell(signing.removesuffix(upload), tmp_path)
    second = cluster.ada.place(tmp_path / "again.jar")
    cluster.ada.answers(job, tasks=8)
    for task, path in cluster.ada.delivered(job).items():
        shutil.copy(path, tmp_path / f"{task}.jar")
    shell(splicing, tmp_path)
    assert (tmp_path / "mandelbrot.png").read_bytes().startswith(b"\x89PNG")
    assert second != job
    cluster.ada.answers(second, tasks=8)


def shell_blocks(page: Path) -> list[str]:
    """The ``sh`` blocks of a Markdown page."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def shell(script: str, folder: Path) -> str:
    """What the script says on stdout; each of its commands must end well."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(folder / "home"), "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_native_job(cluster: Cluster, tmp_path: Path) -> None:
    """A compiled program for this platform, and something else for another, which is not run here."""
    folder = tmp_path / "native"
    folder.mkdir()
    (tmp_path / "sum.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n"
        'int main(int n, char **a) { FILE *f = fopen("out/sum.txt", "w");\n'
        'fprintf(f, "%d", atoi(a[1]) + atoi(a[2])); return fclose(f); }\n'
    )
    subprocess.run(["cc", "-o", folder / "sum", tmp_path / "sum.c"], check=True, timeout=60)
    (folder / "sum.cmd").write_text("rem for another system")
    (folder / "sum.cmd").chmod(0o755)
    (folder / "job.toml").write_text(
        'name = "sum"\nruntime = "native"\ntasks = 3\nargs = ["{index}", "{count}"]\n[needs]\nmemory = "64 MiB"\n'
        '[[resources]]\nos = "linux"\nfiles = ["sum"]\nentry = "sum"\n'
        '[[resources]]\nos = "windows"\nfiles = ["sum.cmd"]\nentry = "sum.cmd"\n'
    )
    job = cluster.ada.place(cluster.ada.pack(folder))
    answers = cluster.ada.answers(job, tasks=3)
    assert [answers[task].files["out/sum.txt"] for task in range(3)] == [b"3", b"4", b"5"]
