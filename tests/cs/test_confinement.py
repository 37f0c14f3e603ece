"""Attempts as their sandboxes see them: paths, mounts, and what makes two of them share a cell."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import msgspec
from samples import attempt

from cs.attempt import request_of
from cs.confinement import sandbox_of, view_of
from cs.java import Java
from cs.prepared import JarFolder, Prepared
from cs.sandbox.plan import Bind
from cs.sandbox_choice import Walls
from cs.spawner.messages import Sandbox
from cs.workplace import Workplace
from rjs.bundle.manifest import Digest
from rjs.descriptor.model import Descriptor, Permissions
from rjs.limits import GIB, MIB
from rjs.needs import Needs, Offer

WALLS = Walls(
    "own", (Bind("/usr", "/usr"),), "/usr/lib/jvm/x/bin/java", (Bind("/p/six.py", "/packages/six.py"),)
)
ENTRY = SimpleNamespace(executable=True, digest=Digest("sha256", bytes(32)))


def prepared(number: int = 1, **descriptor: Any) -> Prepared:
    """An attempt at a Python job with two wheels, a library and a door."""
    told = {"name": "j", "runtime": "python", "entry": "in/run.py"} | descriptor
    bundle = SimpleNamespace(entries={"in/run.py": ENTRY}, main_headers={})
    return Prepared(
        attempt(number), Workplace(Path("/s/work"), attempt(number)), cast(Any, bundle), Descriptor(**told),
        arguments=("-x",), paths=(Path("/s/wheels/aa"), Path("/s/wheels/bb")), library=Path("/s/python"),
        door=Path("/s/doors/1a2b/7"), walls=WALLS, offer=Offer(memory=GIB, cores=1),
    )  # fmt: skip


def sandbox(made: Prepared) -> Sandbox:
    found = sandbox_of(made, 64 * MIB)
    assert found is not None
    return found


def test_everything_that_a_task_is_told_is_inside() -> None:
    """Working folder, environment, script and paths; the host's paths are for the spawner alone."""
    run = request_of(prepared())
    assert run.cwd == "/work/job" and run.argv == ()
    assert run.script is not None and (run.script.entry, run.script.arguments) == (
        "/work/job/in/run.py",
        ("-x",),
    )
    inside = {
        name: run.environment[name] for name in ("HOME", "TMPDIR", "RJS_OUTPUT", "RJS_DOOR", "PYTHONPATH")
    }
    assert inside == {
        "HOME": "/work/job", "TMPDIR": "/work/tmp", "RJS_OUTPUT": "/work/job/out", "RJS_DOOR": "/doors/7",
        "PYTHONPATH": "/rjs",
    }  # fmt: skip
    assert not any("/s/" in value for value in run.environment.values())
    assert run.stdout.startswith("/s/work/") and run.sweep == str(prepared().workplace.task)


def test_what_is_ours_is_not_inside() -> None:
    """The streams, the door's staging and the sealed answer lie beside the one folder that a task can write to."""
    made = prepared()
    writable = [wall.source for wall in sandbox(made).binds if wall.writable]
    assert writable == [str(made.workplace.task)]
    for ours in (made.workplace.stdout, made.workplace.stderr, made.workplace.staging):
        assert made.workplace.task not in ours.parents and view_of(made).path(ours) == ours


def test_attempts_of_one_bundle_share_a_cell() -> None:
    """Another task and another attempt do; another bundle, other wheels, another folder of doors do not."""
    first = sandbox(prepared())
    assert first == sandbox(prepared(2, entry="in/run.py"))
    other = prepared()
    others = [
        attrs.evolve(other, paths=other.paths[:1]),
        attrs.evolve(other, paths=other.paths[::-1]),
        attrs.evolve(other, door=Path("/s/doors/ffff/7")),
        prepared(isolated=True), prepared(preload=("numpy",)),
        prepared(permissions=Permissions(network=("example.org:443",))),
        attrs.evolve(other, attempt=msgspec.structs.replace(other.attempt, job="f" * 64)),
    ]  # fmt: skip
    assert all(sandbox(each) != first for each in others)
    assert sandbox(others[3]).fresh and sandbox(others[5]).network
    assert first.python_paths == ("/wheels/0", "/wheels/1")


def test_java_and_native_programs_are_called_inside() -> None:
    """The machine's Java by its real path, its folders inside; a native program by its path there."""
    java = prepared(runtime="java", entry="Main", needs=Needs(memory=256 * MIB, runtime="java"))
    java = attrs.evolve(
        java, java=Java(Path("/usr/bin/java"), 17), jars=(JarFolder(java.workplace.jars / "0"),)
    )
    run = request_of(java)
    assert run.script is None and run.argv[0] == WALLS.java
    assert "-Duser.home=/work/job" in run.argv and "-Djava.io.tmpdir=/work/tmp" in run.argv
    assert run.argv[run.argv.index("-cp") + 1] == ".:../jars/0" and not any(
        "/s/" in word for word in run.argv
    )
    native = request_of(prepared(runtime="native", entry="in/run.py"))
    assert native.argv == ("/work/job/in/run.py", "-x") and "PYTHONPATH" not in native.environment


def test_without_walls_all_is_where_it_is() -> None:
    """An unconfined task knows the host's paths."""
    made = attrs.evolve(prepared(), walls=None)
    run = request_of(made)
    assert run.sandbox is None and run.script is None and run.cwd == str(made.workplace.job)
    assert run.environment["RJS_DOOR"] == "/s/doors/1a2b/7" and run.argv[-2].endswith("in/run.py")
