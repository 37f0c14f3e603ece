"""Passphrases of keys: asked for on the terminal or read from a file, never arguments or environment variables, which
other accounts and later processes could read."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rjs.errors import UsageError

_file = click.Path(exists=True, dir_okay=False, path_type=Path)

passphrase_option = click.option(
    "--passphrase-file", type=_file, metavar="FILE", help="File with the passphrase of the key [asked for]."
)
"""What every command takes that uses a key which may be encrypted; the function receives ``passphrase_file``."""

new_passphrase_option = click.option(
    "--new-passphrase-file", type=_file, metavar="FILE", help="File with the new passphrase [asked for]."
)


class Passphrases:
    """Gives the passphrase of a file of keys, as ``AskPassphrase``; one folder's is asked for once.

    Raises UsageError where there is neither a file nor a terminal, IdentityError for a file that others can read.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: dict[Path, bytes] = {}

    def __call__(self, key: Path) -> bytes:
        """The passphrase of ``key``."""
        folder = key.resolve().parent
        if folder not in self._known:
            self._known[folder] = self._passphrase(key)
        return self._known[folder]

    def _passphrase(self, key: Path) -> bytes:
        from rjs.identity.passphrases import read_passphrase

        if self._file is not None:
            return read_passphrase(self._file)
        return _asked(f"Passphrase of {key}", f"{key} needs a passphrase", "--passphrase-file")


def new_passphrase(file: Path | None, option: str) -> bytes:
    """A passphrase for keys that are to be protected: out of ``file``, which ``option`` names, or typed twice."""
    from rjs.identity.passphrases import check_new_passphrase, read_passphrase

    if file is not None:
        return check_new_passphrase(read_passphrase(file))
    typed = _asked("New passphrase", "the keys need a new passphrase", option, twice=True)
    return check_new_passphrase(typed)


def replacement(file: Path | None, unprotected: bool) -> bytes | None:
    """What shall protect keys from now on, by ``--new-passphrase-file`` and ``--none``: a passphrase, or nothing."""
    if unprotected and file is not None:
        raise click.UsageError("--none and --new-passphrase-file exclude each other")
    return None if unprotected else new_passphrase(file, "--new-passphrase-file")


def _asked(prompt: str, need: str, option: str, *, twice: bool = False) -> bytes:
    if not sys.stdin.isatty():
        raise UsageError(f"{need} and there is no terminal; give {option}")
    typed: str = click.prompt(
        prompt, hide_input=True, confirmation_prompt=twice, default="", show_default=False, err=True
    )
    return typed.encode()
