"""The line format of MANIFEST.MF and .SF files: a strict reader and a writer.

Reference: the JAR File Specification, "JAR Manifest" and "Signature File". The reader is stricter: CRLF only, no
duplicate header (Java silently takes the last), exactly one blank line after every section.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown

MAX_LINE_BYTES: Final = 72
_WRITTEN_LINE_BYTES: Final = 70
"""Every Java, old ones too, counts the line's end differently; 70 satisfies all."""
_HEADER_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9_-]{0,69}")
DIGEST_HEADERS: Final[Mapping[str, str]] = {
    "sha-256-digest": "sha256",
    "sha-384-digest": "sha384",
    "sha-512-digest": "sha512",
}
HASHES: Final = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}
_SIZES: Final = {algorithm: make().digest_size for algorithm, make in HASHES.items()}


@attrs.frozen
class Digest:
    """A stated digest: ``algorithm`` as hashlib calls it."""

    algorithm: str
    value: bytes

    def matches(self, data: bytes) -> bool:
        return HASHES[self.algorithm](data).digest() == self.value


@attrs.frozen
class Section:
    """One section: headers by lower-case name (values as written) and its exact bytes, blank line included."""

    headers: Mapping[str, str]
    raw: bytes

    def digest(self, suffix: str = "-digest") -> Digest:
        """Return the one SHA-2 digest whose header ends with ``suffix``; raises ``manifest-digest``."""
        found = [name for name in self.headers if name.endswith(suffix)]
        algorithm = DIGEST_HEADERS.get(found[0].removesuffix(suffix) + "-digest") if len(found) == 1 else None
        if algorithm is None:
            raise BundleRefusedError(
                "manifest-digest",
                f"expected exactly one SHA-2 header ending in {suffix!r}; sign again with SHA-256",
            )
        return Digest(algorithm, _decoded(self.headers[found[0]], algorithm))


@attrs.frozen
class Manifest:
    """A parsed manifest or signature file; ``sections`` by entry name, in file order."""

    main: Section
    sections: Mapping[str, Section]


def parse_manifest(data: bytes, first_header: str) -> Manifest:
    """Parse ``data``, whose first header must be ``first_header`` with value 1.0; raises ``manifest-form``."""
    _check_lines(data)
    blocks = data[:-4].split(b"\r\n\r\n")
    main = _parse_section(blocks[0])
    if next(iter(main.headers.items())) != (first_header.lower(), "1.0"):
        raise _form(f"does not begin with {first_header}: 1.0")
    sections: dict[str, Section] = {}
    for block in blocks[1:]:
        section = _parse_section(block)
        if next(iter(section.headers)) != "name":
            raise _form("has a section that does not begin with Name")
        if section.headers["name"] in sections:
            raise _form(f"has two sections for {shown(section.headers['name'])}")
        sections[section.headers["name"]] = section
    return Manifest(main, sections)


def write_section(headers: Mapping[str, str]) -> bytes:
    """Return one section, wrapped at 70 bytes and closed by its blank line."""
    return b"".join(_written(f"{name}: {value}".encode()) for name, value in headers.items()) + b"\r\n"


def encoded_digest(value: bytes) -> str:
    """Return Base64 as a manifest states it."""
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _check_lines(data: bytes) -> None:
    """Check the form of all lines at once, in C: a manifest may have hundreds of thousands."""
    ends = data.count(b"\r\n")
    if not data.endswith(b"\r\n\r\n"):
        raise _form("does not end with a blank line")
    if ends > limits.MAX_MANIFEST_LINES:
        raise _form(f"has more than {limits.MAX_MANIFEST_LINES} lines")
    if b"\0" in data or not ends == data.count(b"\r") == data.count(b"\n"):
        raise _form("has a NUL, or a line that does not end with CRLF")
    if max(map(len, data.split(b"\r\n"))) > MAX_LINE_BYTES:
        raise _form(f"has a line longer than {MAX_LINE_BYTES} bytes")


def _parse_section(block: bytes) -> Section:
    if not block or block.startswith((b" ", b"\r\n")):
        raise _form("has an empty section or one that begins with a continuation")
    headers: dict[str, str] = {}
    for line in block.replace(b"\r\n ", b"").split(b"\r\n"):  # continuations joined
        name, colon, value = line.partition(b": ")
        header = _header(name)
        if not colon or header is None:
            raise _form("has a line that is not 'Name: value'")
        if header in headers:
            raise _form(f"has header {header} twice in one section")
        try:
            headers[header] = value.decode("utf-8")
        except UnicodeDecodeError:
            raise _form("is not UTF-8") from None
    return Section(headers, block + b"\r\n\r\n")


@lru_cache(maxsize=64)
def _header(name: bytes) -> str | None:
    """The header's name in lower case, None when it is none. Most manifests have few, many thousand times each."""
    return name.decode("ascii").lower() if _HEADER_NAME.fullmatch(name) else None


def _decoded(text: str, algorithm: str) -> bytes:
    try:
        value = binascii.a2b_base64(text)
    except ValueError:
        value = b""
    if len(value) != _SIZES[algorithm] or encoded_digest(value) != text:  # so it has this one spelling
        raise BundleRefusedError(
            "manifest-digest", "a digest is not the Base64 of its algorithm's length; sign again"
        )
    return value


def _written(line: bytes) -> bytes:
    if len(line) <= _WRITTEN_LINE_BYTES:
        return line + b"\r\n"
    pieces = [line[:_WRITTEN_LINE_BYTES]]
    step = _WRITTEN_LINE_BYTES - 1
    pieces += [line[at : at + step] for at in range(_WRITTEN_LINE_BYTES, len(line), step)]
    return b"\r\n ".join(pieces) + b"\r\n"


def _form(why: str) -> BundleRefusedError:
    return BundleRefusedError("manifest-form", f"a manifest {why}; sign it again with rjs or jarsigner")
