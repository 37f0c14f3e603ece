"""Gathers what a bundle will hold out of a person's folder, or out of one script, and refuses what it could not.

A person will mend what is wrong, so every fault is reported at once: those that our own verifier would find in the
finished bundle too. Symbolic links are never followed. What editors, caches and version control leave in a folder
stays out and is named in ``left_out``.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.descriptor import ANSWER_FOLDER, DESCRIPTOR_NAME, Descriptor, parse_descriptor
from rjs.bundle.errors import BundleRefusedError, DescriptorError
from rjs.bundle.names import check_coexistence, parts_of, shown
from rjs.bundle.verify import MANIFEST_NAME, is_signature_related
from rjs.errors import RefusedError
from rjs.files import read_small

LEFT_OUT: Final = frozenset(
    {
        ".git", ".hg", ".svn", ".venv", ".tox", ".idea", ".vscode", "__pycache__", ".mypy_cache", ".pytest_cache",
        ".ruff_cache", ".hypothesis", ".DS_Store", "Thumbs.db",
    }
)  # fmt: skip
LEFT_OUT_SUFFIXES: Final = (".pyc", "~", ".swp", ".part")
FAULTS_SHOWN: Final = 20


class PackingError(RefusedError):
    """The folder or script cannot become a bundle; the sentence lists every fault, one a line."""

    def __init__(self, path: Path, faults: Sequence[str]) -> None:
        lines = [f"{path} cannot become a bundle:", *faults[:FAULTS_SHOWN]]
        if len(faults) > FAULTS_SHOWN:
            lines.append(f"and {len(faults) - FAULTS_SHOWN} more")
        super().__init__("pack", "\n".join(lines))
        self.faults = tuple(faults)


@attrs.frozen
class JobFile:
    """One file of a bundle to be: its name there, its content or the path of it, and its size in bytes."""

    name: str
    content: bytes | Path = attrs.field(repr=False)
    size: int
    executable: bool = False


@attrs.frozen
class JobFiles:
    """Everything that a bundle will hold, the descriptor that is among it, and what was left out."""

    files: tuple[JobFile, ...]
    descriptor: Descriptor
    left_out: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


def gather(path: Path, *, without: Path | None = None, tasks: int = 1, name: str | None = None) -> JobFiles:
    """Give what the bundle of ``path`` holds: a folder with a ``job.toml``, or one Python script.

    For a script the descriptor is made here, of ``tasks`` tasks, called ``name`` or like the script. ``without`` is
    a file to leave out (the bundle itself, when it is written into the folder). Raises PackingError, or OSError when
    something cannot be read.
    """
    if path.is_dir():
        return _checked(path, *_scanned(path, without))
    if path.suffix != ".py":
        raise PackingError(path, ["it is neither a folder with a job.toml nor a Python script (.py)"])
    script = JobFile(path.name, path, path.stat().st_size)
    toml = _descriptor_of_script(name or path.stem, path.name, tasks)
    return _checked(path, [JobFile(DESCRIPTOR_NAME, toml, len(toml)), script], [], [])


def _descriptor_of_script(name: str, entry: str, tasks: int) -> bytes:
    quoted = [json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f") for text in (name, entry)]
    text = f'name = {quoted[0]}\nruntime = "python"\nentry = {quoted[1]}\ntasks = {tasks}\n'
    return text.encode("utf-8", "surrogateescape")


def _scanned(folder: Path, without: Path | None) -> tuple[list[JobFile], list[str], list[str]]:
    """Walk the folder: its files, what was left out, and faults."""
    files: list[JobFile] = []
    left_out: list[str] = []
    faults: list[str] = []
    own = _name_below(folder, without)
    for name, entry in _entries(folder, ""):
        found = entry.stat(follow_symlinks=False)
        if name == own or _stays_out(name):
            left_out.append(name)
        elif fault := _fault_of(name, entry, found.st_mode):
            faults.append(f"{shown(name)} {fault}")
        elif stat.S_ISREG(found.st_mode):
            files.append(JobFile(name, Path(entry.path), found.st_size, bool(found.st_mode & stat.S_IXUSR)))
        elif not any(Path(entry.path).iterdir()):
            left_out.append(f"{name}/ (empty)")
    return files, left_out, faults


def _entries(folder: Path, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Every entry below ``folder`` with its name in the bundle, sorted; no link and nothing left out is entered."""
    with os.scandir(folder) as entries:
        here = sorted(entries, key=lambda entry: entry.name)
    for entry in here:
        name = prefix + entry.name
        yield name, entry
        if entry.is_dir(follow_symlinks=False) and not _stays_out(name) and not _too_deep(name):
            yield from _entries(Path(entry.path), f"{name}/")


def _name_below(folder: Path, file: Path | None) -> str | None:
    """The name that ``file`` would have in the bundle; None where it lies elsewhere."""
    if file is None or not file.resolve().is_relative_to(folder.resolve()):
        return None
    return file.resolve().relative_to(folder.resolve()).as_posix()


def _too_deep(name: str) -> bool:
    return name.count("/") >= limits.MAX_NAME_DEPTH


def _stays_out(name: str) -> bool:
    last = name.rpartition("/")[2]
    return last in LEFT_OUT or last.endswith(LEFT_OUT_SUFFIXES) or name == ANSWER_FOLDER


def _fault_of(name: str, entry: os.DirEntry[str], mode: int) -> str | None:
    if stat.S_ISLNK(mode):
        return "is a symbolic link; put what it leads to in its place"
    if stat.S_ISDIR(mode):
        return f"is deeper than {limits.MAX_NAME_DEPTH} folders" if _too_deep(name) else None
    if not stat.S_ISREG(mode):
        return "is a pipe, socket or device; remove it"
    if not os.access(entry.path, os.R_OK):
        return "cannot be read; change its mode"
    return None


def _checked(path: Path, files: list[JobFile], left_out: list[str], faults: list[str]) -> JobFiles:
    """Refuse whatever the verifier or the descriptor's reader would refuse later."""
    faults = [*faults, *_name_faults([file.name for file in files])]
    if len(files) > limits.MAX_ENTRIES:
        faults.append(f"it has {len(files)} files; a bundle holds at most {limits.MAX_ENTRIES}")
    if sum(file.size for file in files) > limits.MAX_ARCHIVE_BYTES:
        faults.append(f"its files are larger than {limits.MAX_ARCHIVE_BYTES} bytes together")
    try:
        descriptor = _descriptor_among(files)
    except DescriptorError as error:
        faults += [f"{DESCRIPTOR_NAME}: {mistake}" for mistake in error.mistakes]
    if faults:
        raise PackingError(path, faults)
    return JobFiles(tuple(files), descriptor, tuple(left_out))


def _name_faults(names: list[str]) -> Iterator[str]:
    safe = []
    for name in names:
        try:
            parts_of(name)
        except BundleRefusedError as error:
            yield error.sentence
            continue
        if is_signature_related(name):
            yield f"{shown(name)} is a place for signatures; leave it out"
            continue
        safe.append(name)
    try:
        check_coexistence([MANIFEST_NAME, *safe])
    except BundleRefusedError as error:
        yield error.sentence


def _descriptor_among(files: Sequence[JobFile]) -> Descriptor:
    for file in files:
        if file.name == DESCRIPTOR_NAME:
            toml = file.content
            if isinstance(toml, Path):
                toml = read_small(toml, limits.MAX_DESCRIPTOR_BYTES)
            return parse_descriptor(toml, {each.name for each in files})
    raise DescriptorError(['there is none; add one with name, runtime = "python" and entry'])
