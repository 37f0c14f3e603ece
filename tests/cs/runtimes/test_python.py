"""How Python jobs are started: scripts and functions, with packages or without, and nothing of the server's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cs.prepared import Prepared
from cs.spawner.messages import Ended
from rjs.descriptor.model import Descriptor

Prepare = Callable[..., Prepared]
Run = Callable[[Prepared], tuple[Ended, str]]

TELL = """
import sys

def tell(status=None):
    import beside
    print(sys.argv, beside.__name__, "numpy" in sys.modules, sys.path[0].endswith("/job" + WHERE), __name__)
    return status
"""


def test_a_script(prepare: Prepare, run: Run) -> None:
    """It imports its neighbours, gets its arguments, and sees no package of the server's."""
    files = {"a/run.py": f"WHERE='/a'\n{TELL}\ntell()\nimport numpy", "a/beside.py": ""}
    descriptor = Descriptor(name="j", runtime="python", entry="a/run.py")
    prepared = prepare(files, descriptor, arguments=("-x", "two words", ""))
    ended, said = run(prepared)
    argv = [str(prepared.workplace.job / "a/run.py"), "-x", "two words", ""]
    assert said.startswith(f"{argv} beside False True __main__\n")
    assert "No module named 'numpy'" in said
    assert ended.exit_status == 1


def test_a_script_with_packages(prepare: Prepare, run: Run, tmp_path: Path) -> None:
    """They come last: neither the job's own modules nor the standard library are replaced by them."""
    (tmp_path / "site").mkdir()
    for name in ("lib", "beside", "json"):
        (tmp_path / "site" / f"{name}.py").write_text(f"print('{name} of site')")
    files = {"run.py": f"WHERE=''\n{TELL}\nimport lib, json\ntell()\nsys.exit(7)", "beside.py": ""}
    descriptor = Descriptor(name="j", runtime="python", entry="run.py")
    prepared = prepare(files, descriptor, arguments=("x",), paths=(tmp_path / "site",))
    ended, said = run(prepared)
    argv = [str(prepared.workplace.job / "run.py"), "x"]
    assert said == f"lib of site\n{argv} beside False True __main__\n"
    assert ended.exit_status == 7


def test_a_function(prepare: Prepare, run: Run) -> None:
    """Called as a console script calls it: what it returns is the exit status."""
    files = {
        "pack/__init__.py": "",
        "pack/main.py": f"WHERE=''\n{TELL}\ndef three():\n    return tell(3)",
        "beside.py": "",
    }
    descriptor = Descriptor(name="j", runtime="python", entry="pack.main:three")
    ended, said = run(prepare(files, descriptor, arguments=("-c", "1")))
    assert said == "['pack.main:three', '-c', '1'] beside False True pack.main\n"
    assert ended.exit_status == 3


def test_a_function_of_a_package(prepare: Prepare, run: Run, tmp_path: Path) -> None:
    """A third-party package's, and one that is an attribute of a class."""
    (tmp_path / "lib.py").write_text("class Tool:\n    main = staticmethod(lambda: 'no such file')")
    descriptor = Descriptor(name="j", runtime="python", entry="lib:Tool.main")
    ended, said = run(prepare({"data": ""}, descriptor, paths=(tmp_path,)))
    assert (ended.exit_status, said) == (1, "no such file\n")


def test_a_function_that_is_not_there(prepare: Prepare, run: Run) -> None:
    """The job fails, and says why."""
    ended, said = run(prepare({"m.py": ""}, Descriptor(name="j", runtime="python", entry="m:main")))
    assert ended.exit_status == 1
    assert "has no attribute 'main'" in said
