"""Why an attempt did not come to a regular end."""

from __future__ import annotations

from rjs.errors import RefusedError, RjsError


class SpawnerDiedError(RjsError):
    """The spawner ended or fell silent; its attempt has failed and its processes were killed. Start a new one."""


class NotStartedError(RefusedError):
    """The attempt could not be started and left nothing: the program, its folder or its output files are wrong."""
