"""Every error that RJS raises for a reason that a person or a peer should read.

The message is what the user reads: what was refused, why, and what would change it. Errors never print
and never exit; the command line alone does. Our own faults, the peer's and the network's have different types.
"""

from __future__ import annotations


class RjsError(Exception):
    """Something went wrong that has an explanation."""

    exit_status = 1


class RefusedError(RjsError):
    """A stated rule said no. ``code`` is stable and documented, ``sentence`` is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence


class UsageError(RjsError):
    """The command was called in a way that cannot work."""

    exit_status = 2


class ConfigError(RjsError):
    """A file that a person edits is wrong; the message names file, line or field, and remedy."""


class ProtocolError(RjsError):
    """The peer broke the wire protocol; the connection is closed with this reason."""


class UnreachableError(RjsError):
    """A server could not be reached, or stopped answering."""

    exit_status = 3


class IllegalTransitionError(RjsError):
    """Our own fault: a state machine was asked for a transition that it does not have."""


# --- rjs.storage, rjs.background ------------------------------------------------------------------------


class StorageError(RjsError):
    """Durable state cannot be opened, read or written; the message names the fault and the remedy."""


class DamagedError(StorageError):
    """A database contradicts itself: what is in it cannot be believed."""


class OverloadedError(RefusedError):
    """More work waits than this server promises to hold; asking again later is right."""
