"""The line format of MANIFEST.MF and .SF files: a strict reader and a writer.

Reference: the JAR File Specification, "JAR Manifest" and "Signature File". The reader is stricter: CRLF only, no
duplicate header (Java silently takes the last), exactly one blank line after every section.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown

MAX_LINE_BYTES: Final = 72
_WRITTEN_LINE_BYTES: Final = 70
"""Every Java, old ones too, counts the line's end differently; 70 satisfies all."""
_HEADER: Final = re.compile(rb"([A-Za-z0-9][A-Za-z0-9_-]{0,69}): (.*)", re.DOTALL)
DIGEST_HEADERS: Final[Mapping[str, str]] = {
    "sha-256-digest": "sha256",
    "sha-384-digest": "sha384",
    "sha-512-digest": "sha512",
}


@attrs.frozen
class Digest:
    """A stated digest: ``algorithm`` as hashlib calls it."""

    algorithm: str
    value: bytes

    def matches(self, data: bytes) -> bool:
        return hashlib.new(self.algorithm, data).digest() == self.value


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
    if not data.endswith(b"\r\n\r\n"):
        raise _form("does not end with a blank line")
    if data.count(b"\r\n") > limits.MAX_MANIFEST_LINES:
        raise _form(f"has more than {limits.MAX_MANIFEST_LINES} lines")
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
    return base64.b64encode(value).decode("ascii")


def _parse_section(block: bytes) -> Section:
    headers: dict[str, str] = {}
    for line in _logical_lines(block):
        match = _HEADER.fullmatch(line)
        if match is None:
            raise _form("has a line that is not 'Name: value'")
        name = match[1].decode("ascii").lower()
        if name in headers:
            raise _form(f"has header {name} twice in one section")
        try:
            headers[name] = match[2].decode("utf-8")
        except UnicodeDecodeError:
            raise _form("is not UTF-8") from None
    return Section(headers, block + b"\r\n\r\n")


def _logical_lines(block: bytes) -> Iterator[bytes]:
    """Yield the block's lines with their continuations joined."""
    lines = block.split(b"\r\n")
    if b"\0" in block or block.count(b"\r") + block.count(b"\n") != 2 * (len(lines) - 1):
        raise _form("has a NUL, or a line that does not end with CRLF")
    if max(map(len, lines)) > MAX_LINE_BYTES:
        raise _form(f"has a line longer than {MAX_LINE_BYTES} bytes")
    if not lines[0] or lines[0].startswith(b" "):
        raise _form("has an empty section or one that begins with a continuation")
    pieces = [lines[0]]  # joined once: a header may have a hundred thousand continuations
    for line in lines[1:]:
        if line.startswith(b" "):
            pieces.append(line[1:])
        else:
            yield b"".join(pieces)
            pieces = [line]
    yield b"".join(pieces)


def _decoded(text: str, algorithm: str) -> bytes:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != hashlib.new(algorithm).digest_size or encoded_digest(value) != text:
        raise BundleRefusedError(
            "manifest-digest", "a digest is not the Base64 of its algorithm's length; sign again"
        )
    return value


def _written(line: bytes) -> bytes:
    pieces = [line[:_WRITTEN_LINE_BYTES]]
    step = _WRITTEN_LINE_BYTES - 1
    pieces += [line[at : at + step] for at in range(_WRITTEN_LINE_BYTES, len(line), step)]
    return b"\r\n ".join(pieces) + b"\r\n"


def _form(why: str) -> BundleRefusedError:
    return BundleRefusedError("manifest-form", f"a manifest {why}; sign it again with rjs or jarsigner")
