"""Turns a forked process into a Python program's, as if the interpreter had been started with it.

Runs at the bottom of a task's stack. Standard library only; it imports nothing when it runs, because a task may
have put anything where modules come from.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import gc
import io
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from types import CodeType, ModuleType, TracebackType
from typing import Any, NamedTuple, NoReturn

_FUNCTION = """\
import functools, importlib, sys
sys.exit(functools.reduce(getattr, {names!r}, importlib.import_module({module!r}))())
"""
_OURS = "<string>", "<rjs>", __file__
"""What our own frames say that they were compiled from."""


class Program(NamedTuple):
    """What to run: the path of a file, or ``package.module:function``, its arguments, and where modules are."""

    entry: str
    arguments: Sequence[str]
    first_paths: Sequence[str]
    """In front of the standard library, behind the program's own folder: PYTHONPATH."""


def run(program: Program, at_start: Collection[str]) -> NoReturn:
    """Become ``program``, and end with its status; its working folder, environment and descriptors are there already.

    ``at_start`` names the modules that every interpreter has loaded.
    """
    main = ModuleType("__main__")
    try:
        exec(_prepared(program, main, at_start), main.__dict__)  # noqa: S102
        status = 0
    except SystemExit as leaving:
        status = _status_of(leaving)
    except BaseException as error:
        error.__traceback__ = _theirs(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    _finish(main, status)


def _prepared(program: Program, main: ModuleType, at_start: Collection[str]) -> CodeType:
    """Set ``sys`` up as the interpreter would, with ``main`` for the program; its code."""
    module, colon, function = program.entry.partition(":")
    folder = os.getcwd() if colon else os.path.dirname(os.path.abspath(program.entry))
    sys.argv[:] = [program.entry, *program.arguments]
    sys.orig_argv[:] = [sys.executable, "-s", "-S", "-B", *sys.argv]
    sys.path[:] = [folder, *program.first_paths, *sys.path]
    _forget_shadowed(folder, at_start)
    sys.modules["__main__"] = main
    main.__dict__.update(__builtins__=builtins)
    if colon:
        text = _FUNCTION.format(module=module, names=function.split("."))
        return compile(text, "<rjs>", "exec", dont_inherit=True)
    main.__dict__.update(__file__=program.entry, __cached__=None)
    return compile(_source(program.entry), program.entry, "exec", dont_inherit=True)


def _source(path: str) -> bytes:
    try:
        with io.open_code(path) as file:
            return bytes(file.read())
    except OSError as error:
        sys.stderr.write(
            f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}\n"
        )
        sys.exit(2)


def _forget_shadowed(folder: str, at_start: Collection[str]) -> None:
    """A module of the program's own comes before one of the same name that is loaded already."""
    try:
        own = {name.partition(".")[0] for name in os.listdir(folder)}
    except OSError:
        return
    for name in list(sys.modules):
        if name.partition(".")[0] in own and name not in at_start:
            del sys.modules[name]


def _status_of(leaving: SystemExit) -> int:
    code = leaving.code
    if code is None or isinstance(code, int):
        return int(code or 0) & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _finish(main: ModuleType, status: int) -> NoReturn:
    """End as the interpreter does, with threads, exit functions, objects and buffers in this order.

    But what was there before the fork is left as it is: taking it to pieces copies every page of the heap, which
    costs several times what a small task does.
    """
    threads = sys.modules.get("threading")
    if threads is not None:
        threads._shutdown()  # waits for them; the interpreter calls it by this name too
    atexit._run_exitfuncs()
    for name in list(main.__dict__):
        if name != "__builtins__":
            main.__dict__[name] = None
    gc.collect()
    status = _close_files() or status
    ctypes.PyDLL(None).exit(
        status
    )  # C libraries have exit functions and buffers too; no other thread gets its turn
    raise AssertionError("exit(3) returned")


def _close_files() -> int:
    """Write what is still in buffers; 120, as the interpreter says it, when that of a standard stream cannot be."""
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except Exception:
            status = 120
    kept = [each for name in ("stdin", "stdout", "stderr") for each in _layers(getattr(sys, f"__{name}__"))]
    left = [each for each in gc.get_objects() if isinstance(each, io.IOBase)]
    for each in sorted(left, key=_depth):
        if not any(each is stream for stream in kept):
            with suppress(Exception):
                each.close()
    return status


def _depth(file: io.IOBase) -> int:
    """What is made of others comes before them: text, compression and the like, buffers, files."""
    if isinstance(file, io.TextIOBase):
        return 0
    if isinstance(file, io.RawIOBase):
        return 3
    return 2 if isinstance(file, (io.BufferedWriter, io.BufferedRandom, io.BufferedReader)) else 1


def _layers(stream: Any) -> list[Any]:
    """A text stream, its buffer, and its file, as far as it still has them."""
    buffer = getattr(stream, "buffer", None)
    return [stream, buffer, getattr(buffer, "raw", None)]


def _theirs(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename in _OURS:
        traceback = traceback.tb_next
    return traceback
