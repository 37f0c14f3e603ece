"""Python programs that a cell forks: what they see and leave is what a fresh interpreter would have shown."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from cs.sandbox.boot import base_python
from cs.spawner.client import Spawner
from cs.spawner.messages import Ended, Run, Script
from cs.spawner.testing import Workbench

# ruff: noqa: E501 - a program a line
PROGRAMS = {
    "prints": "print('said'); import sys; print('complained', file=sys.stderr)",
    "status": "import sys; sys.exit(7)",
    "large-status": "raise SystemExit(1000)",
    "true-status": "raise SystemExit(True)",
    "sentence-as-status": "import sys; sys.exit('in words')",
    "exception": "def f(): raise ValueError('x')\ntry: f()\nexcept ValueError as e: raise KeyError('y') from e",
    "exception-group": "raise ExceptionGroup('both', [ValueError(1), TypeError(2)])",
    "syntax": "print('never')\nif:\n",
    "import": "import nothing_of_that_name",
    "excepthook": "import sys\nsys.excepthook = lambda *found: print('mine', found[0])\n1/0",
    "exit-functions": "import atexit\natexit.register(print, 'last')\natexit.register(print, 'first')",
    "exit-function-fails": "import atexit\natexit.register(lambda: 1/0)",
    "unclosed-text": "f = open('left', 'w')\nf.write('kept')\nimport atexit",
    "unclosed-in-a-cycle": "class C: pass\nc = C(); c.me = c; c.file = open('left', 'wb'); c.file.write(b'kept')\ndel c",
    "unclosed-in-a-module": "import neighbour\nneighbour.f = open('left', 'w')\nneighbour.f.write('kept')",
    "unclosed-compressed": "import gzip\nf = gzip.GzipFile('left', 'w', mtime=0)\nf.write(b'kept')",
    "destructor": "class C:\n  def __del__(self): print('gone')\nc = C()",
    "thread": "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\nprint('main')",
    "daemon": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nprint('main')",
    "executor": "from concurrent.futures import ThreadPoolExecutor as T\nT().submit(print, 'worked')",
    "fork": "import os, sys\nif os.fork() == 0: print('child'); sys.exit(3)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))",
    "pool": "import multiprocessing as m\nif __name__ == '__main__':\n  with m.get_context('spawn').Pool(1) as p: print(p.map(abs, [-1]))",
    "stdin": "import sys\nprint(repr(sys.stdin.read()))",
    "main": "import sys, __main__\nprint(__main__.__name__, __file__, sys.argv, sys.path[0], __builtins__, sys.flags[:10])\nprint(sys.stdout.encoding, sys.stdout.errors, open(0).encoding.lower(), sys.getfilesystemencoding())",
    "closed-stdout": "import sys\nprint('x')\nsys.stdout.close()",
    "replaced-stdout": "import sys, io\nsys.stdout = io.StringIO()\nprint('nowhere')",
    "buffer": "import sys\nsys.stdout.buffer.write(b'bytes')",
    "own-json": "import ours.json as a, json\nprint(json.NAME, a)",
    "c-buffer": "import ctypes\nctypes.CDLL(None).printf(b'of C')",
    "hard-end": "import os\nprint('lost')\nos._exit(5)",
    "warning": "import warnings\nwarnings.warn('careful', DeprecationWarning)",
    "modules": "import sys\nprint([name for name in sys.modules if name.startswith(('cs', 'rjs', 'msgspec'))])",
    "names": "print(sorted(set(globals()) - {'__spec__', '__loader__', '__annotations__', '__package__', '__doc__'}))",
}  # fmt: skip


@pytest.fixture
def folder(workbench: Workbench) -> Path:
    """The working folder, with neighbours of the programs."""
    workbench.sandbox()
    (workbench.work / "neighbour.py").write_text("HERE = True\n")
    (workbench.work / "ours").mkdir()
    (workbench.work / "ours" / "json.py").write_text("def __repr__(): pass\n")
    return workbench.work


def test_a_program_does_what_a_fresh_interpreter_does(workbench: Workbench, folder: Path) -> None:
    """Output, complaints, exit status and files of each program are the same, one after the other in one cell."""
    (folder / "ours" / "__init__.py").write_text("")

    async def scenario(spawner: Spawner) -> dict[str, tuple[str, Ended]]:
        seen = {}
        for name, source in PROGRAMS.items():
            _neighbours(folder, name)
            request = workbench.script(source)
            ended = await spawner.run(request)
            seen[name] = (_told(folder, Path(request.stdout), Path(request.stderr)), ended)
        return seen

    seen = workbench.drive(scenario)
    different = {}
    for number, (name, (told, ended)) in enumerate(seen.items(), 1):
        _neighbours(folder, name)
        status, plain = _plainly(workbench, folder, number)
        plain = plain.replace(str(folder), "/work")
        if (ended.exit_status, told) != (status, plain):
            different[name] = (ended.exit_status, told, status, plain)
    assert not different, "\n".join(f"{name}: {what}" for name, what in different.items())


def _neighbours(folder: Path, name: str) -> None:
    own = folder / "json.py"
    own.unlink(missing_ok=True)
    if name == "own-json":
        own.write_text("NAME = 'own'\n")


def _told(folder: Path, *files: Path) -> str:
    left = folder / "left"
    told = [file.read_text() for file in files]
    if left.exists():
        told.append(left.read_bytes().hex())
        left.unlink()
    return re.sub("0x[0-9a-f]+", "0x", "\n".join(told))


def _plainly(workbench: Workbench, folder: Path, number: int) -> tuple[int, str]:
    entry = folder / f"job{number}.py"
    out, err = workbench.folder / "plain.out", workbench.folder / "plain.err"
    argv = [base_python(), "-s", "-S", "-B", str(entry)]
    with out.open("w") as stdout, err.open("w") as stderr:
        ended = subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=folder, check=False, env={}
        )
    return ended.returncode, _told(folder, out, err)


def _function(workbench: Workbench, entry: str) -> Run:
    request = workbench.script("")
    return msgspec.structs.replace(request, script=Script(entry, ("one",)))


def test_a_function_is_called_and_its_value_is_the_status(workbench: Workbench, folder: Path) -> None:
    """As with a console script: modules are found in the working folder, and what is raised shows only theirs."""
    (folder / "entry.py").write_text(
        "import sys\nclass C:\n  def f(): print(sys.argv, sys.path[0]); return 4\ndef g(): 1/0\n"
    )
    assert workbench.run(_function(workbench, "entry:C.f")).exit_status == 4
    assert workbench.stdout.read_text() == "['entry:C.f', 'one'] /work\n"
    assert workbench.run(_function(workbench, "entry:g")).exit_status == 1
    frames = [line for line in workbench.stderr.read_text().splitlines() if "File" in line]
    assert frames == ['  File "/work/entry.py", line 4, in g']


def test_a_missing_script_is_said_as_python_says_it(workbench: Workbench, folder: Path) -> None:
    """Status 2 and the name of the file."""
    assert workbench.run(_function(workbench, "/work/absent.py")).exit_status == 2
    assert "can't open file '/work/absent.py'" in workbench.stderr.read_text()
