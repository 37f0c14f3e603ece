"""Structure-aware fuzzing of the verifier, for tests: the same seed draws the same kinds of changes.

    python -m rjs.bundle.fuzz --inputs 100000 --seed 1

Every input is a correctly signed bundle with random changes to its bytes, its ZIP structure, the text of its
manifest and signature file, or the DER of its block; or one whose signer signed such text. The oracle: the verifier
raises nothing but BundleRefusedError, and what it accepts is, in all that a signature covers, what was signed. Keys
and signatures are fresh in each run, so a failure prints its input.
"""

from __future__ import annotations

import argparse
import base64
import copy
import io
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import attrs
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from rjs.bundle import zip
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.forger import Forger, RawMember, RawZip
from rjs.bundle.path import CODE_SIGNING
from rjs.bundle.testing import NOW, make_party, make_signer
from rjs.bundle.verify import Entry, OpenedBundle, open_bundle
from rjs.errors import RjsError
from rjs.ids import BundleId, SpkiDigest

NUMBERS: Final = (0, 1, 2, 8, 20, 45, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
PIECES: Final = (
    b"", b"\0", b" ", b"\r", b"\n", b"\r\n", b"\r\n ", b"\r\n\r\n", b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\7\x08",
    b"\x30\x80", b"\x05\x00", b"\x31\x00", b"\xff" * 8, b"Name: ", b"Magic: x\r\n", b"SHA-256-Digest: ", b"../",
)  # fmt: skip
NAMES: Final = (
    "run.py", "RUN.PY", "run.py/", "job.toml", "a/b", "a", "../x", "/x", "x\0y", "CON", "x:y", "META-INF/X.SF",
    "META-INF/RJS.RSA", "META-INF/SIG-X", "META-INF/MANIFEST.MF", "meta-inf/manifest.mf", "META-INF/INDEX.LIST",
    "cafe\u0301", "x.", "",
)  # fmt: skip
LAYERS: Final = ("META-INF/MANIFEST.MF", "META-INF/RJS.SF")


@attrs.frozen
class Signed:
    """All that a signature covers: identity, attributes, every file's entry and content."""

    bundle_id: BundleId
    signer: SpkiDigest
    headers: Mapping[str, str]
    entries: Mapping[str, Entry]
    files: Mapping[str, bytes]


@attrs.frozen
class Seed:
    """A bundle to start from, and all that its signature covers."""

    forger: Forger
    archive: RawZip
    jar: bytes
    signed: Signed

    @property
    def block(self) -> str:
        return next(
            name
            for member in self.archive.members
            if (name := member.name.decode()).endswith((".EC", ".RSA"))
        )


@attrs.frozen
class Changed:
    """An input. If its signer signed it again, ``files`` are what was signed, else that is ``origin``'s."""

    origin: Seed
    jar: bytes
    files: Mapping[str, bytes] | None = None


@attrs.frozen
class Outcome:
    """How many inputs ended how: codes of refusals, or ``accepted``."""

    ends: Counter[str]
    seconds: float


def fuzz(inputs: int, seed: int) -> Outcome:
    """Judge ``inputs`` changed bundles; raises FuzzedError at the first that proves the verifier wrong."""
    dice = random.Random(seed)  # noqa: S311  # repeatable, not secret
    seeds = make_seeds()
    ends: Counter[str] = Counter()
    began = time.monotonic()
    for _ in range(inputs):
        origin = dice.choice(seeds)
        change = dice.choice(CHANGES)
        changed = change(origin, dice)
        try:
            ends[end_of(changed)] += 1
        except Exception as error:
            raise FuzzedError(change.__name__, changed.jar, error) from error
    return Outcome(ends, time.monotonic() - began)


class FuzzedError(RjsError):
    """The verifier raised something else than a refusal, or accepted what was not signed; here is the input."""

    def __init__(self, change: str, jar: bytes, why: Exception) -> None:
        super().__init__(f"{change}: {why!r}: {base64.b64encode(zlib.compress(jar)).decode()}")


def end_of(changed: Changed) -> str:
    """Return how an input ended; raises whatever the verifier should not, and AssertionError by the oracle."""
    try:
        with open_bundle(io.BytesIO(changed.jar), at=NOW) as bundle:
            found = signed_of(bundle)
    except BundleRefusedError as refused:
        return refused.code
    if changed.files is None:
        assert found == changed.origin.signed, "accepted, and not what was signed"
    else:
        assert found.files == changed.files, "accepted, and not the files that were signed"
    return "accepted"


def signed_of(bundle: OpenedBundle) -> Signed:
    """All that the signature of an accepted bundle covers."""
    files = {name: bundle.read(name, 10_000) for name in bundle.entries}
    return Signed(
        bundle.bundle_id, bundle.signer.spki, dict(bundle.main_headers), dict(bundle.entries), files
    )


def make_seeds() -> list[Seed]:
    """Bundles by an EC, an RSA and an Ed25519 key, with and without intermediate, stored and deflated."""
    root = make_party("Root", ca=True)
    signers = [
        make_signer("Ada", root),
        make_party("Bob", make_party("CA", root, ca=True), usages=[CODE_SIGNING],
                   key=rsa.generate_private_key(65537, 2048)),
        make_party("Eve", root, usages=[CODE_SIGNING], key=ed25519.Ed25519PrivateKey.generate()),
    ]  # fmt: skip
    return [seed_of(Forger(signer=signer)) for signer in signers]


def seed_of(forger: Forger) -> Seed:
    """A bundle with something of everything that is accepted."""
    forger.main |= {"RJS-Name": "fuzz", "Main-Class": "Main", "X-Long": "long " * 30}
    forger.files |= {"data/größe.bin": bytes(range(256)), "empty": b""}
    forger.per_file["run.py"] = {"RJS-Executable": "true"}
    forger.described["org/example/"] = {"Sealed": "true"}
    archive = forger.archive()
    archive.member("run.py").deflate()
    described = archive.member("job.toml")
    described.deflate()
    described.flags |= zip.FLAG_DESCRIPTOR
    fields = described.fields({})
    described.descriptor = zip.DESCRIPTOR.pack(
        zip.DESCRIPTOR_SIGNATURE, fields["crc"], fields["compressed"], fields["size"]
    )
    archive.members += [RawMember(b"data/", b""), RawMember(b"x/", b"", method=zip.DEFLATED, raw=b"\x03\x00")]
    jar = archive.build()
    with open_bundle(io.BytesIO(jar), at=NOW) as bundle:
        return Seed(forger, archive, jar, signed_of(bundle))


def edited(data: bytes, dice: random.Random) -> bytes:
    """``data`` with one to four edits: bits flipped, bytes replaced, inserted, removed, repeated or moved."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        start = dice.randrange(len(data) + 1)
        end = min(len(data), start + dice.choice((0, 1, 1, 2, 4, 16, 100)))
        piece = dice.choice(
            (
                bytes(byte ^ (1 << dice.randrange(8)) for byte in data[start:end]),
                dice.randbytes(end - start),
                dice.choice(PIECES),
                data[start:end] * 2,
                data[(other := dice.randrange(len(data) + 1)) : other + end - start],
            )
        )
        data = data[:start] + piece + data[end:]
    return data


def edited_lines(data: bytes, dice: random.Random) -> bytes:
    """``data`` with one of its lines removed, repeated, moved, wrapped, spelled or ended otherwise."""
    lines = data.split(b"\r\n")
    here, there = dice.randrange(len(lines)), dice.randrange(len(lines))
    line = lines[here]
    match dice.randrange(7):
        case 0:
            del lines[here]
        case 1:
            lines.insert(there, line)
        case 2:
            lines[here], lines[there] = lines[there], line
        case 3:
            lines[here] = line[: len(line) // 2] + b"\r\n " + line[len(line) // 2 :]
        case 4:
            lines[here] = line.swapcase()
        case 5:
            lines[here] = line + dice.choice(PIECES)
        case _:
            lines[here] = edited(line, dice)
    return b"\r\n".join(lines)


def edited_der(data: bytes, dice: random.Random) -> bytes:
    """``data`` with one element, at any depth, changed, removed, repeated or moved; lengths above it stay right."""
    elements = list(der_elements(data))
    if not elements or dice.random() < 0.3:
        return edited(data, dice)
    index = dice.randrange(len(elements))
    tag, content = elements[index]
    match dice.randrange(6):
        case 0:
            del elements[index]
        case 1:
            elements.insert(index, (tag, content))
        case 2:
            other = dice.randrange(len(elements))
            elements[index], elements[other] = elements[other], elements[index]
        case 3:
            elements[index] = (dice.choice((tag ^ 0x20, 0x02, 0x05, 0x30, 0x31, 0xA0, 0xA1)), content)
        case _:
            elements[index] = (tag, edited_der(content, dice))
    return b"".join(bytes([tag]) + der_length(len(content)) + content for tag, content in elements)


def der_elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each element that ``data`` is made of; nothing when it is not DER throughout."""
    found, position = [], 0
    while len(data) - position >= 2:
        length, start = data[position + 1], position + 2
        if length & 0x80:
            size = length & 0x7F
            length, start = int.from_bytes(data[start : start + size]), start + size
        found.append((data[position], data[start : start + length]))
        position = start + length
    if position == len(data):
        yield from found


def der_length(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    encoded = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([0x80 | len(encoded)]) + encoded


def bytes_changed(origin: Seed, dice: random.Random) -> Changed:
    """Bytes of the archive changed anywhere."""
    return Changed(origin, edited(origin.jar, dice))


def joined(origin: Seed, dice: random.Random) -> Changed:
    """The head of one bundle and the tail of the same, cut elsewhere."""
    cuts = dice.randrange(len(origin.jar)), dice.randrange(len(origin.jar))
    return Changed(origin, origin.jar[: cuts[0]] + origin.jar[cuts[1] :])


def layer_changed(origin: Seed, dice: random.Random) -> Changed:
    """Manifest or signature file changed under a correct ZIP structure."""
    archive = copy.deepcopy(origin.archive)
    member = archive.member(dice.choice(LAYERS))
    member.content = dice.choice((edited, edited_lines))(member.content, dice)
    return Changed(origin, archive.build())


def block_changed(origin: Seed, dice: random.Random) -> Changed:
    """The block's DER changed under a correct ZIP structure."""
    archive = copy.deepcopy(origin.archive)
    member = archive.member(origin.block)
    member.content = edited_der(member.content, dice)
    return Changed(origin, archive.build())


def file_changed(origin: Seed, dice: random.Random) -> Changed:
    """A file's content, or its deflate stream, changed; its CRC is right or wrong."""
    archive = copy.deepcopy(origin.archive)
    member = dice.choice(archive.members)
    if member.raw is not None and dice.random() < 0.6:
        member.raw = edited(member.raw, dice)
    else:
        member.content = edited(member.content, dice)
    return Changed(origin, archive.build())


def headers_changed(origin: Seed, dice: random.Random) -> Changed:
    """One or two fields of a local header, of its record, of both or of the end record changed."""
    archive = copy.deepcopy(origin.archive)
    for _ in range(dice.choice((1, 1, 2))):
        member = dice.choice(archive.members)
        field = dice.choice(("needed", "flags", "method", "crc", "compressed", "size", "disk", "offset"))
        short = field in ("needed", "flags", "method", "disk")
        number = dice.choice(NUMBERS) & (0xFFFF if short else 0xFFFFFFFF)
        where = dice.randrange(4)
        if where == 3:
            field = dice.choice(("disk", "first", "here", "count", "length", "offset"))
            archive.end[field] = dice.choice(NUMBERS) & (
                0xFFFFFFFF if field in ("length", "offset") else 0xFFFF
            )
        if where in (0, 2) and field not in ("disk", "offset"):
            member.local[field] = number
        if where in (1, 2):
            member.central[field] = number
    return Changed(origin, archive.build())


def members_changed(origin: Seed, dice: random.Random) -> Changed:
    """An entry removed, repeated, renamed, moved, hidden, decorated, or compressed the other way."""
    archive = copy.deepcopy(origin.archive)
    index = dice.randrange(len(archive.members))
    member = archive.members[index]
    match dice.randrange(9):
        case 0:
            del archive.members[index]
        case 1:
            archive.members.insert(dice.randrange(len(archive.members)), copy.deepcopy(member))
        case 2:
            member.name = dice.choice(NAMES).encode()
        case 3:
            dice.shuffle(archive.members)
        case 4:
            archive.members.append(RawMember(dice.choice(NAMES).encode(), dice.randbytes(3)))
        case 5:
            member.extra = dice.choice(
                (b"\xfe\xca\0\0", b"\x75\x70\1\0x", b"UT\5\0\1abcd", dice.randbytes(4))
            )
        case 6:
            member.attributes, member.made_by = dice.getrandbits(32), dice.choice((0, 3))
        case 7:
            member.before = archive.build()[:200] if dice.random() < 0.5 else dice.choice(PIECES)
        case _:
            member.deflate()
    return Changed(origin, archive.build())


def resigned(origin: Seed, dice: random.Random) -> Changed:
    """The signer signed another manifest, signature file or set of files: signers may be hostile too."""
    forger = copy.copy(origin.forger)
    change = dice.choice((edited, edited_lines))
    forger.main = {
        **forger.main,
        dice.choice(("RJS-Nonce", "RJS-Not-After", "X")): dice.choice(("", "0" * 32, "ü")),
    }
    match dice.randrange(3):
        case 0:
            forger.change_manifest = lambda data: change(data, dice)
        case 1:
            forger.change_signature_file = lambda data: change(data, dice)
        case _:
            forger.files = {**forger.files, dice.choice(NAMES): dice.randbytes(9)}
    return Changed(origin, forger.build(), forger.files)


Change = Callable[[Seed, random.Random], Changed]
CHANGES: Final[Sequence[Change]] = (
    bytes_changed, joined, layer_changed, block_changed, file_changed, headers_changed, members_changed, resigned,
)  # fmt: skip


def main() -> None:
    """Fuzz and print how the inputs ended."""
    parser = argparse.ArgumentParser(description="Structure-aware fuzzing of the bundle verifier.")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    outcome = fuzz(given.inputs, given.seed)
    lines = [f"{count:>8}  {end}" for end, count in outcome.ends.most_common()]
    total = f"{given.inputs} inputs, seed {given.seed}, {outcome.seconds:.0f} s"
    sys.stdout.write("\n".join([*lines, total]) + "\n")


if __name__ == "__main__":
    main()
