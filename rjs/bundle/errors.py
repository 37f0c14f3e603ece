"""Why a bundle is refused: every code, with what it means. ``docs/bundle-format.md`` prints the same table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rjs.errors import RefusedError

CODES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "zip-end": "the end record is not exactly at the end, has a comment, or asks for several disks or ZIP64",
        "zip-directory": "the central directory is malformed or does not end where the end record begins",
        "zip-layout": "a prefix, gap, overlap or hidden entry: entries do not follow each other from byte 0",
        "zip-header": "the local header or data descriptor disagrees with the central directory",
        "zip-feature": "a flag, method, version or attribute outside plain stored or deflated files and folders",
        "zip-extra": "an extra field that is malformed or not on the allow-list, or more than 1 KiB of them",
        "zip-duplicate": "two entries with one name, or names that some file systems cannot tell apart",
        "zip-data": "the data does not inflate exactly, or its size or CRC is not the stated one",
        "zip-limit": "too large, too many entries, or compressed beyond the allowed ratio",
        "name": "an entry name that is not a safe relative path",
        "manifest-form": "a manifest or signature file that breaks the JAR line format",
        "manifest-digest": "an entry without exactly one SHA-256, SHA-384 or SHA-512 digest",
        "unsigned": "no manifest, no signature file or no signature block",
        "signature-files": "more than one signature, or other signature-related files in META-INF/",
        "block-form": "the signature block is not the one DER form of CMS SignedData that is accepted",
        "block-algorithm": "an algorithm that is too weak, unknown, or does not fit the key",
        "signature": "the signature does not match: the signature file was changed or another key signed it",
        "signature-digest": "the manifest is not the one that was signed",
        "files-differ": "files in the archive, the manifest and the signature file are not the same set",
        "file-changed": "a file's content is not what was signed",
        "certificate": "a certificate that cannot be read, or is not fit for this use",
        "certificate-expired": "the signer's certificate, or one above it, has expired",
        "certificate-not-yet-valid": "the signer's certificate, or one above it, is not valid yet",
        "key-strength": "a key that is too small or of a kind that is not accepted",
        "path": "no valid certification path to an accepted root",
        "revoked": "the signer's certificate, or one above it, is on its CA's revocation list",
        "revocation-unknown": "revocation lists were asked for, and a CA of the path has no valid, fresh one",
        "attribute": "an attribute that is malformed, not implemented or not allowed, or a list of further JARs",
        "missing-file": "a file that was asked for is not in the bundle",
        "file-size": "a file is larger than its reader allows",
        "job-certificate": "an answer certificate was used to sign a job",
        "job-not-yet-valid": "the job's not-before is in the future",
        "job-expired": "the job's not-after has passed",
        "job-outlives-signer": "the job's not-after is later than its signer's certificate",
        "job-cluster": "the job is meant for another cluster",
        "answer-files": "an answer with files other than receipt.json and outputs, or with sealed.cms beside outputs",
        "answer-attributes": "an answer with main attributes that make it something else, such as Main-Class",
        "answer-receipt": "the receipt is malformed or its digests disagree with the files",
        "sign-key": "the signing key does not belong to the first certificate, or the chain lacks its root",
        "sign-input": "a file changed while it was being signed",
    }
)


class BundleRefusedError(RefusedError):
    """A bundle or answer was refused; ``code`` is a key of ``CODES``."""

    def __init__(self, code: str, sentence: str) -> None:
        assert code in CODES, code
        super().__init__(code, sentence)
