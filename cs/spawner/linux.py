"""The calls to the Linux kernel that Python does not offer. Nothing else in this package uses ctypes."""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (a child subreaper, prctl(2))."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal: int, parent: int) -> None:
    """Get ``signal`` when the *thread* that started this process ends; raises SystemExit if it is gone already.

    Survives execve(2) except into a program that gains privileges; children do not inherit it.
    """
    _prctl(_PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:
        raise SystemExit("the parent is gone")


def hide_memory() -> None:
    """Let no process of the same account trace this one or read its memory and descriptors; execve undoes it."""
    _prctl(_PR_SET_DUMPABLE, 0)


def show_memory() -> None:
    """Undo ``hide_memory``: /proc/self belongs to our own account again."""
    _prctl(_PR_SET_DUMPABLE, 1)


def forgo_privileges() -> None:
    """Set-user-id programs gain nothing from here on, in all descendants: none can escape our signals."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")
