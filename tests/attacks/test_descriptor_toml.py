"""Hostile job.toml: whatever the bytes, the reader says what is wrong, soon, and raises nothing else."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rjs import limits
from rjs.descriptor import Descriptor, DescriptorError, parse_descriptor
from rjs.descriptor.fields import JobTable
from rjs.descriptor.reading import hints_of, table_of
from rjs.toml_text import TomlValue, toml_lines

FILES = {"job.toml": b"", "run.py": b"", "tasks.txt": b"a\nb 'c'\n", "lib/x.so": b"", "a/B.class": b""}
SOUND = 'name = "job"\nruntime = "python"\nentry = "run.py"\n'


def parse(toml: bytes) -> Descriptor:
    return parse_descriptor(toml, FILES, lambda name, _cap: FILES[name])


def refusal(toml: str | bytes) -> tuple[str, ...]:
    started = time.perf_counter()
    with pytest.raises(DescriptorError) as caught:
        parse(toml if isinstance(toml, bytes) else toml.encode())
    assert time.perf_counter() - started < 5
    assert_safe(caught.value.mistakes)
    return caught.value.mistakes


@pytest.mark.parametrize(
    "toml",
    [
        "a" + ".a" * 30_000 + " = 1",
        "[" + '"a" . ' * 9_000 + "a]",
        "x = {" + "a = {" * 9_000,
        "x = " + "[" * 60_000,
        "x = " + "{a=" * 400 + "1" + "}" * 400,
        "x = " + "9" * 60_000,
        "x = 0x" + "f" * 60_000,
        "x = 1e" + "9" * 60_000,
        "x = 2026-02-31",
        "x = 9999-99-99T99:99:99Z",
        "x = 1979-05-27T00:32:00.999999999999999999+99:99",
        'x = "\\ud800"',
        'x = "\\U00110000"',
        'x = "\x07"',
        "x = 1\x00",
        "x\ufeff = 1",
        "\ufeffname = 1",
        "x = 1\rname = 2",
        "[a]\n[a]",
        f"{'k' * 20_000} = 1\n{'k' * 20_000} = 1",
        f"[{'k' * 20_000}]\n[{'k' * 20_000}]",
        "a = []\n[[a]]",
        'x = """' + '"' * 60_000,
        "\n".join(f"k{index} = 1" for index in range(5_000)),
        "[[resources]]\n" * 4_000,
    ],
)
def test_hostile_toml(toml: str) -> None:
    """Depth, length, size and nonsense end in a refusal, and soon."""
    assert refusal(toml)


@pytest.mark.parametrize(
    "value",
    [
        "nan",
        "-inf",
        "1e400",
        "1979-05-27",
        "07:32:00",
        "1979-05-27T07:32:00Z",
        "0xffffffffffffffffffff",
        "-9223372036854775809",
        "9" * 4_000,
        "0x" + "f" * 10_000,
        "[[[[]]]]",
        "{}",
        '{"" = {}}',
        '"\\u0000"',
        '"\\u001b[31m\\u202e"',
        "[nan]",
        "[1979-05-27]",
        "true",
        '""',
        "[[1]]",
    ],
)
def test_hostile_values(value: str) -> None:
    """In every place of every table, a value of another kind or size ends in a refusal that is safe to print."""
    for name in hints_of(JobTable):
        kind = table_of(hints_of(JobTable)[name])
        found: tuple[str, ...] = ()
        if kind is not None:
            found = _mistakes(SOUND + f"{name} = {value}\n")
            header = f"[[{name}]]" if kind[1] else f"[{name}]"
            for field in hints_of(kind[0]):
                found += _mistakes(SOUND + f"{header}\n{field} = {value}\n")
        else:
            line = f"{name} = {value} # "
            found = _mistakes(SOUND.replace(f"{name} = ", line) if name in SOUND else SOUND + line)
        assert_safe(found)


def assert_safe(mistakes: tuple[str, ...]) -> None:
    assert all(mistake.isprintable() and len(mistake) < 1_000 for mistake in mistakes)


def _mistakes(toml: str) -> tuple[str, ...]:
    """What is wrong with it, if anything: some values are right in some places."""
    try:
        descriptor = parse(toml.encode())
    except DescriptorError as error:
        assert_safe(error.mistakes)
        return error.mistakes
    assert_round_trips(descriptor)
    return ()


def assert_round_trips(descriptor: Descriptor) -> None:
    encoded = msgspec.msgpack.encode(descriptor)
    assert msgspec.msgpack.decode(encoded, type=Descriptor) == descriptor


FRAGMENTS = st.sampled_from(
    [
        *"[]{}=\"'.,#\n\r\t \\",
        "[[resources]]\n",
        "[needs]\n",
        "[java]\n",
        "[answer]\n",
        '"""',
        "'''",
        'name = "job"\n',
        'runtime = "python"\n',
        'runtime = "java"\n',
        'runtime = "native"\n',
        'entry = "run.py"\n',
        'entry = "a.B"\n',
        'tasks = "tasks.txt"\n',
        "tasks = 3\n",
        'tasks = [["a"], []]\n',
        'args = ["{index}"]\n',
        'memory = "1 GiB"\n',
        'wall_time = "1 h"\n',
        'os = ["linux", "windows"]\n',
        'os = "linux"\n',
        'arch = "x86_64"\n',
        'files = ["lib"]\n',
        'files = ["**/x.*"]\n',
        'entry = "lib/x.so"\n',
        "encrypt = true\n",
        'recipients = ["x"]\n',
        'options = ["-ea"]\n',
        "nan",
        "1e9",
        "0x10",
        "1979-05-27 07:32:00",
        "true",
        "{a.b = [1, {}]}",
        "name",
        "needs.memory = 1048576\n",
    ]
)
TOMLISH = st.lists(FRAGMENTS | st.text(max_size=3), max_size=14).map("".join)


@settings(max_examples=400)
@given(TOMLISH | TOMLISH.map(lambda rest: SOUND + rest))
def test_fragments_of_toml(toml: str) -> None:
    """Pieces of TOML in any order are refused with reasons, or make a job that survives being written and read."""
    _mistakes(toml)


@given(st.binary(max_size=200))
def test_bytes(toml: bytes) -> None:
    """Any bytes are refused with reasons."""
    assert refusal(toml)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(
    st.fixed_dictionaries(
        {
            "tasks": st.integers(1, limits.MAX_TASKS)
            | st.lists(st.lists(TEXTS, max_size=3), min_size=1, max_size=4)
        },
        optional={
            "args": st.lists(TEXTS, max_size=3),
            "attempts": st.integers(1, limits.MAX_ATTEMPTS),
            "needs": st.fixed_dictionaries(
                {},
                optional={
                    "memory": st.integers(limits.MIB, 2**40),
                    "cores": st.integers(1, limits.MAX_NEEDED_CORES),
                    "os": st.lists(st.sampled_from(["linux", "macos", "windows"]), max_size=4),
                    "arch": st.sampled_from(["x86_64", "aarch64"]),
                    "python": st.sampled_from([">=3.11", "==3.*", "~=3.12,!=3.12.1", ""]),
                },
            ),
        },
    )
)
def test_sound_jobs(fields: dict[str, TomlValue]) -> None:
    """A job within all limits is accepted, says what was written, and survives being written and read."""
    job = parse((SOUND + "\n".join(toml_lines(fields))).encode())
    assert_round_trips(job)
    tasks = fields["tasks"]
    assert job.tasks == (tasks if isinstance(tasks, int) else len(tasks) if isinstance(tasks, list) else None)
    assert list(job.args) == fields.get("args", [])
