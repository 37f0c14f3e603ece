"""Why something is no checkpoint though it is a signed JAR."""

from __future__ import annotations

from rjs.errors import RefusedError


class CheckpointRefusedError(RefusedError):
    """This is no checkpoint, or cannot become one. ``code``: ``checkpoint-attributes``, ``-statement``, ``-files`` or
    ``-size``; what is wrong with the JAR itself is a BundleRefusedError."""
