"""Which files a job reaches: exactly those that Python imports, and what is said about the rest."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rjs.child_python import JOB_PYTHON
from rjs.packing.tree import Tree
from rjs.packing.walk import Reached, reach

WriteFiles = Callable[[Mapping[str, str]], Path]
Reach = Callable[..., Reached]


@pytest.fixture
def reached(write_files: WriteFiles) -> Reach:
    """What ``run.py`` of these files reaches."""

    def walk(files: Mapping[str, str], entry: str = "run.py", **options: object) -> Reached:
        return reach(Tree(write_files(files)), entry, **options)  # type: ignore[arg-type]  # passed through

    return walk


def imported_by_python(folder: Path, entry: str) -> set[str]:
    """The files of ``folder`` that a real interpreter loads when it runs ``entry`` as a compute server does."""
    probe = (
        "import json, runpy, sys; sys.path.insert(0, {0!r}); "
        "runpy.run_path({1!r}, run_name='__main__'); "
        "print(json.dumps([getattr(m, '__file__', None) for m in sys.modules.values()]))"
    )
    program = probe.format(str((folder / entry).parent), str(folder / entry))
    command = [*JOB_PYTHON, "-c", program]
    said = subprocess.run(command, capture_output=True, check=True, timeout=60, cwd="/")
    files = [Path(file) for file in json.loads(said.stdout) if file]
    return {file.relative_to(folder).as_posix() for file in files if file.is_relative_to(folder)} | {entry}


ALL_FORMS = {
    "run.py": (
        "import importlib\n"
        "import json, plain\n"
        "import pack.one.deep\n"
        "from pack import two, value\n"
        "from pack.three import *\n"
        "from space.inner import module\n"
        "importlib.import_module('by_name')\n"
        "__import__('older')\n"
        "try:\n    import absent_one\nexcept ImportError:\n    import fallback\n"
        "if len('x') == 1:\n    import conditional\n"
        "def f():\n    import local\nf()\n"
    ),
    "plain.py": "import run_not_main\n",
    "run_not_main.py": "if __name__ == '__main__':\n    import never_main\n",
    "pack/__init__.py": "value = 1\nfrom .sibling import thing\n",
    "pack/sibling.py": "thing = 1\nfrom . import cousin\n",
    "pack/cousin.py": "import importlib\nimportlib.import_module('.by_package', __package__)\n",
    "pack/by_package.py": "",
    "pack/one/__init__.py": "",
    "pack/one/deep.py": "from .. import two\nfrom ..two import x\nfrom ..three import sub_a\n",
    "pack/two.py": "x = 1\n",
    "pack/three/__init__.py": "__all__ = ['sub_a', 'sub_b']\n",
    "pack/three/sub_a.py": "",
    "pack/three/sub_b.py": "import typing\nif typing.TYPE_CHECKING:\n    import never_types\n",
    "pack/three/sub_c.py": "",
    "space/inner/module.py": "from . import neighbour\n",
    "space/inner/neighbour.py": "",
    "by_name.py": "",
    "older.py": "",
    "fallback.py": "",
    "conditional.py": "",
    "local.py": "import run_not_main\n",
    "never_main.py": "",
    "never_types.py": "",
    "pack/unused.py": "import never_main\n",
    "unused.py": "",
    "data.csv": "1,2\n",
    "test/thing.py": "",  # no package: the standard library's own test goes before it
}


def test_exactly_what_python_imports_is_reached(reached: Reach, tmp_path: Path) -> None:
    """Every form of import: the files reached are those that the interpreter loads, not one more or less."""
    found = reached(ALL_FORMS)
    assert set(found.files) == imported_by_python(tmp_path / "job", "run.py")
    assert found.faults == ()


def test_each_file_says_from_where_it_is_reached(reached: Reach) -> None:
    """The entry is the entry; every other file names the file and line that lead to it."""
    found = reached({"run.py": "\nimport a.b\n", "a/__init__.py": "", "a/b.py": "import c\n", "c.py": ""})
    assert found.files == {
        "run.py": "the entry",
        "a/__init__.py": "reached from run.py:2",
        "a/b.py": "reached from run.py:2",
        "c.py": "reached from a/b.py:1",
    }


def test_modules_are_looked_for_in_the_folder_of_the_entry(reached: Reach, tmp_path: Path) -> None:
    """An entry in a folder imports its neighbours, as Python does, and not the top of the job."""
    files = {"src/run.py": "import a\n", "src/a.py": "import b.c\n", "src/b/c.py": "from . import d\n",
             "src/b/d.py": "", "a.py": "", "b/c.py": ""}  # fmt: skip
    found = reached(files, "src/run.py")
    assert set(found.files) == imported_by_python(tmp_path / "job", "src/run.py")
    outside = reached({**files, "src/a.py": "import top\n", "top.py": ""}, "src/run.py")
    assert "src/a.py:1: top is not in the entry's folder src/" in outside.faults[0]


def test_modules_that_import_each_other_are_reached_once(reached: Reach) -> None:
    """Circles end, and so does a chain of thousands."""
    circle = reached({"run.py": "import a\n", "a.py": "import b, run\n", "b.py": "import a\n"})
    assert set(circle.files) == {"run.py", "a.py", "b.py"}
    chain = {f"m{number}.py": f"import m{number + 1}\n" for number in range(3000)}
    assert len(reached({**chain, "run.py": "import m0\n", "m3000.py": ""}).files) == 3002


def test_compiled_modules_come_along_with_a_warning(reached: Reach) -> None:
    """Every build of a compiled module is taken; that it fits one platform only is said once."""
    builds = {
        "fast.cpython-311-x86_64-linux-gnu.so": "",
        "fast.cp311-win_amd64.pyd": "",
        "fast.py": "",
        "fast.txt": "",
    }
    found = reached({"run.py": "import fast\n", **builds})
    assert set(found.files) == {"run.py", *builds} - {"fast.txt"}
    assert len(found.warnings) == 1
    assert "and 1 more: compiled for one platform" in found.warnings[0]


@pytest.mark.parametrize(
    "source",
    [
        "import nowhere_to_be_found",
        "import nowhere_to_be_found.deep as x",
        "from nowhere_to_be_found import x",
        "import importlib\nimportlib.import_module('nowhere_to_be_found')",
        "if __name__ == '__main__':\n    import nowhere_to_be_found",
        "try:\n    import nowhere_to_be_found\nexcept ImportError:\n    raise",
        "import helper",
    ],
)
def test_a_missing_module_that_is_sure_to_be_imported_is_refused(reached: Reach, source: str) -> None:
    """By name, file and line, with what would help, wherever among the reached modules it stands."""
    found = reached({"run.py": source, "helper.py": "\n\nimport nowhere_to_be_found\n"})
    (fault,) = found.faults
    assert "nowhere_to_be_found is not in the entry's folder, and compute servers have" in fault
    assert "--allow-missing nowhere_to_be_found" in fault
    where = "helper.py:3: " if "helper" in source else "run.py:"
    assert fault.startswith(where)


def test_all_places_of_one_missing_module_are_one_fault(reached: Reach) -> None:
    """The first place, some more, and how many else."""
    found = reached({"run.py": "import nix\n" * 9})
    (fault,) = found.faults
    assert fault.startswith("run.py:1: nix (also at run.py:2, run.py:3, run.py:4 and 5 more) is not")


@pytest.mark.parametrize(
    ("source", "warnings"),
    [
        ("try:\n    import nix\nexcept ImportError:\n    nix = None", ["run.py:2: nix is on no compute server; the"]),
        ("def plot():\n    import nix", ["run.py:2: nix is on no compute server; a task that imports it here fails"]),
        ("if wanted():\n    import nix", ["run.py:2: nix is on no compute server; a task"]),
        ("import sys\nsys.path.insert(0, 'lib')\nimport nix", ["run.py:3: nix is not in the entry's folder; run"]),
        ("try:\n    import soft\nexcept ImportError:\n    pass", ["soft.py:1: nix is on no compute server; the job"]),
        ("def f():\n    import soft", ["soft.py:1: nix is on no compute server; a task"]),
        ("try:\n    import tomllib\nexcept ImportError:\n    import nix as tomllib", []),
        ("try:\n    import local\nexcept ImportError:\n    import nix", []),
        ("try:\n    import nix\nexcept ImportError:\n    import nux",
         ["run.py:2: nix is on no", "run.py:4: nux is on no compute server; a task"]),
        ("import local.made_at_run_time", ["run.py:1: imports local.made_at_run_time, of which the job has no file"]),
        ("def f():\n    from . import local", ["run.py:2: imports relatively"]),
        ("import distutils.core", ["run.py:1: distutils is gone from Python 3.12"]),
        ("import annotationlib", ["run.py:1: annotationlib is new in Python 3.14"]),
        ("exec(open('x').read())", ["run.py:1: calls exec; what that imports cannot be seen"]),
        ("def f():\n    import broken", ["broken.py:1: is no valid Python"]),
    ],
)  # fmt: skip
def test_what_is_doubtful_is_a_warning(reached: Reach, source: str, warnings: list[str]) -> None:
    """Nothing that might work is refused, and nothing that might fail is passed over in silence."""
    files = {"run.py": source, "soft.py": "import nix\n", "local.py": "", "broken.py": "def f(:\n"}
    found = reached(files)
    assert found.faults == ()
    assert len(found.warnings) == len(warnings), found.warnings
    for said, expected in zip(found.warnings, warnings, strict=True):
        assert said.startswith(expected), said


def test_a_module_is_as_certain_as_its_most_certain_importer(reached: Reach) -> None:
    """A module imported in a function here and at the top there is sure to be imported, whichever was seen first."""
    files = {"run.py": "def f():\n    import b\nimport a\n", "a.py": "import b\n", "b.py": "import nix\n"}
    assert len(reached(files).faults) == 1


def test_missing_modules_may_be_allowed(reached: Reach) -> None:
    """What the submitter knows better is neither refused nor mentioned."""
    found = reached({"run.py": "import nix.nax\nimport nux\n"}, allow_missing=["nix"])
    assert [fault.split()[1] for fault in found.faults] == ["nux"]
    assert found.warnings == ()


def test_installed_packages_are_named_with_what_would_help(reached: Reach) -> None:
    """A package that is known can be required, an unknown module belongs beside the entry."""
    faults = reached({"run.py": "import attr\nimport numpy\nimport nix\n"}).faults
    assert "pack with --requirement attrs" in faults[0]
    assert "nix is not" in faults[1]
    assert "put it beside the entry" in faults[1]
    assert "pack with --requirement numpy" in faults[2]


def test_a_folder_that_shares_an_installed_name_is_the_jobs_where_it_has_the_module(reached: Reach) -> None:
    """A folder without __init__.py answers an import of what is in it, and no other."""
    files = {"run.py": "import numpy.mine\n", "numpy/mine.py": ""}
    assert set(reached(files).files) == set(files)
    assert "numpy is not" in reached({**files, "run.py": "import numpy.linalg\n"}).faults[0]
    assert "numpy is not" in reached({**files, "run.py": "import numpy\n"}).faults[0]


def test_relative_imports_without_a_package_are_refused(reached: Reach) -> None:
    """A script has no package, and a module in one folder has not two."""
    files = {"run.py": "from . import a\nimport p.q\n", "a.py": "", "p/q.py": "from ... import a\n"}
    faults = reached(files).faults
    assert [fault.partition(": ")[0] for fault in faults] == ["run.py:1", "p/q.py:1"]


def test_a_broken_source_is_refused_with_its_line(reached: Reach) -> None:
    """A module that is sure to be imported and is no Python fails the job; one that nobody imports does not."""
    found = reached({"run.py": "import a\n", "a.py": "x = 1\ny = = 2\n", "b.py": "\0"})
    assert found.faults == ("a.py:2: is no valid Python: invalid syntax",)


def test_included_sources_are_followed(reached: Reach) -> None:
    """What a plug-in imports comes along, with the packages around it; what it misses is doubtful only."""
    files = {"run.py": "", "plugins/__init__.py": "", "plugins/deep/__init__.py": "",
             "plugins/deep/a.py": "import b, nix\n", "b.py": "", "notes.txt": "import c", "c.py": ""}  # fmt: skip
    included = {"plugins/deep/a.py": "included by plugins", "notes.txt": "included by notes.txt"}
    found = reached(files, included=included)
    assert found.files == {
        "run.py": "the entry",
        **included,
        "plugins/__init__.py": "the package of plugins/deep/a.py",
        "plugins/deep/__init__.py": "the package of plugins/deep/a.py",
        "b.py": "reached from plugins/deep/a.py:1",
    }
    assert found.faults == ()
    assert "nix is on no compute server" in found.warnings[0]


def test_an_entry_that_is_no_source_is_left_to_python(reached: Reach) -> None:
    """A zipped application runs as an entry; what it imports is not guessed."""
    found = reached({"run.pyz": "PK\3\4"}, "run.pyz")
    assert found.faults == ()
    assert "run.pyz: is no source" in found.warnings[0]
    assert reached({"run": "import nix\n"}, "run").faults, "a script needs no suffix"


def test_names_in_sentences_are_safe_for_a_terminal(reached: Reach) -> None:
    """A module's name that acts on a terminal is shown escaped."""
    found = reached({"run.py": "__import__('a\\x1b[2J\\nb')\n"})
    assert "\x1b" not in found.faults[0]
    assert "\n" not in found.faults[0]
    assert "a\\x1b[2J\\nb" in found.faults[0]
