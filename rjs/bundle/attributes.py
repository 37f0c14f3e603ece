"""The attributes of a bundle's manifest: which are refused, and ours as typed values.

An ``RJS-`` attribute that this release does not know is refused by name, because it may restrict the job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import attrs

from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown
from rjs.ids import ClusterId

NAME: Final = "RJS-Name"
NONCE: Final = "RJS-Nonce"
NOT_BEFORE: Final = "RJS-Not-Before"
NOT_AFTER: Final = "RJS-Not-After"
CLUSTER: Final = "RJS-Cluster"
EXECUTABLE_HEADER: Final = "RJS-Executable"
"""The one attribute of ours that a file's own section may have; its value is ``true``."""
_OURS: Final = frozenset(name.lower() for name in (NAME, NONCE, NOT_BEFORE, NOT_AFTER, CLUSTER))

REACHES_OUTSIDE: Final = frozenset(
    ["class-path", "launcher-agent-class", "premain-class", "agent-class", "boot-class-path"]
)
"""Each makes Java load code that is not in the bundle, or not where its signer said so."""

_JAR_INDEX: Final = "meta-inf/index.list"
"""Java up to 20 loads the JARs that this file names, wherever they are: a Class-Path by another door."""

_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_NONCE: Final = re.compile(r"[0-9a-f]{32}")
_CLUSTER: Final = re.compile(r"[0-9a-f]{16}")


@attrs.frozen
class BundleAttributes:
    """What the signer stated about the job; a JAR signed without RJS may lack any of it. Times are UTC."""

    name: str | None = None
    nonce: str | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    cluster: ClusterId | None = None


def job_attributes(
    name: str, nonce: bytes, not_before: datetime, not_after: datetime, cluster: ClusterId | None = None
) -> dict[str, str]:
    """Return the main attributes of a job: ``nonce`` is 16 random bytes, times are aware and cut to seconds."""
    written = {
        NAME: name,
        NONCE: nonce.hex(),
        NOT_BEFORE: not_before.astimezone(UTC).strftime(_TIME_FORMAT),
        NOT_AFTER: not_after.astimezone(UTC).strftime(_TIME_FORMAT),
    }
    if cluster is not None:
        written[CLUSTER] = cluster
    typed_attributes({key.lower(): value for key, value in written.items()})
    return written


def check_main_attributes(headers: Mapping[str, str]) -> None:
    """Refuse attributes that reach outside the bundle and ``RJS-`` attributes of later releases."""
    for header in headers:
        if header in REACHES_OUTSIDE:
            raise BundleRefusedError(
                "attribute", f"the main attribute {header} is not allowed; remove it and sign again"
            )
        if header.startswith("rjs-") and header not in _OURS:
            raise BundleRefusedError(
                "attribute", f"the main attribute {header} is not implemented in this release"
            )


def check_entry_attributes(name: str, headers: Mapping[str, str], *, is_file: bool) -> None:
    """Refuse what the section of ``name``, a file or not, asks for and nobody here does, and lists of JARs.

    ``Magic`` asks for a verification that the JAR specification leaves open.
    """
    if name.lower() == _JAR_INDEX:
        raise BundleRefusedError(
            "attribute", f"{shown(name)} makes Java load further JARs; remove it and sign again"
        )
    for header, value in headers.items():
        known = header == EXECUTABLE_HEADER.lower() and value == "true" and is_file
        if header == "magic" or (header.startswith("rjs-") and not known):
            raise BundleRefusedError(
                "attribute",
                f"{shown(name)} has the attribute {header}: {shown(value)}, which is not implemented",
            )


def typed_attributes(headers: Mapping[str, str]) -> BundleAttributes:
    """Parse our attributes out of ``headers`` (lower-case names); raises ``attribute`` when one is malformed."""
    name = headers.get(NAME.lower())
    if name is not None and not (1 <= len(name) <= 100 and name.isprintable()):
        raise _malformed(NAME, name)
    cluster = _matching(headers, CLUSTER, _CLUSTER)
    return BundleAttributes(
        name=name,
        nonce=_matching(headers, NONCE, _NONCE),
        not_before=_time(headers, NOT_BEFORE),
        not_after=_time(headers, NOT_AFTER),
        cluster=None if cluster is None else ClusterId(cluster),
    )


def _matching(headers: Mapping[str, str], name: str, form: re.Pattern[str]) -> str | None:
    value = headers.get(name.lower())
    if value is not None and not form.fullmatch(value):
        raise _malformed(name, value)
    return value


def _time(headers: Mapping[str, str], name: str) -> datetime | None:
    value = _matching(headers, name, _TIME)
    if value is None:
        return None
    try:
        return datetime.strptime(value, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise _malformed(name, value) from None


def _malformed(name: str, value: str) -> BundleRefusedError:
    return BundleRefusedError(
        "attribute", f"the main attribute {name} cannot be {shown(value)}; sign again with `rjs pack`"
    )
