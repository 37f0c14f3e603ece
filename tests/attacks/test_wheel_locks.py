"""Attack: a lock (``pylock.toml``) that costs whoever reads it far more than its bytes, or that has no meaning.

A compute server reads it in its own process before anything of the job runs; so does whoever packs a folder.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from wheelhouse import make_wheel

from rjs import limits
from rjs.errors import RefusedError
from rjs.wheels import choose, open_wheel, read_lock, this_interpreter

HEAD = 'lock-version = "1.0"\ncreated-by = "x"\n'
MANY = ".".join(f"t{number}" for number in range(10))
DEAR = "-".join(("a-1", *[MANY] * 3)) + ".whl"
"""A hundred characters that stand for 1,000 tags."""


def locked(place: str) -> str:
    """A lock of one wheel, which is where ``place`` says."""
    wheel = f'{{ {place}, hashes = {{ sha256 = "0" }} }}'
    return f'{HEAD}[[packages]]\nname = "a"\nversion = "1"\nwheels = [{wheel}]\n'


@contextmanager
def little_memory() -> Iterator[None]:
    """What happens takes less than 4 MiB at any moment."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 4 * limits.MIB
    finally:
        tracemalloc.stop()


def refusal(lock: str) -> str:
    with little_memory(), pytest.raises(RefusedError) as refused:
        choose(read_lock(lock.encode()), this_interpreter())
    assert refused.value.code == "bad-lock"
    return refused.value.sentence


@pytest.mark.parametrize(
    "place",
    [
        f'path = "wheels/{DEAR}"',
        f'name = "{DEAR}", path = "wheels/a-1-py3-none-any.whl"',
        f'url = "https://example.org/{DEAR}"',
        f'url = "https://example.org/{quote(DEAR).replace("-", "%2D").replace(".", "%2E")}"',
    ],
)
def test_a_wheel_name_that_stands_for_thousands_of_tags(place: str) -> None:
    """It is refused by their number, wherever the lock states the name, before one is made."""
    assert "1000 tags" in refusal(locked(place))


def test_a_wheel_name_longer_than_a_file_name() -> None:
    """No such wheel can lie anywhere."""
    name = f"a-1-{'p' * 300}-none-any.whl"
    assert "255 characters" in refusal(locked(f'path = "wheels/{name}"'))


def test_names_in_use_are_read() -> None:
    """A wheel of many tags as builders write them is no attack."""
    name = "a-1-cp39.cp310.cp311-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.manylinux_2_28_x86_64.whl"
    lock = read_lock(locked(f'path = "wheels/{name}"').encode())
    assert [wheel.filename for package in lock.packages for wheel in package.wheels or ()] == [name]


def test_a_wheel_whose_own_name_is_dear(tmp_path: Path) -> None:
    """The check holds for whoever opens a wheel without a lock too."""
    wheel = make_wheel(tmp_path, "a", {"a.py": ""})
    with wheel.open("rb") as file, pytest.raises(RefusedError, match="1000 tags") as refused:
        open_wheel(file, DEAR)
    assert refused.value.code == "bad-wheel"


def test_a_key_of_thousands_of_parts() -> None:
    """Reading it would cost the square of them: hours for a lock of the size that is allowed."""
    assert "key" in refusal(f"{HEAD}a{'.a' * 500_000} = 1\n")


@pytest.mark.parametrize(
    "marker",
    [
        "'x' in extras",
        "'x' in dependency_groups",
        "extras == os_name",
        "os_name ~= 'x'",
        "extra ~= '1'",
        "'1' < os_name or 'x' in extras",
    ],
)
def test_environments_without_a_meaning(marker: str) -> None:
    """A marker that cannot be evaluated is a mistake in the lock, not a fault of the server."""
    assert refusal(f'{HEAD}packages = []\nenvironments = ["{marker}"]\n')
