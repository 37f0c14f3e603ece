"""The passphrase of a folder's keys: read from a file, and changed for all of them at once.

A change survives being killed at any instant: the keys as they shall be are first written into one file,
``passphrase-change``, encrypted already. Once that is durable, whoever next reads a key of the folder finishes the
change, for which no passphrase is needed; before, nothing has changed.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from rjs.files import read_small, sync_folder, write_atomically
from rjs.identity.errors import IdentityError
from rjs.identity.keys import AskPassphrase, key_pem, load_private
from rjs.limits import IDENTITY_FILE, PASSPHRASE_LEAST

NewPassphrase = Callable[[], bytes | None]
"""Gives the passphrase that keys shall have from now on; None for no protection."""

CHANGE_NAME = "passphrase-change"
_KEYS = frozenset({"root.key", "enrolment.key", "signing.key", "encryption.key"})


def read_passphrase(path: Path) -> bytes:
    """The first line of a file that nobody else can read; raises IdentityError, OSError."""
    if path.stat().st_mode & 0o077:
        raise IdentityError("key_exposed", f"{path} can be read by others; close it with: chmod 600 {path}")
    return read_small(path, IDENTITY_FILE).partition(b"\n")[0].removesuffix(b"\r")


def check_new_passphrase(passphrase: bytes) -> bytes:
    """``passphrase`` where it is long enough to be worth having; raises IdentityError."""
    if len(passphrase) < PASSPHRASE_LEAST:
        raise IdentityError("passphrase_short", f"a passphrase has {PASSPHRASE_LEAST} characters or more")
    return passphrase


def change_passphrase(
    folder: Path, names: Sequence[str], ask: AskPassphrase | None, choose: NewPassphrase
) -> list[Path]:
    """Encrypt those of the keys ``names`` that ``folder`` holds with the passphrase that is chosen, or not at all.

    ``ask`` gives the passphrase that they have now, and ``choose`` is called once that has opened them. All of them
    change, or none; durable on return, which gives their files. Raises IdentityError, OSError.
    """
    with _alone(folder):
        _finish(folder)
        paths = [folder / name for name in names if (folder / name).exists()]
        keys = {path.name: load_private(path, ask) for path in paths}
        passphrase = choose()
        pems = {name: key_pem(key, passphrase).decode("ascii") for name, key in keys.items()}
        write_atomically(folder / CHANGE_NAME, msgspec.json.encode(pems))
        _finish(folder)
    return paths


def finish_change(folder: Path) -> None:
    """Finish a change of the passphrase that was interrupted. To be called before a key of ``folder`` is read."""
    if (folder / CHANGE_NAME).exists():
        with _alone(folder):
            _finish(folder)


def _finish(folder: Path) -> None:
    change = folder / CHANGE_NAME
    try:
        pems = msgspec.json.decode(read_small(change, IDENTITY_FILE), type=dict[str, str])
    except FileNotFoundError:
        return  # another process was faster
    except msgspec.MsgspecError as error:
        raise IdentityError("key_file", f"{change} is damaged: restore the folder from a copy") from error
    if not pems.keys() <= _KEYS:
        raise IdentityError("key_file", f"{change} names what is no key: restore the folder from a copy")
    for name, pem in pems.items():
        write_atomically(folder / name, pem.encode("ascii"))
    change.unlink()
    sync_folder(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: a second change, begun in the middle of a first, would mix both."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
