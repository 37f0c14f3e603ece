"""Finds the example jobs that come with RJS: inside the installed package, or beside it in a checkout."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import rjs
from rjs.errors import RjsError


def example_folder(name: str) -> Path:
    """Give the folder of the example job ``name``, such as ``mandelbrot``. Raises RjsError where it is missing."""
    package = Path(rjs.__file__).parent
    for folder in (package / "examples" / name, package.parent / "examples" / name):
        if (folder / "job.toml").is_file():
            return folder
    raise RjsError(f"the example {name} is not installed; install rjs-cluster again")


def example_module(name: str, module: str) -> ModuleType:
    """Load one of our own example's modules, such as ``splice`` of ``mandelbrot``."""
    path = example_folder(name) / f"{module}.py"
    spec = importlib.util.spec_from_file_location(f"rjs.examples.{name}.{module}", path)
    assert spec is not None, "a .py path always has a loader"
    assert spec.loader is not None, "a .py path always has a loader"
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
