"""The command line of a job that brings an executable for each platform."""

from __future__ import annotations

from cs.confinement import view_of
from cs.prepared import Prepared
from rjs.bundle.names import shown
from rjs.errors import RefusedError


def native_argv(prepared: Prepared) -> list[str]:
    """Run this platform's executable. Raises RefusedError where there is none, or none that its signer marked."""
    entry = prepared.descriptor.entry
    file = prepared.bundle.entries.get(entry)
    if file is None:
        raise RefusedError(
            "no-executable", "the job has no executable for this platform; name one in [[resources]]"
        )
    if not file.executable:
        raise RefusedError(
            "not-executable",
            f"{shown(entry)} was not signed as executable (RJS-Executable); set its mode bit and pack it again",
        )
    return [str(view_of(prepared).path(prepared.workplace.job / entry)), *prepared.arguments]
