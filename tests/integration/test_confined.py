"""Confined jobs, whole: every runtime, in the sandbox that a compute server of default settings makes."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import files as installed_files
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from cluster import Answered, Cluster, running_cluster, wait_for
from jdk import run
from wheelhouse import make_wheel

pytestmark = pytest.mark.integration

MACHINE = platform.machine()
PYTHON = f"cp3{sys.version_info.minor}"

SEEN = """
import json, os, socket, sys
from pathlib import Path

def seen():
    return {
        "argv": sys.argv, "cwd": os.getcwd(), "home": os.environ["HOME"], "uid": os.getuid(),
        "host": socket.gethostname(), "root": sorted(os.listdir("/")), "work": sorted(os.listdir("/work")),
        "environment": dict(os.environ), "paths": sys.path, "loaded": sorted(sys.modules),
        "processes": [name for name in os.listdir("/proc") if name.isdigit()],
        "links": [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line],
    }
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("c"), ["cs1"], confined=True) as made:
        assert made["cs1"].document()["confined"]
        yield made
        made.quiet()


def job(folder: Path, files: Mapping[str, str | bytes], runtime: str, entry: str, more: str = "") -> Path:
    """A job folder. Files that begin with ``#!`` can be executed."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if path.read_bytes().startswith(b"#!"):
            path.chmod(0o755)
    (folder / "job.toml").write_text(
        f'name = "{folder.name}"\nruntime = "{runtime}"\nentry = "{entry}"\n{more}'
    )
    return folder


def answers(cluster: Cluster, folder: Path, tasks: int = 1) -> dict[int, Answered]:
    return cluster.ada.answers(cluster.ada.place(cluster.ada.pack(folder)), tasks)


def failure(cluster: Cluster, folder: Path) -> dict[str, Any]:
    """What the status of a job says whose one task fails."""
    identity = cluster.ada.place(cluster.ada.pack(folder))
    cluster.ada.wait_until(identity, "failed")
    shown = cluster.ada.rjs("status", identity).stdout
    task: dict[str, Any]
    (task,) = cluster.ada.status(identity)["tasks"]
    assert " ".join(task["detail"].split())[:60] in " ".join(shown.split())
    return task


def test_a_python_script(cluster: Cluster, tmp_path: Path) -> None:
    """It is in its folder, which is its home; it has its arguments, sees its own processes alone, and no network but
    its own loopback; its outputs and what it prints are its answer."""
    script = SEEN + (
        "import beside\nfrom rjs import task\ntask.progress(0.5, 'half')\n"
        "Path(os.environ['RJS_OUTPUT'], 'seen.json').write_text(json.dumps(seen()))\n"
        "print(task.index, task.count, beside.HERE, open(__file__).read()[:1] == chr(10))\n"
    )
    files = {"in/run.py": script, "in/beside.py": "HERE = __name__", "data": "x"}
    more = 'args = ["--part", "{index}"]\ntasks = 2\n'
    found = answers(cluster, job(tmp_path / "j", files, "python", "in/run.py", more), tasks=2)
    for task in range(2):
        assert found[task].files["stdout.txt"] == f"{task} 2 beside True\n".encode()
        seen = json.loads(found[task].files["out/seen.json"])
        assert seen["argv"] == ["/work/job/in/run.py", "--part", str(task)]
        assert (seen["cwd"], seen["home"], seen["host"], seen["uid"]) == (
            "/work/job",
            "/work/job",
            "rjs",
            1000,
        )
        assert seen["environment"]["TMPDIR"] == "/work/tmp" and seen["paths"][0] == "/work/job/in"
        assert {"home", "root", "var", "srv", "mnt", "boot", "sys", "run"}.isdisjoint(
            set(seen["root"]) - {"root" if any(path.startswith("/root/") for path in seen["paths"]) else ""}
        )
        assert seen["work"] == ["checkpoint", "jars", "job", "tmp"] or seen["work"] == [
            "checkpoint",
            "job",
            "tmp",
        ]
        assert len(seen["processes"]) == 2 and "1" in seen["processes"] and seen["links"] == ["lo"]
        assert str(cluster.folder) not in json.dumps(seen)
        limits = found[task].receipt.limits
        assert limits["processes"] == 256 and limits["descriptors"] == 1024 and limits["disk"] > 2**30
        assert {"memory", "wall_time", "cpu_time", "file_size", "output", "files"} <= set(limits)


def test_a_function_and_a_program_of_its_own(cluster: Cluster, tmp_path: Path) -> None:
    """A function is called as a console script; a native program is executed with inside paths alone."""
    code = SEEN + "def main():\n    Path('out/seen.json').write_text(json.dumps(seen()))\n    return 0\n"
    function = job(tmp_path / "f", {"pack/__init__.py": "", "pack/cli.py": code}, "python", "pack.cli:main")
    seen = json.loads(answers(cluster, function)[0].files["out/seen.json"])
    assert seen["argv"] == ["pack.cli:main"] and seen["paths"][0] == "/work/job"
    program = '#!/bin/sh\necho "$0 $1 $HOME $(pwd)"; cat /etc/passwd > out/passwd; touch $TMPDIR/x /tmp/y\n'
    native = job(tmp_path / "n", {"bin/p": program}, "native", "bin/p", 'args = ["one"]\n')
    answer = answers(cluster, native)[0]
    assert answer.files["stdout.txt"] == b"/work/job/bin/p one /work/job /work/job\n"
    assert answer.files["out/passwd"] != Path("/etc/passwd").read_bytes()


def test_a_java_program(cluster: Cluster, tmp_path: Path) -> None:
    """By the machine's own virtual machine, with its home, temporary folder and class path inside."""
    (tmp_path / "Tell.java").write_text(
        "public class Tell { public static void main(String[] a) throws Exception {\n"
        '  for (String n : new String[] {"user.home", "java.io.tmpdir", "user.dir"})\n'
        "    System.out.println(System.getProperty(n));\n"
        '  java.nio.file.Files.writeString(java.nio.file.Path.of("out", "said"), String.join("|", a));\n'
        "  System.out.println(new java.security.SecureRandom().nextInt() != 7);\n}}"
    )
    run("javac", "-d", tmp_path / "classes", tmp_path / "Tell.java")
    files = {"Tell.class": (tmp_path / "classes" / "Tell.class").read_bytes()}
    more = 'args = ["one", "two words"]\n[needs]\nmemory = "256 MiB"\n'
    answer = answers(cluster, job(tmp_path / "j", files, "java", "Tell", more))[0]
    assert answer.files["stdout.txt"].split() == [b"/work/job", b"/work/tmp", b"/work/job", b"true"]
    assert answer.files["out/said"] == b"one|two words"


def test_packages_and_preloading(cluster: Cluster, tmp_path: Path) -> None:
    """A compiled package comes from the server's cache, read-only; one that is preloaded is there before the task."""
    compiled = {
        each.as_posix(): Path(str(each.locate())).read_bytes()
        for each in installed_files("msgspec") or ()
        if each.parts[0] == "msgspec" and each.suffix != ".pyc"
    }
    tag = f"{PYTHON}-{PYTHON}-linux_{MACHINE}"
    make_wheel(tmp_path / "wheels", "msgspec", compiled, version=version("msgspec"), tag=tag)
    script = SEEN + (
        "before = seen()['loaded']\nimport msgspec\n"
        "try:\n    Path(msgspec.__file__).write_text('x'); wrote = True\nexcept OSError:\n    wrote = False\n"
        "print(json.dumps(['msgspec._core' in before, msgspec.__file__, msgspec.json.decode(b'[1]'), wrote]))\n"
    )
    needs = f'[needs]\npython = "==3.{sys.version_info.minor}.*"\nos = ["linux"]\narch = ["{MACHINE}"]\n'
    more = f'tasks = 2\n{needs}[python]\nlock = "pylock.toml"\npreload = ["msgspec"]\n'
    folder = job(tmp_path / "j", {"run.py": script}, "python", "run.py", more)
    options = ("-r", "msgspec", "--platform", f"linux-{MACHINE}", "--find-links", str(tmp_path / "wheels"))
    found = cluster.ada.answers(cluster.ada.place(cluster.ada.pack(folder, *options)), 2)
    for task in range(2):
        said = json.loads(found[task].files["stdout.txt"])
        assert said == [True, "/wheels/0/msgspec/__init__.py", [1], False]


def test_a_token_and_the_door(cluster: Cluster, tmp_path: Path) -> None:
    """A job's token and its door work from inside, where the door is the only socket that there is."""
    script = """
import json, os
from rjs import task
token = task.token()
with task.door() as door:
    door.write_output("by-door.txt", door.read_input("data"))
    door.write_checkpoint("state", b"1")
doors = os.environ["RJS_DOOR"], os.listdir("/doors")
try:
    open("/doors/mine", "w")
except OSError as error:
    refused = error.errno
print(json.dumps([token.name, doors, refused, open("out/by-door.txt").read()]))
"""
    folder = job(tmp_path / "j", {"run.py": script, "data": "of the bundle"}, "python", "run.py")
    answer = answers(cluster, folder)[0]
    name, (door, doors), refused, read = json.loads(answer.files["stdout.txt"])
    assert name.startswith("rjs://job/") and door == f"/doors/{doors[0]}" and len(doors) == 1
    assert refused == 30 and read == "of the bundle"
    assert answer.files["out/by-door.txt"] == b"of the bundle"
    cluster.quiet()
    assert [each for each in (cluster["cs1"].folder / "doors").rglob("*") if not each.is_dir()] == []


PLANTING = """
import os, sys
from pathlib import Path
left = sorted(str(path) for path in Path("/work").rglob("*"))
try:
    os.rename("/work", "/away")
except OSError as error:
    left.append(f"no {error.errno}")
Path("out/left.txt").write_text("\\n".join(left))
os.symlink("/usr", "/work/stdout.txt")
os.rename("/work/tmp", "/work/elsewhere")
os.symlink("/etc", "/work/tmp")
os.makedirs("/work/task/job/out")
for number in range(3000):
    Path(f"/work/checkpoint/{number}").touch()
os.setxattr("/work", "user.mark", b"x")
os.chmod("/work/checkpoint", 0)
os.chmod("/work", 0o500)
"""


def test_what_a_task_plants_is_not_the_next_ones(cluster: Cluster, tmp_path: Path) -> None:
    """Each task of a bundle begins in the folder that the first one had, however the one before left it."""
    folder = job(tmp_path / "j", {"run.py": PLANTING}, "python", "run.py", "tasks = 4\n")
    found = answers(cluster, folder, tasks=4)
    (left,) = {found[task].files["out/left.txt"] for task in range(4)}
    assert b"elsewhere" not in left and b"no " in left and b"/work/job/run.py" in left


def test_a_fresh_sandbox_for_each_task(cluster: Cluster, tmp_path: Path) -> None:
    """With isolation for each task none finds the sandbox of another; otherwise they follow each other in one."""
    script = "import os\nprint(os.readlink('/proc/1/ns/pid') if 0 else os.stat('/tmp').st_dev, os.getpid())\n"
    pids = {}
    for isolation in ("task", "bundle"):
        more = f'tasks = 4\nisolation = "{isolation}"\n'
        found = answers(
            cluster, job(tmp_path / isolation, {"run.py": script}, "python", "run.py", more), tasks=4
        )
        pids[isolation] = sorted(int(found[task].files["stdout.txt"].split()[1]) for task in range(4))
    assert len(set(pids["task"])) == 1, "the first process of each"
    assert len(set(pids["bundle"])) == 4


@pytest.mark.parametrize(
    ("name", "script", "needs", "words"),
    [
        ("disk", "for n in range(1000): open(f'out/{n}', 'wb').write(bytes(1 << 20))", 'disk = "20 MiB"', "of disk"),
        ("files", "for n in range(10**7): open(f'out/{n}', 'w').close()", "files = 500", "files on disk after"),
        ("cpu_time", "while True: pass", "cpu_time = 2", "of processor time after"),
        ("memory", "x = [b'x' * (1 << 20) for _ in range(4000)]", 'memory = "64 MiB"', "of memory after"),
        ("wall_time", "import time\ntime.sleep(60)", "wall_time = 1", "of time by the clock after"),
    ],
)  # fmt: skip
def test_a_limit_explains_itself(
    cluster: Cluster, tmp_path: Path, name: str, script: str, needs: str, words: str
) -> None:
    """What was used of what was allowed, after how long, and what to do, where the person looks."""
    folder = job(tmp_path / name, {"run.py": script}, "python", "run.py", f"attempts = 1\n[needs]\n{needs}\n")
    detail = failure(cluster, folder)["detail"]
    assert "killed: used " in detail and words in detail and f"raise needs.{name}" in detail


def test_nothing_is_left_when_the_server_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    """Neither a process nor, at the next start, a file; and the task is done all the same."""
    script = "import subprocess, time\nsubprocess.Popen(['/bin/sleep', '300'])\nopen('out/x', 'w')\ntime.sleep(3)\n"
    identity = cluster.ada.place(
        cluster.ada.pack(job(tmp_path / "j", {"run.py": script}, "python", "run.py"))
    )
    server = cluster["cs1"]
    wait_for(lambda: cluster.running(identity), story=cluster.story)
    server.kill()  # returns when all processes below it are gone
    assert list(server.folder.glob("clusters/*/work/*/task/job/run.py"))
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(server.folder) not in mounts
    server.start()
    assert list(server.folder.glob("clusters/*/work/*")) == list(server.folder.glob("doors/*")) == []
    cluster.ada.answers(identity, 1)


def test_a_job_that_requires_a_sandbox(cluster: Cluster, tmp_path: Path) -> None:
    """It runs where there is one; where there is none it waits, and says for what."""
    needing = '[needs]\nsandbox = "namespaces"\n'
    folder = job(tmp_path / "j", {"run.py": "print(1)"}, "python", "run.py", needing)
    assert answers(cluster, folder)[0].files["stdout.txt"] == b"1\n"
    server = cluster["cs1"]
    server.stop()
    config = server.folder / "config.toml"
    before = config.read_text()
    lines = [line for line in before.splitlines() if not line.startswith(("sandbox =", "unconfined ="))]
    config.write_text("\n".join(['sandbox = "none"', 'unconfined = "i accept"', *lines]) + "\n")
    server.start()
    assert not server.document()["confined"]
    identity = cluster.ada.place(cluster.ada.pack(folder))
    wait_for(
        lambda: "it needs a sandbox ('namespaces'); there is none" in cluster.ada.rjs("why", identity).stdout,
        story=cluster.story,
    )
    server.stop()
    config.write_text(before)
    server.start()
    cluster.ada.answers(identity, 1)
