"""The descriptor: defaults, units, expansion, and every mistake at once."""

from __future__ import annotations

import pytest

from rjs import limits
from rjs.descriptor import Descriptor, DescriptorError, parse_descriptor
from rjs.needs import Needs

FILES = ("job.toml", "run.py", "lib/a.py")
BASE = 'name = "job"\nruntime = "python"\nentry = "run.py"\n'


def parsed(more: str = "") -> Descriptor:
    return parse_descriptor((BASE + more).encode(), FILES)


def mistakes(toml: str | bytes, files: tuple[str, ...] = FILES) -> tuple[str, ...]:
    with pytest.raises(DescriptorError) as caught:
        parse_descriptor(toml if isinstance(toml, bytes) else toml.encode(), files)
    return caught.value.mistakes


def test_defaults() -> None:
    """Name, runtime and entry suffice; the rest has stated defaults."""
    assert parsed() == Descriptor(
        name="job", runtime="python", entry="run.py", needs=Needs(memory=512 * 1024**2, wall_time=3600)
    )


def test_everything_stated() -> None:
    """Every field of this release arrives as a typed value."""
    more = 'args = ["--part", "{index}"]\ntasks = 8\n[needs]\nmemory = "256 MiB"\nwall_time = "30 s"\n'
    assert parsed(more) == Descriptor(
        name="job",
        runtime="python",
        entry="run.py",
        args=("--part", "{index}"),
        tasks=8,
        needs=Needs(memory=256 * 1024**2, wall_time=30),
    )


def test_limits_isolation_and_preloading() -> None:
    """What is not stated of them is left to the machine; a module is named once."""
    more = """isolation = "task"
[needs]
cpu_time = "2 h"
processes = 4
descriptors = 64
files = 1000
sandbox = "namespaces"
[python]
preload = ["numpy", "scipy.linalg", "numpy"]
"""
    found = parsed(more)
    assert (found.isolated, found.preload) == (True, ("numpy", "scipy.linalg"))
    assert found.needs == Needs(cpu_time=7200, processes=4, descriptors=64, files=1000, sandbox="namespaces")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ('isolation = "none"', "isolation"),
        ("[needs]\ncpu_time = 0", "needs.cpu_time"),
        ("[needs]\nprocesses = 0", "needs.processes"),
        ("[needs]\nprocesses = 10001", "needs.processes"),
        ("[needs]\ndescriptors = 3", "needs.descriptors"),
        ("[needs]\nfiles = true", "needs.files"),
        ('[needs]\nsandbox = "moon"', "needs.sandbox"),
        ('[python]\npreload = "numpy"', "python.preload"),
        ('[python]\npreload = ["os; import evil"]', "python.preload"),
        ('[python]\npreload = [".up"]', "python.preload"),
    ],
)
def test_limits_isolation_and_preloading_that_are_none(more: str, field: str) -> None:
    """Each is refused by name."""
    (mistake,) = mistakes(BASE + more + "\n")
    assert f"'{field}" in mistake and "must be" in mistake


def test_preloading_is_for_python() -> None:
    """No other runtime can."""
    toml = 'name = "j"\nruntime = "native"\nentry = "run.py"\n[python]\npreload = ["numpy"]\n'
    assert mistakes(toml) == (
        "line 5: field 'python.preload' is for Python; the runtime is \"native\": remove it",
    )


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1048576", 1 << 20),
        ('"1048576 B"', 1 << 20),
        ('"1024KiB"', 1 << 20),
        ('"2 GiB"', 2 << 30),
        ('"1 TiB"', 1 << 40),
    ],
)
def test_memory(text: str, amount: int) -> None:
    """Memory is a number of bytes or a text with a binary unit."""
    assert parsed(f"[needs]\nmemory = {text}\n").needs.memory == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("1", 1), ('"90 s"', 90), ('"5 min"', 300), ('"2h"', 7200), ('"30 d"', 2592000)]
)
def test_wall_time(text: str, amount: int) -> None:
    """Wall time is a number of seconds or a text with a unit."""
    assert parsed(f"[needs]\nwall_time = {text}\n").needs.wall_time == amount


@pytest.mark.parametrize(
    "line",
    [
        *(
            f"memory = {value}"
            for value in ("0", "-1", "true", "1.5", '"many"', '"1 MB"', '"1 mib"', '"1.5 GiB"')
        ),
        *(f"memory = {value}" for value in ('"2 TiB"', '" 1 GiB"', '"١ GiB"', '"9999999999999 B"', "[1]")),
        *(
            f"wall_time = {value}"
            for value in ("0", '"0 s"', '"31 d"', '"1 m"', '"5 min 30 s"', "30.0", "false")
        ),
    ],
)
def test_amounts_that_are_none(line: str) -> None:
    """What is not exactly an amount within its range is refused, naming the field and its units."""
    (mistake,) = mistakes(BASE + f"[needs]\n{line}\n")
    assert mistake.startswith(f"line 5: field 'needs.{line.split()[0]}' must be")


def test_all_mistakes_at_once() -> None:
    """Whoever edits the file sees every mistake in one go, each with field and remedy."""
    toml = """
        name = ""
        runtime = "python"
        entry = "missing.py"
        args = "--x"
        tasks = 0
        permission = ["network"]
        python = 3
        [needs]
        memory = "much"
        gpu = 1
    """
    found = mistakes(toml, (*FILES, "out/result.txt"))
    fields = [
        "out/result.txt",
        "name",
        "entry",
        "args",
        "tasks",
        "permission",
        "python",
        "needs.memory",
        "needs.gpu",
    ]
    assert [mistake.split("'")[1] for mistake in found] == fields
    assert [mistake.split(":")[0] for mistake in found[1:]] == [
        f"line {n}" for n in (2, 4, 5, 6, 7, 8, 10, 11)
    ]
    assert found[5].endswith(
        "field 'permission' is not implemented in this release; did you mean 'permissions'?"
    )
    assert found[8].endswith("field 'needs.gpu' is not implemented in this release; remove it")


@pytest.mark.parametrize(
    ("toml", "missing"),
    [
        ("", ["name", "runtime"]),
        ("tasks = 1", ["name", "runtime"]),
        ('runtime = "python"', ["entry", "name"]),
        ('name = "x"\nruntime = "native"', ["entry"]),
    ],
)
def test_missing_fields(toml: str, missing: list[str]) -> None:
    """Without a name, a runtime and what it runs there is no job."""
    assert sorted(mistake.split("'")[1] for mistake in mistakes(toml)) == missing


@pytest.mark.parametrize(
    "toml",
    [b"\xff", b"name = ", b"a = 1\na = 2", b"a = " + b"[" * 30_000, b"#" * (limits.MAX_DESCRIPTOR_BYTES + 1)],
)
def test_not_toml(toml: bytes) -> None:
    """Broken, duplicated, bottomless and oversized files are refused with one sentence."""
    assert len(mistakes(toml)) == 1


@pytest.mark.parametrize("value", ["true", "1.0", '"8"', str(limits.MAX_TASKS + 1), "-3", "[8]"])
def test_task_counts_that_are_none(value: str) -> None:
    """The number of tasks is a whole number from one to the cap."""
    assert [m.split("'")[1] for m in mistakes(BASE + f"tasks = {value}")] == ["tasks"]


@pytest.mark.parametrize("value", ["[1]", '"x"', '["a\\u0000"]', "{}"])
def test_arguments_that_are_none(value: str) -> None:
    """Arguments are texts that a process can be given."""
    assert [m.split("'")[1] for m in mistakes(BASE + f"args = {value}")] == ["args"]


def test_too_many_arguments() -> None:
    """The list of arguments has a cap in number and in length."""
    many = '"x",' * (limits.MAX_ARGUMENTS + 1)
    assert "at most" in mistakes(BASE + f"args = [{many}]")[0]


@pytest.mark.parametrize("name", ["out/x", "OUT/x", "out"])
def test_files_where_answers_go(name: str) -> None:
    """A job brings no files that could pass for its answers."""
    assert "where answers go" in mistakes(BASE, (*FILES, name))[0]


def test_arguments_are_expanded_once() -> None:
    """Only {index} and {count} are special, and what they become is not looked at again."""
    job = parsed(
        'args = ["{index}/{count}", "{{index}}", "{other}", "%d {}", "{index", "{INDEX}"]\ntasks = 9\n'
    )
    assert job.expanded(job.args, 3) == ["3/9", "{3}", "{other}", "%d {}", "{index", "{INDEX}"]
