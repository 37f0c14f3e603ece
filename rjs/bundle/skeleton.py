"""Which bytes of an archive must be there before it can be judged: all that its structure and signature take.

It judges nothing: it reads the directory with the strict reader's own functions to learn where things lie, and
``verify.open_bundle`` then judges what came as if the whole file were there. What an archive's directory says wrongly
leads to the wrong bytes, and so to a refusal; there are never more of them than MAX_SKELETON_BYTES.

    steps = skeleton(window, {"job.toml"})
    for ranges in steps:
        ...  # these ranges must be there before the next step is asked for
    bundle = open_bundle(window, at=now)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.verify import is_signature_related
from rjs.bundle.window import ArchiveFile
from rjs.bundle.zip import END, LOCAL, Directory, Record, read_directory, read_end, size_of

_SIGNATURE_FILES: Final = 3


def skeleton(file: ArchiveFile, names: Collection[str] = ()) -> Iterator[list[range]]:
    """Yield, step by step, the ranges of the archive to be had before ``open_bundle`` can judge it.

    Among them are the files ``names``, where they are no larger than a manifest may be. Raises BundleRefusedError
    when what came so far is not the directory of an archive, and ``zip-limit`` when there would be too much to come.

    1. The end of the archive: the end record, and most directories whole.
    2. The rest of the directory.
    3. What lies around the files' contents; folders; the signature files; ``names``.
    """
    size = size_of(file)
    tail = range(max(0, size - max(limits.TAIL_BYTES, END.size)), size)
    yield [tail]  # 1
    _, offset = read_end(file, size)
    if offset < tail.start:
        yield [range(offset, tail.start)]  # 2
    around = list(_ranges(read_directory(file), {name.encode() for name in names}))
    if size - offset + sum(map(len, around)) > limits.MAX_SKELETON_BYTES:
        raise BundleRefusedError(
            "zip-limit", f"a judgement takes more than {limits.MAX_SKELETON_BYTES} bytes of the archive"
        )
    yield around  # 3


def _ranges(directory: Directory, names: Collection[bytes]) -> Iterator[range]:
    """All of each entry but the contents of the files that nobody judges a bundle by."""
    records = sorted(directory.records, key=lambda record: record.stated.offset)
    starts = [record.stated.offset for record in records]
    related = [record for record in records if _is_signature_related(record)]
    wanted = {id(record) for record in related} if len(related) <= _SIGNATURE_FILES else set()
    for record, start, stop in zip(records, starts, [*starts[1:], directory.offset], strict=False):
        content = _content(record, start, stop)
        judged = record.is_folder or record.name in names or id(record) in wanted
        if judged and len(content) <= limits.MAX_MANIFEST_BYTES:
            yield range(start, stop)
        else:
            yield range(start, content.start)
            yield range(content.stop, stop)


def _content(record: Record, start: int, stop: int) -> range:
    """Where the content lies of an entry from ``start`` to ``stop``. Raises ``zip-layout``: it is not so long, or
    shorter by more than the strict reader allows for extra fields."""
    end = stop - record.descriptor_size
    begin = end - record.stated.compressed_size
    least = start + LOCAL.size + len(record.name)
    if not least <= begin <= least + limits.MAX_EXTRA_BYTES:
        raise BundleRefusedError("zip-layout", "bytes lie between the entries, or entries overlap")
    return range(begin, end)


def _is_signature_related(record: Record) -> bool:
    return is_signature_related(record.name.decode("utf-8", "replace"))
