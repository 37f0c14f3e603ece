"""Gathers a native job: one executable for each platform, and files that go along to all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from rjs import limits
from rjs.bundle.names import shown
from rjs.errors import UsageError
from rjs.needs import Platform
from rjs.packing.executable import Executable, ExecutableError, read_executable
from rjs.packing.include import matching
from rjs.packing.job_files import Gathered, JobFile, JobFiles, PackingError
from rjs.packing.made import made_descriptor
from rjs.packing.tree import DiskFile, Tree, UnfitFileError, look_at
from rjs.toml_text import TomlValue

_EVERYWHERE: Final[Mapping[str, tuple[str, ...]]] = {
    "linux": ("libc.so.", "libm.so.", "libdl.so.", "libpthread.so.", "librt.so.", "ld-linux"),
    "macos": ("/usr/lib/", "/System/Library/"),
}
"""How the names of libraries begin that every desktop of a system has."""


def gather_native(
    path: Path,
    executables: Sequence[tuple[Platform, Path]],
    *,
    include: Sequence[str] = (),
    tasks: int = 1,
    name: str | None = None,
) -> JobFiles:
    """Give what the bundle of these executables, one for each platform, holds.

    ``path`` is a folder whose files go along, all of them or those that ``include`` names; or, where nothing lies
    there but one of the executables, the name of the job. The descriptor is made here. Raises PackingError,
    UsageError, ChangedFileError, or OSError.
    """
    gathering = _Gathering()
    if path.is_dir():
        gathering.take_folder(Tree(path), include)
    elif include:
        raise UsageError("--include takes files of a folder; name it instead of the job")
    elif path.exists() and not any(path.samefile(file) for _, file in executables):
        raise PackingError(path, ["with --native, name the job here, or a folder of files that go along"])
    for platform, file in executables:
        gathering.take_executable(platform, file)
    toml = made_descriptor(name or path.resolve().name, "native", tasks, tables=gathering.tables())
    gathering.add(toml)
    return gathering.judged(path)


@attrs.define
class _Gathering(Gathered):
    """What is taken so far, and the ``entries`` of platforms."""

    entries: dict[Platform, str] = attrs.field(factory=dict)

    def add(self, file: JobFile) -> None:
        """Take a file under a name that no other has."""
        if file.name in self.files:
            self.faults.append(f"{shown(file.name)} is made here; rename the folder's own")
        super().add(file)

    def take_folder(self, tree: Tree, include: Sequence[str]) -> None:
        """Take files of the folder, all if no pattern is given."""
        for pattern in include or ("**",):
            names = matching(tree, pattern)
            if include and not names:
                self.faults.append(f"--include {shown(pattern)} names no file of the folder")
            for name in names:
                self.take_of(tree, name, f"included by {pattern}" if include else "goes along")

    def take_executable(self, platform: Platform, path: Path) -> None:
        """Take the executable for ``platform``, which it must be for."""
        if platform in self.entries:
            self.faults.append(f"{platform} has two executables; name each platform once")
            return
        try:
            file = look_at(path.resolve())
            found = read_executable(_head(file))
        except (UnfitFileError, ExecutableError) as error:
            self.faults.append(f"{shown(str(path))} {error}")
            return
        if found.platforms and platform not in found.platforms:
            real = ", ".join(map(str, found.platforms))
            self.faults.append(f"{shown(str(path))} is for {real}, not for {platform}")
        self.warnings += _doubts(path, platform, file, found)
        name = self.entries[platform] = f"{platform}/{path.name}"
        self.add(JobFile(name, file, file.size, True, f"the executable for {platform}"))

    def tables(self) -> Iterator[tuple[str, Mapping[str, TomlValue]]]:
        """What the descriptor says of each platform: its own entry, which makes it one that the job serves."""
        for platform, name in sorted(self.entries.items()):
            yield "[[resources]]", {"os": platform.os, "arch": platform.arch, "entry": name}


def _head(file: DiskFile) -> bytes:
    head = bytearray()
    for chunk in file.chunks():
        head += chunk
        if len(head) >= limits.MAX_EXECUTABLE_READ:
            break
    return bytes(head)


def _doubts(path: Path, platform: Platform, file: DiskFile, found: Executable) -> Iterator[str]:
    what = shown(str(path))
    if found.kind == "script":
        yield f"{what} is a script; a compute server may lack its interpreter"
    if found.kind == "PE" or file.size > limits.MAX_EXECUTABLE_READ:
        yield f"{what}: which libraries it needs is not looked at"
    usual = _EVERYWHERE.get(platform.os, ())
    if rare := [library for library in found.libraries if not library.startswith(usual)]:
        names = ", ".join(map(shown, rare))
        yield f"{what} needs {names}, which a compute server may lack; link statically, or let them go along"
