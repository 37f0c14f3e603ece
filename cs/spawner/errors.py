"""Why an attempt did not come to a regular end."""

from __future__ import annotations

from cs.spawner.messages import Failed, FailedCode
from rjs.errors import RefusedError, RjsError


class SpawnerDiedError(RjsError):
    """The spawner ended or fell silent; its attempt has failed and its processes were killed. Start a new one."""


class NotStartedError(RefusedError):
    """The attempt could not be started and left nothing: the program, its folder or its output files are wrong."""


class LaunchError(Exception):
    """In the spawner: nothing was started and nothing is left; ``failed`` says why."""

    def __init__(self, code: FailedCode, sentence: str) -> None:
        super().__init__(sentence)
        self.failed = Failed(code, sentence)
