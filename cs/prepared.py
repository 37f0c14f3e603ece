"""An attempt that may be started, as a value: what preparation hands to whoever starts it and signs its answer."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import attrs

from cs.java import Java
from cs.sandbox_choice import Walls
from cs.spawner.folder import Count
from cs.workplace import Workplace
from rjs.attempts import AttemptId
from rjs.bundle.verify import OpenedBundle
from rjs.descriptor.model import Descriptor
from rjs.needs import Offer


@attrs.frozen
class JarFolder:
    """The verified files of one JAR, unpacked below ``path``."""

    path: Path
    native: bool = False
    """It holds native libraries instead of classes."""
    multi_release: bool = False
    """Its manifest says so, and ``META-INF/versions/`` counts."""

    @classmethod
    def of(cls, bundle: OpenedBundle, path: Path, native: bool = False) -> Self:
        """The folder ``path`` into which ``bundle`` is unpacked."""
        stated = bundle.main_headers.get("multi-release", "").strip().lower()
        return cls(path, native=native, multi_release=stated == "true")


@attrs.frozen
class Prepared:
    """An attempt that may be started: verified, trusted, recorded, unpacked."""

    attempt: AttemptId
    workplace: Workplace
    bundle: OpenedBundle
    descriptor: Descriptor
    """As this machine's platform sees it."""
    arguments: tuple[str, ...] = ()
    """What the program is called with, expanded for this task."""
    paths: tuple[Path, ...] = ()
    """Folders of third-party packages, for a Python job."""
    jars: tuple[JarFolder, ...] = ()
    """In the descriptor's order, for a Java job."""
    java: Java | None = None
    """This machine's."""
    library: Path | None = None
    """The folder in which a Python job finds ``rjs``."""
    door: Path | None = None
    """Where the attempt's door will be, if the job asks for a token; in a folder of its bundle's."""
    walls: Walls | None = None
    """How it is confined; None: not at all."""
    offer: Offer = attrs.field(factory=Offer)
    """What was given to it, with the owner's bounds."""
    unpacked: Count = attrs.field(factory=Count)
    """What of its folder is the bundle's and not its own."""
