"""What a source imports, read out of it: which names, and how certain each is to be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rjs.packing.imports import ModuleImports, UnreadableSourceError, When, read_imports

SURE, PERHAPS, GUARDED = When.SURE, When.PERHAPS, When.GUARDED
Found = list[tuple[str, When]]


def read(source: str, *, is_main: bool = False) -> ModuleImports:
    return read_imports(source.encode(), is_main=is_main)


def found_in(source: str, *, is_main: bool = False) -> Found:
    """Each import as a person writes it, dots and all."""
    return [
        ("." * found.level + ":".join([found.module, *found.names]), found.when)
        for found in read(source, is_main=is_main).imports
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a, b.c as d", [("a", SURE), ("b.c", SURE)]),
        ("from a.b import c, d as e", [("a.b:c:d", SURE)]),
        ("from . import a\nfrom ..b import c", [(".:a", SURE), ("..b:c", SURE)]),
        ("from a import *", [("a:*", SURE)]),
        ("class A:\n    import a", [("a", SURE)]),
        ("with open('x'):\n    import a", [("a", SURE)]),
        ("def f():\n    import a", [("a", PERHAPS)]),
        ("async def f():\n    import a", [("a", PERHAPS)]),
        ("class A:\n    def f(self):\n        import a", [("a", PERHAPS)]),
        ("for x in y:\n    import a", [("a", PERHAPS)]),
        ("match x:\n    case 1:\n        import a", [("a", PERHAPS)]),
        ("if x:\n    import a\nelse:\n    import b", [("a", PERHAPS), ("b", PERHAPS)]),
        ("if x:\n    pass\nelif y:\n    import a", [("a", PERHAPS)]),
        ("try:\n    import a\nexcept ImportError:\n    import b", [("a", GUARDED), ("b", PERHAPS)]),
        ("try:\n    import a\nexcept (KeyError, ModuleNotFoundError):\n    a = 1", [("a", GUARDED)]),
        ("try:\n    import a\nexcept:\n    pass", [("a", GUARDED)]),
        ("try:\n    if x:\n        import a\nexcept Exception:\n    pass", [("a", GUARDED)]),
        ("import builtins as b\ntry:\n    import a\nexcept b.ImportError:\n    pass",
         [("builtins", SURE), ("a", GUARDED)]),
        ("try:\n    import a\nexcept KeyError:\n    pass", [("a", SURE)]),
        ("try:\n    import a\nfinally:\n    import b", [("a", SURE), ("b", SURE)]),
        ("try:\n    import a\nexcept ImportError:\n    raise SystemExit('no a')", [("a", SURE)]),
        ("import sys\ntry:\n    import a\nexcept ImportError:\n    sys.exit('no a')",
         [("sys", SURE), ("a", SURE)]),
        ("from contextlib import suppress\nwith suppress(ImportError):\n    import a",
         [("contextlib:suppress", SURE), ("a", GUARDED)]),
        ("with suppress(KeyError):\n    import a", [("a", SURE)]),
    ],
)  # fmt: skip
def test_imports_are_as_certain_as_the_code_around_them(source: str, expected: Found) -> None:
    """Top level is sure, a function or condition perhaps, and what the code survives is guarded."""
    assert found_in(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a",
        "import typing as t\nif t.TYPE_CHECKING:\n    import a",
        "if not TYPE_CHECKING:\n    pass\nelse:\n    import a",
        "if TYPE_CHECKING and x:\n    import a",
        "if TYPE_CHECKING or False:\n    import a",
        "if False:\n    import a",
        "if __name__ == '__main__':\n    import a",
        "import sys\nif sys.version_info < (3, 11):\n    import a",
        "import sys\nif sys.version_info >= (3,):\n    pass\nelse:\n    import a",
        "import sys\nif sys.version_info[0] == 2:\n    import a",
        "from sys import version_info\nif version_info < (3, 8, 1):\n    import a",
        "import sys\nif sys.version_info[:2] < (3, 11):\n    import a",
        "import sys\nif sys.version_info.major < 3:\n    import a",
        "'import a'\n# import a\nx = 'import a'",
    ],
)
def test_what_never_runs_in_a_job_is_no_import(source: str) -> None:
    """Types alone, the script part of an imported module, and code for older Pythons are passed over."""
    assert "a" not in [name for name, _ in found_in(source)]


@pytest.mark.parametrize(
    ("source", "when"),
    [
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import a", SURE),
        ("if __name__ == '__main__':\n    import a", SURE),
        ("import sys\nif sys.version_info >= (3, 11):\n    import a", SURE),
        ("import sys\nif sys.version_info >= (3, 11, 4):\n    import a", PERHAPS),
        ("import sys\nif sys.version_info >= (3, 12):\n    import a", PERHAPS),
        ("import sys\nif sys.version_info[:2] > (3, 11):\n    import a", PERHAPS),
        ("import sys\nif sys.version_info[:2] >= (3, 11):\n    import a", SURE),
        ("import sys\nif sys.version_info < wanted:\n    import a", PERHAPS),
        ("if TYPE_CHECKING or x:\n    import a", PERHAPS),
    ],
)
def test_what_runs_in_the_entry_is_found(source: str, when: When) -> None:
    """The script part of the entry runs, and so does what depends on a Python that may be there."""
    assert ("a", when) in found_in(source, is_main=True)


@pytest.mark.parametrize(
    "call",
    [
        "import importlib\nimportlib.import_module('a.b')",
        "import importlib as il\nil.import_module('a.b', package=None)",
        "from importlib import import_module\nimport_module(name='a.b')",
        "from importlib import import_module as load\nload('a.b')",
        "__import__('a.b')",
        "import builtins\nbuiltins.__import__('a.b')",
    ],
)
def test_an_import_by_a_literal_name_is_an_import(call: str) -> None:
    """However the function that imports is called, a name that stands there is read."""
    assert ("a.b", SURE) in found_in(call)
    assert read(call).computed == ()


def test_a_literal_relative_import_by_name_is_an_import() -> None:
    """``import_module("..x", __package__)`` starts where the module's own package says."""
    assert found_in("from importlib import import_module as f\nf('..x', __package__)")[1] == ("..x", SURE)


@pytest.mark.parametrize(
    "call",
    [
        "import importlib\nimportlib.import_module(name)",
        "import importlib\nimportlib.import_module(f'plugins.{x}')",
        "import importlib\nimportlib.import_module('.x', __name__)",
        "from importlib import import_module as load\n[load(name) for name in ('a', 'b')]",
        "\n__import__(x)",
        "\nexec(code)",
        "import runpy\nrunpy.run_path('other.py')",
        "import pkgutil\nlist(pkgutil.iter_modules(path))",
        "from importlib.util import spec_from_file_location\nspec_from_file_location('x', y)",
    ],
)
def test_a_computed_import_is_told_with_its_line(call: str) -> None:
    """Names that only running the code would give are not guessed."""
    assert [line for line, _ in read(call).computed] == [2]


@pytest.mark.parametrize(
    "source", ["cursor.exec(x)", "self.import_module(x)", "import_module = 1", "importlib.reload(x)"]
)
def test_methods_of_the_same_name_are_no_imports(source: str) -> None:
    """Ordinary calls that look alike raise no alarm."""
    assert read(source) == ModuleImports(())


@pytest.mark.parametrize(
    "change",
    ["sys.path.insert(0, 'lib')", "sys.path += ['lib']", "sys.path[:0] = ['lib']", "sys.path = []",
     "import site; site.addsitedir('lib')"],
)  # fmt: skip
def test_a_changed_search_path_is_noticed(change: str) -> None:
    """Wherever it is done, the first line that does it is known."""
    assert read(f"import sys\n{change}\nsys.path.append('more')").path_changed == 2
    assert read("import sys\nprint(sys.path, sys.path[0])").path_changed is None


def test_a_fallback_knows_what_it_stands_in_for() -> None:
    """In ``except ImportError`` an import remembers the ones whose failure leads there."""
    source = "try:\n    import a\n    from b import c\nexcept ImportError:\n    import d\n"
    fallback = read(source).imports[-1]
    assert (fallback.module, [each.module for each in fallback.instead_of]) == ("d", ["a", "b"])


@pytest.mark.parametrize(
    "source",
    [
        b"# -*- coding: latin-1 -*-\ns = '\xe4\xf6'\nimport a\n",
        b"#!/usr/bin/python\n# vim: set fileencoding=koi8-r :\ns = '\xc1'\nimport a\n",
        "\ufeffs = 'ä'\nimport a\n".encode(),
        "s = 'ä'\r\nimport a\r\n".encode(),
        b"s = '\\d'\nimport a\n",
    ],
)
def test_sources_are_read_in_their_own_encoding(source: bytes) -> None:
    """PEP 263's cookies, a byte order mark and foreign line ends; an odd escape is no warning of ours."""
    assert [found.module for found in read_imports(source).imports] == ["a"]


@pytest.mark.parametrize(
    "source",
    [
        b"def f(:\n", b"\0import a\n", b"import a\n\0\n", b"s = '\xff'\n", b"# coding: klingon\n",
        b"# coding: rot13\n",
        b"\xef\xbb\xbf# coding: latin-1\n", b"  x\n y\n", b"(" * 5000,
    ],
)  # fmt: skip
def test_what_python_would_not_run_is_a_syntax_error(source: bytes) -> None:
    """Whatever is wrong with the bytes, one kind of error says so, with a message."""
    with pytest.raises(SyntaxError) as error:
        read_imports(source)
    assert error.value.msg


@pytest.mark.parametrize("source", ["-" * 100_000 + "1", "a" + ".b" * 50_000, "not " * 50_000 + "1"])
def test_absurd_nesting_ends_in_a_plain_error(source: str) -> None:
    """No depth of nesting crashes the packer."""
    with pytest.raises(UnreadableSourceError):
        read(source)


def test_nesting_that_python_accepts_is_read() -> None:
    """A long chain of ``elif`` and a tall tower of calls do not end the reading."""
    chain = "if a:\n    pass\n" + "elif b:\n    import m\n" * 500
    tower = "x = " + "f(" * 150 + ")" * 150
    assert len(read(f"{chain}{tower}\n").imports) == 500


def test_nothing_of_a_source_is_executed(tmp_path: Path) -> None:
    """Reading a source that would leave a trace leaves none, in its own encoding's codec neither."""
    trace = tmp_path / "trace"
    (tmp_path / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nimport evil\n")
    before = set(sys.modules)
    read_imports((tmp_path / "evil.py").read_bytes())
    with pytest.raises(SyntaxError):
        read_imports(b"# coding: evil\n")
    assert not trace.exists()
    assert "evil" not in set(sys.modules) - before
