"""The files of a bundle, as far as its descriptor asks for them."""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs

from rjs.bundle.names import ANSWER_FOLDER
from rjs.descriptor.patterns import FileNames

Read = Callable[[str, int], bytes]
"""Gives the content of a bundle's file by name, of at most so many bytes; raises BundleRefusedError, with the code
``file-size`` when it is longer."""


@attrs.frozen
class Files:
    """Their names, and how to read one; without ``read``, nothing can be judged that needs a content."""

    names: Collection[str]
    read: Read | None = None

    def patterns(self) -> FileNames:
        """What finds the files that patterns name."""
        return FileNames(self.names)


def misplaced_file(names: Collection[str]) -> str | None:
    """The first file where answers go, as a sentence: no bundle of a job has one; None when there is none."""
    for name in sorted(names):
        if name.partition("/")[0].casefold() == ANSWER_FOLDER:
            return f"file {name!a} lies in {ANSWER_FOLDER}/, where answers go; move it elsewhere"
    return None
