"""The two files that an attempt prints into: made by the spawner, held while it runs, cut to their cap at the end."""

from __future__ import annotations

import os
from pathlib import Path

from cs.spawner.errors import LaunchError
from cs.spawner.messages import Run

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_APPEND | os.O_CLOEXEC


class Outputs:
    """Descriptors of stdout and stderr."""

    def __init__(self, run: Run) -> None:
        """Create both, or neither. Raises LaunchError."""
        self._paths = run.stdout, run.stderr
        self.descriptors: list[int] = []
        try:
            for path in self._paths:
                self.descriptors.append(_create(path))
        except LaunchError:
            self.discard()
            raise

    def size(self) -> int:
        """Bytes of the larger one."""
        return max(os.fstat(descriptor).st_size for descriptor in self.descriptors)

    def close(self, cap: int) -> int:
        """The size of the larger one; both are cut to ``cap`` bytes and let go."""
        size = self.size()
        while self.descriptors:
            descriptor = self.descriptors.pop()
            if os.fstat(descriptor).st_size > cap:
                os.ftruncate(descriptor, cap)
            os.close(descriptor)
        return size

    def discard(self) -> None:
        """Nothing was started: remove what was created."""
        for path in self._paths[: len(self.descriptors)]:
            Path(path).unlink(missing_ok=True)
        while self.descriptors:
            os.close(self.descriptors.pop())


def _create(path: str) -> int:
    try:
        return os.open(path, _FLAGS, 0o600)
    except (OSError, ValueError) as error:
        raise LaunchError("spawner.output", f"the output file {path!r} cannot be created: {error}") from error
