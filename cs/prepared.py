"""An attempt that may be started, as a value: what preparation hands to whoever starts it and signs its answer."""

from __future__ import annotations

from pathlib import Path

import attrs

from cs.java import Java
from cs.workplace import Workplace
from rjs.bundle.verify import OpenedBundle
from rjs.descriptor.model import Descriptor
from rjs.wire.messages import AttemptId


@attrs.frozen
class JarFolder:
    """The verified files of one further JAR, unpacked below ``path``."""

    path: Path
    native: bool = False
    """It holds native libraries instead of classes."""
    multi_release: bool = False
    """Its manifest says so, and ``META-INF/versions/`` counts."""


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
