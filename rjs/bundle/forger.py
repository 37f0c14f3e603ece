"""The forger, for tests: builds JARs of which any part may be wrong, so that each attack is one small change."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from cryptography import x509

from rjs.bundle import cms, zip
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.manifest import encoded_digest, write_section
from rjs.bundle.testing import NOW, Party, make_signer
from rjs.bundle.verify import open_bundle

FILES = {"job.toml": b"name = 'job'\n", "run.py": b"print('hello')\n"}


@attrs.define
class RawMember:
    """One ZIP entry; ``local`` and ``central`` override fields of one header only."""

    name: bytes
    content: bytes
    method: int = zip.STORED
    flags: int = zip.FLAG_UTF8
    raw: bytes | None = None
    crc: int | None = None
    size: int | None = None
    made_by: int = 0
    needed: int = 20
    attributes: int = 0
    extra: bytes = b""
    comment: bytes = b""
    descriptor: bytes | None = None
    before: bytes = b""
    local: dict[str, Any] = attrs.field(factory=dict)
    central: dict[str, Any] = attrs.field(factory=dict)

    def deflate(self) -> None:
        """Compress the content, as jarsigner would."""
        self.method, self.raw = zip.DEFLATED, deflated(self.content)

    def fields(self, override: dict[str, Any]) -> dict[str, Any]:
        data = self.content if self.raw is None else self.raw
        common = {
            "name": self.name,
            "data": data,
            "needed": self.needed,
            "flags": self.flags,
            "method": self.method,
            "crc": zlib.crc32(self.content) if self.crc is None else self.crc,
            "compressed": len(data),
            "size": len(self.content) if self.size is None else self.size,
            "extra": self.extra,
            "disk": 0,
        }
        return {**common, **override}


@attrs.define
class RawZip:
    """A ZIP archive put together byte by byte; ``end`` overrides fields of the end record."""

    members: list[RawMember]
    prefix: bytes = b""
    before_directory: bytes = b""
    after_directory: bytes = b""
    suffix: bytes = b""
    end: dict[str, Any] = attrs.field(factory=dict)

    def member(self, name: str) -> RawMember:
        return next(member for member in self.members if member.name == name.encode())

    def build(self) -> bytes:
        body, directory = bytearray(self.prefix), bytearray()
        for member in self.members:
            body += member.before
            directory += _central(member, len(body))
            body += _local(member)
        body += self.before_directory
        count = len(self.members)
        end: dict[str, Any] = {"disk": 0, "first": 0, "here": count, "count": count, "length": len(directory)}
        end |= {"offset": len(body), "comment": b""} | self.end
        record = struct.pack(
            "<4sHHHHIIH",
            zip.END_SIGNATURE,
            *(end[field] for field in ("disk", "first", "here", "count", "length", "offset")),
            len(end["comment"]),
        )
        return bytes(body + directory + self.after_directory + record + end["comment"] + self.suffix)


def _local(member: RawMember) -> bytes:
    f = member.fields(member.local)
    header = zip.LOCAL.pack(
        f.get("signature", zip.LOCAL_SIGNATURE),
        *(f["needed"], f["flags"], f["method"], 0, 33, f["crc"], f["compressed"], f["size"]),
        *(len(f["name"]), len(f["extra"])),
    )
    return bytes(header + f["name"] + f["extra"] + f["data"] + (member.descriptor or b""))


def _central(member: RawMember, offset: int) -> bytes:
    f = member.fields(member.central)
    header = zip.CENTRAL.pack(
        f.get("signature", zip.CENTRAL_SIGNATURE),
        *(
            20,
            member.made_by,
            f["needed"],
            f["flags"],
            f["method"],
            0,
            33,
            f["crc"],
            f["compressed"],
            f["size"],
        ),
        *(len(f["name"]), len(f["extra"]), len(member.comment), f["disk"], 0, member.attributes),
        f.get("offset", offset),
    )
    return bytes(header + f["name"] + f["extra"] + member.comment)


def deflated(content: bytes) -> bytes:
    """Return the raw deflate stream of ``content``."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


def _same(data: bytes) -> bytes:
    return data


Change = Callable[[bytes], bytes]


@attrs.define
class Forger:
    """Signs ``files`` with a real key. ``change_*`` act before the next layer signs; ``spoil_*`` after signing."""

    signer: Party = attrs.field(factory=make_signer)
    files: dict[str, bytes] = attrs.field(factory=lambda: dict(FILES))
    main: dict[str, str] = attrs.field(factory=dict)
    per_file: dict[str, dict[str, str]] = attrs.field(factory=dict)
    described: dict[str, dict[str, str]] = attrs.field(factory=dict)
    signature_main: dict[str, str | None] = attrs.field(factory=dict)
    stem: str = "META-INF/RJS"
    change_manifest: Change = _same
    spoil_manifest: Change = _same
    change_signature_file: Change = _same
    spoil_signature_file: Change = _same
    spoil_block: Change = _same
    make_block: Callable[[bytes], bytes] | None = None
    suffix: str | None = None

    def archive(self) -> RawZip:
        """Return the signed JAR as an archive that can still be changed."""
        sections = {name: self._section(name, content) for name, content in self.files.items()}
        sections |= {name: write_section({"Name": name, **said}) for name, said in self.described.items()}
        main = write_section({"Manifest-Version": "1.0", "Created-By": "forger", **self.main})
        manifest = self.change_manifest(main + b"".join(sections.values()))
        signature_file = self.change_signature_file(self._signature_file(main, sections, manifest))
        block = (self.make_block or self._block)(signature_file)
        suffix = self.suffix or cms.block_suffix(self.signer.key)
        parts = {
            "META-INF/MANIFEST.MF": self.spoil_manifest(manifest),
            f"{self.stem}.SF": self.spoil_signature_file(signature_file),
            f"{self.stem}{suffix}": self.spoil_block(block),
            **self.files,
        }
        return RawZip(
            [RawMember(name.encode("utf-8", "surrogatepass"), content) for name, content in parts.items()]
        )

    def build(self) -> bytes:
        return self.archive().build()

    def _block(self, signature_file: bytes) -> bytes:
        return cms.sign_block(signature_file, self.signer.key, self.signer.chain)

    def _section(self, name: str, content: bytes) -> bytes:
        headers = {"Name": name, "SHA-256-Digest": digest(content)} | self.per_file.get(name, {})
        return write_section({key: value for key, value in headers.items() if value})

    def _signature_file(self, main: bytes, sections: dict[str, bytes], manifest: bytes) -> bytes:
        headers: dict[str, str | None] = {
            "Signature-Version": "1.0",
            "SHA-256-Digest-Manifest-Main-Attributes": digest(main),
            "SHA-256-Digest-Manifest": digest(manifest),
        }
        stated = {key: value for key, value in (headers | self.signature_main).items() if value is not None}
        return write_section(stated) + b"".join(
            write_section({"Name": name, "SHA-256-Digest": digest(section)})
            for name, section in sections.items()
        )


def digest(data: bytes) -> str:
    """Return the Base64 SHA-256 that a manifest states."""
    return encoded_digest(hashlib.sha256(data).digest())


def refusal_of(jar: bytes, roots: Sequence[x509.Certificate] | None = None) -> str:
    """Open ``jar`` and read every file as its receiver would; return the code of the refusal, or ``accepted``."""
    try:
        open_bundle(io.BytesIO(jar), at=NOW, roots=roots).check_all()
    except BundleRefusedError as refusal:
        return refusal.code
    return "accepted"
