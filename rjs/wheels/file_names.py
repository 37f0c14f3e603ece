"""The names of wheels: what they say, and what it costs to read them.

A name stands for every combination of the tags in its last three parts, so 255 characters can stand for 60,000, and
3 KiB for gigabytes. Every name is looked at here before ``packaging`` makes the tags. Reference: PEP 425, PEP 427.
"""

from __future__ import annotations

from math import prod

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, NormalizedName, parse_wheel_filename
from packaging.version import Version

from rjs.bundle.names import shown
from rjs.errors import RefusedError
from rjs.limits import MAX_NAME_PART_BYTES, MAX_WHEEL_TAGS


def check_wheel_name(filename: str) -> None:
    """Raises RefusedError ``bad-wheel`` for a name that would be dear to parse."""
    if len(filename) > MAX_NAME_PART_BYTES:
        raise _bad(filename[:MAX_NAME_PART_BYTES], f"its name has more than {MAX_NAME_PART_BYTES} characters")
    tags = prod(part.count(".") + 1 for part in filename.removesuffix(".whl").split("-")[-3:])
    if tags > MAX_WHEEL_TAGS:
        raise _bad(filename, f"its name stands for {tags} tags; {MAX_WHEEL_TAGS} are allowed")


def read_wheel_name(filename: str) -> tuple[NormalizedName, Version, frozenset[Tag]]:
    """Its distribution, version and tags. Raises RefusedError ``bad-wheel``."""
    check_wheel_name(filename)
    try:
        name, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise RefusedError("bad-wheel", str(error)) from None
    return name, version, tags


def _bad(filename: str, why: str) -> RefusedError:
    return RefusedError("bad-wheel", f"the wheel {shown(filename)} cannot be used: {why}")
