"""Why a descriptor is refused."""

from __future__ import annotations

from collections.abc import Sequence

from rjs.descriptor.model import DESCRIPTOR_NAME
from rjs.errors import RefusedError


class DescriptorError(RefusedError):
    """The descriptor is wrong; ``mistakes`` lists every one with its place, field and remedy."""

    def __init__(self, mistakes: Sequence[str], file: str = DESCRIPTOR_NAME) -> None:
        super().__init__("descriptor", f"{file}: " + "; ".join(mistakes))
        self.mistakes = tuple(mistakes)
