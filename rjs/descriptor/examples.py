"""Whole descriptors for the documentation, each with the files of its bundle: a test reads every one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs


@attrs.frozen
class Example:
    """A descriptor, what it shows, and the content of the bundle's other files."""

    words: str
    toml: str
    files: Mapping[str, bytes]


def _files(*names: str, **contents: bytes) -> Mapping[str, bytes]:
    return MappingProxyType({**dict.fromkeys(names, b""), **contents})


EXAMPLES: Final = (
    Example(
        "A Python script, eight times; task 3 is run with `--part 3 --of 8`:",
        """\
name = "mandelbrot"
runtime = "python"
entry = "mandelbrot.py"
args = ["--part", "{index}", "--of", "{count}"]
tasks = 8

[needs]
memory = "256 MiB"
wall_time = "5 min"
""",
        _files("mandelbrot.py"),
    ),
    Example(
        "A function of a Python package that needs third-party packages and data from one place, with tasks "
        "out of a file:",
        """\
name = "survey 2026"
runtime = "python"
entry = "survey.cli:main"
args = ["--quiet"]
tasks = "tasks.txt"
attempts = 2

[needs]
python = ">=3.11"
memory = "2 GiB"
disk = "5 GiB"
cores = 2

[permissions]
network = ["data.example.org:443"]

[python]
lock = "pylock.toml"
""",
        _files("survey/cli.py", "pylock.toml", **{"tasks.txt": b"--region north\n--region 'far south'\n"}),
    ),
    Example(
        "A Java program with a native library for two platforms:",
        """\
name = "simulation"
runtime = "java"
entry = "org.example.Simulation"
tasks = [["--seed", "1"], ["--seed", "7"]]

[needs]
java = ">=17"
memory = "1 GiB"
os = ["linux", "windows"]
arch = "x86_64"

[java]
options = ["-Xmx700m", "-XX:+UseSerialGC"]
properties = { "org.example.precision" = "double" }

[[resources]]
os = "linux"
files = ["native/linux"]

[[resources]]
os = "windows"
files = ["native/windows"]
""",
        _files("org/example/Simulation.class", "native/linux/fast.so", "native/windows/fast.dll"),
    ),
    Example(
        "A program of its own for each platform; a compute server fetches one of them:",
        """\
name = "ray tracer"
runtime = "native"
args = ["--frame", "{index}", "scene.txt"]
tasks = 250

[[resources]]
os = "linux"
arch = "x86_64"
entry = "bin/tracer-linux-x86_64"

[[resources]]
os = "macos"
arch = "aarch64"
entry = "bin/tracer-macos-aarch64"
""",
        _files("scene.txt", "bin/tracer-linux-x86_64", "bin/tracer-macos-aarch64"),
    ),
)
