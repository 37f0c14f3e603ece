"""The gate: judges a signed JAR's signer and manifest, then checks each file's digest as it is read.

Nothing in RJS reads a received JAR but through ``open_bundle``. It says whether a bundle is valid, not whether its
signer may do anything: that is ``policy``. It must be read twice.

    with open_bundle(file, at=now) as bundle:
        if trusted_by(bundle.signer, grants): bundle.unpack(folder)
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rjs import limits
from rjs.bundle import cms
from rjs.bundle.attributes import (
    EXECUTABLE_HEADER,
    BundleAttributes,
    check_entry_attributes,
    check_main_attributes,
    typed_attributes,
)
from rjs.bundle.crl import RevocationList, check_revocation
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.manifest import HASHES, Digest, Manifest, Section, parse_manifest
from rjs.bundle.names import parts_of, shown
from rjs.bundle.path import CODE_SIGNING, subject_of, validate_path
from rjs.bundle.unpack import unpack_files
from rjs.bundle.window import ArchiveFile
from rjs.bundle.zip import ZipArchive, read_archive
from rjs.ids import BundleId, SpkiDigest

MANIFEST_NAME: Final = "META-INF/MANIFEST.MF"
_BLOCK_SUFFIXES: Final = (".RSA", ".EC")
_OTHER_SIGNATURE_SUFFIXES: Final = (".SF", ".DSA", *_BLOCK_SUFFIXES)


@attrs.frozen
class Signer:
    """Who signed: the key, its certificate and the path that was validated (DER, leaf first, root last)."""

    spki: SpkiDigest
    subject: str
    certificate: bytes = attrs.field(repr=False)
    path: tuple[bytes, ...] = attrs.field(repr=False)
    not_after: datetime


@attrs.frozen
class Entry:
    """One signed file: its size in bytes, its digest, and whether its signer marked it executable."""

    name: str
    size: int
    digest: Digest
    executable: bool


@attrs.frozen
class OpenedBundle:
    """A bundle whose signer and manifest were judged. No file was read yet: each is checked as it is read.

    Holds the open file, which nobody else may read meanwhile, and never opens it by name.
    """

    bundle_id: BundleId
    signer: Signer
    entries: Mapping[str, Entry]
    attributes: BundleAttributes
    main_headers: Mapping[str, str]
    _archive: ZipArchive = attrs.field(repr=False)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield a file's content in bounded pieces; raises ``file-changed`` at its end unless it is what was signed.

        Nothing of it may be used before the iterator has ended.
        """
        entry = self._entry(name)
        running = HASHES[entry.digest.algorithm]()
        for chunk in self._archive.chunks(self._archive.files[name]):
            running.update(chunk)
            yield chunk
        if running.digest() != entry.digest.value:
            raise BundleRefusedError(
                "file-changed", f"{shown(name)} is not the file that was signed; get it again"
            )

    def read(self, name: str, limit: int) -> bytes:
        """Return a file of at most ``limit`` bytes; raises ``missing-file``, ``file-size``, or like ``chunks``."""
        if self._entry(name).size > limit:
            raise BundleRefusedError("file-size", f"{shown(name)} is larger than {limit} bytes")
        return b"".join(self.chunks(name))

    def check_all(self) -> None:
        """Hash every file; raises like ``chunks`` at the first that is not what was signed."""
        for name in self.entries:
            for _ in self.chunks(name):
                pass

    def place_of(self, name: str) -> range:
        """Where in the archive the bytes lie that stand for a file's content; raises ``missing-file``."""
        return self._archive.files[self._entry(name).name].place

    def unpack(self, destination: Path, without: Collection[str] = ()) -> None:
        """Write every file below the new folder ``destination``, which appears only when all were checked.

        Files named in ``without`` are neither read nor written. Raises BundleRefusedError like ``chunks``,
        FileExistsError, and OSError; then nothing is left behind.
        """
        files = (
            (parts_of(name), entry.executable, self.chunks(name))
            for name, entry in self.entries.items()
            if name not in without
        )
        unpack_files(files, destination)

    def close(self) -> None:
        self._archive.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entry(self, name: str) -> Entry:
        entry = self.entries.get(name)
        if entry is None:
            raise BundleRefusedError("missing-file", f"the bundle has no file {shown(name)}")
        return entry


def open_bundle(
    file: ArchiveFile,
    *,
    at: datetime,
    roots: Sequence[x509.Certificate] | None = None,
    purpose: x509.ObjectIdentifier = CODE_SIGNING,
    crls: Sequence[RevocationList] | None = None,
) -> OpenedBundle:
    """Judge a signed JAR at the aware time ``at``; raises BundleRefusedError and nothing else, whatever the bytes.

    ``roots`` None means that the block's own root proves form and dates only: whether the key is trusted is
    decided elsewhere. ``purpose`` is the extended key usage that the signer needs; only ``answer`` gives another.
    ``crls`` None asks for no revocation lists; any other value, an empty one too, asks every CA of the path for one.

    1. The ZIP structure has one reading, and names are safe and can coexist (``zip``, ``names``).
    2. There are one manifest, one signature file and its one block, and nothing else of the kind in META-INF/.
    3. The block is CMS of the accepted form and its signature over the signature file verifies (``cms``).
    4. The block's suffix fits the key.
    5. A certification path is valid now, for this purpose, to an accepted root (``path``).
    6. Where revocation lists are asked for: each CA has a fresh one, and none names a certificate (``crl``).
    7. The signature file is well formed and names the digests of the manifest and of its main attributes.
    8. The manifest has these digests, is well formed, and each section has the digest in the signature file.
    9. Names in the signature file = names in the manifest = files in the archive; sections of packages are no files.
    10. Every file has exactly one SHA-2 digest, none lists further JARs, and no section asks for what we do not do.
    11. Main attributes are allowed, and ours are well formed (``attributes``).
    12. (When a file is read) its inflated size, CRC and digest are those stated.
    """
    archive = read_archive(file)  # 1
    signature_name, block_name = _signature_names(archive)  # 2
    signature_file = _whole(archive, signature_name, limits.MAX_MANIFEST_BYTES)
    block = cms.verify_block(_whole(archive, block_name, limits.MAX_BLOCK_BYTES), signature_file)  # 3
    if not block_name.endswith(cms.block_suffix(cms.key_of(block.signer))):  # 4
        raise BundleRefusedError(
            "block-algorithm", f"{shown(block_name)} does not hold a signature of that kind"
        )
    path = validate_path(block.signer, block.others, roots=roots, at=at, purpose=purpose)  # 5
    if crls is not None:
        check_revocation(path, crls, at=at)  # 6
    signature = parse_manifest(signature_file, "Signature-Version")  # 7
    manifest_bytes = _whole(archive, MANIFEST_NAME, limits.MAX_MANIFEST_BYTES)
    manifest = _judged_manifest(manifest_bytes, signature)  # 8
    _check_same_files(archive, manifest, signature, {MANIFEST_NAME, signature_name, block_name})  # 9
    entries = _judged_sections(manifest, archive)  # 10
    check_main_attributes(manifest.main.headers)  # 11
    attributes = typed_attributes(manifest.main.headers)
    signer = _signer_of(path)
    return OpenedBundle(
        bundle_id_of(manifest_bytes, signer.spki), signer, entries, attributes, manifest.main.headers, archive
    )


def bundle_id_of(manifest: bytes, signer: SpkiDigest) -> BundleId:
    """SHA-256("rjs-bundle-1" ‖ SHA-256(MANIFEST.MF) ‖ SHA-256(signer's SPKI)), as 64 hex digits."""
    digest = hashlib.sha256(b"rjs-bundle-1" + hashlib.sha256(manifest).digest() + bytes.fromhex(signer))
    return BundleId(digest.hexdigest())


def is_signature_related(name: str) -> bool:
    """Whether Java would leave ``name`` unsigned because of its place in META-INF/ (JAR specification)."""
    folder, _, base = name.upper().rpartition("/")
    return folder == "META-INF" and (
        base == "MANIFEST.MF" or base.startswith("SIG-") or base.endswith(_OTHER_SIGNATURE_SUFFIXES)
    )


def _signature_names(archive: ZipArchive) -> tuple[str, str]:
    related = {name for name in archive.files if is_signature_related(name)}
    if MANIFEST_NAME not in related or len(related) == 1:
        raise BundleRefusedError(
            "unsigned", "the JAR is not signed; do so with `rjs sign`, `rjs pack` or jarsigner"
        )
    related.discard(MANIFEST_NAME)
    signature_name = next((name for name in related if name.endswith(".SF")), "")
    blocks = [
        name for name in related if name in {signature_name[:-3] + suffix for suffix in _BLOCK_SUFFIXES}
    ]
    if (
        not signature_name
        or not signature_name.startswith("META-INF/")
        or len(blocks) != 1
        or len(related) != 2
    ):
        raise BundleRefusedError(
            "signature-files",
            "META-INF/ must hold exactly one .SF file, its one .RSA or .EC block and nothing else of the kind; "
            "remove the others and sign once",
        )
    return signature_name, blocks[0]


def _whole(archive: ZipArchive, name: str, limit: int) -> bytes:
    member = archive.files[name]
    if member.size > limit:
        raise BundleRefusedError("zip-limit", f"{shown(name)} is larger than {limit} bytes")
    return b"".join(archive.chunks(member))


def _judged_manifest(data: bytes, signature: Manifest) -> Manifest:
    whole = signature.main.digest("-digest-manifest")
    main = signature.main.digest("-digest-manifest-main-attributes")
    if not whole.matches(data):
        raise BundleRefusedError(
            "signature-digest", "the manifest is not the one that was signed; get the bundle again"
        )
    manifest = parse_manifest(data, "Manifest-Version")
    if not main.matches(manifest.main.raw):
        raise BundleRefusedError(
            "signature-digest", "the manifest's main attributes are not those that were signed"
        )
    for name, section in manifest.sections.items():
        stated = signature.sections.get(name)
        if stated is not None and not stated.digest().matches(section.raw):
            raise BundleRefusedError(
                "signature-digest", f"the manifest's section of {shown(name)} was not signed so"
            )
    return manifest


def _check_same_files(archive: ZipArchive, manifest: Manifest, signature: Manifest, own: set[str]) -> None:
    present = set(archive.files) - own
    added = present - manifest.sections.keys()
    others = manifest.sections.keys() - present
    missing = {name for name in others if not _is_description(name, manifest.sections[name])}
    for name in sorted(added | missing | (manifest.sections.keys() ^ signature.sections.keys())):
        what = "was added after signing" if name in present else "was signed but is missing"
        raise BundleRefusedError(
            "files-differ", f"{shown(name)} {what}; get the bundle again from its signer"
        )


def _judged_sections(manifest: Manifest, archive: ZipArchive) -> dict[str, Entry]:
    """Return the signed files, in the manifest's order, having judged the sections of what is no file too."""
    entries = {}
    for name, section in manifest.sections.items():
        member = archive.files.get(name)
        check_entry_attributes(name, section.headers, is_file=member is not None)
        if member is None:
            parts_of(name.removesuffix("/"))
        else:
            executable = EXECUTABLE_HEADER.lower() in section.headers
            entries[name] = Entry(name, member.size, section.digest(), executable)
    return entries


def _is_description(name: str, section: Section) -> bool:
    """Whether this section may be of something that is no file, such as a Java package.

    It states no content. For a folder entry that such a section names, jarsigner states the digest of nothing.
    """
    stated = any(header.endswith("-digest") for header in section.headers)
    return not stated or (name.endswith("/") and section.digest().matches(b""))


def _signer_of(path: Sequence[x509.Certificate]) -> Signer:
    leaf = path[0]
    encoded = tuple(certificate.public_bytes(Encoding.DER) for certificate in path)
    return Signer(spki_of(leaf), subject_of(leaf), encoded[0], encoded, leaf.not_valid_after_utc)


def spki_of(certificate: x509.Certificate) -> SpkiDigest:
    """SHA-256 of the certificate's SubjectPublicKeyInfo, as 64 hex digits."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SpkiDigest(hashlib.sha256(key).hexdigest())
