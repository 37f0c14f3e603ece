"""The command line of a job whose runtime is Java.

The class path is folders of verified files, never an archive: the virtual machine's own JAR reader, which accepts
much that ours refuses, is not part of what an owner must trust. All paths on it are relative to the working folder,
because a state folder's own path may contain the separator.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cs.confinement import view_of
from cs.java import MACHINE_OPTIONS
from cs.network_proxy_clients import java_options as proxy_options
from cs.prepared import JarFolder, Prepared
from rjs.bundle.names import shown
from rjs.descriptor.java_machine import heap_in, is_class_name, memory_for
from rjs.descriptor.java_options import heap_of, initial_heap_of
from rjs.errors import RefusedError
from rjs.limits import JAVA_ROOM, JAVA_SHARE, MIB


def java_argv(prepared: Prepared) -> list[str]:
    """Run the main class with the classes of the bundle and of its further JARs. Pure: looks at no file.

    Raises RefusedError without a virtual machine here, for a main class that is no name of a class, and for a heap
    that does not fit into the task's memory.
    """
    java, descriptor = prepared.java, prepared.descriptor
    if java is None:
        raise RefusedError("needs-java", "it needs Java, which is not there")
    if not is_class_name(descriptor.entry):
        raise RefusedError("main-class", f"{shown(descriptor.entry)} is not the name of a main class")
    place, view, settings = prepared.workplace, view_of(prepared), descriptor.java
    return [
        str(java.path) if prepared.walls is None else prepared.walls.java,
        *MACHINE_OPTIONS,
        f"-XX:ActiveProcessorCount={descriptor.needs.cores}",
        *memory_options(descriptor.needs.memory, settings.options),
        *proxy_options(prepared),
        *settings.options,  # of two options of one name the last one counts
        *(f"-D{name}={value}" for name, value in settings.properties),
        "-Djava.awt.headless=true",
        f"-Djava.io.tmpdir={view.path(place.temporary)}",
        f"-Duser.home={view.path(place.job)}",
        f"-Djava.library.path={_relative(_library_path(prepared), place.job)}",
        "-cp",
        _relative(_class_path(prepared, java.major), place.job),
        descriptor.entry,
        *prepared.arguments,
    ]


def memory_options(memory: int, options: Sequence[str]) -> list[str]:
    """A heap and direct buffers that leave the virtual machine its own room within ``memory`` bytes.

    A job's own ``-Xmx`` stands where it leaves JAVA_ROOM. Raises RefusedError where it does not, where ``memory``
    is too little for any heap, and for an ``-Xms`` above the heap, with which no virtual machine starts.
    """
    asked, initial = heap_of(options), initial_heap_of(options)
    heap = heap_in(memory) if asked is None else asked
    if heap == 0:
        raise RefusedError(
            "needs-memory", f"a Java job needs {memory_for(0) // MIB} MiB of memory at least; state so much"
        )
    if heap + JAVA_ROOM > memory:
        raise RefusedError(
            "needs-memory",
            f"of {memory // MIB} MiB of memory, a heap of {heap // MIB} MiB leaves less than the "
            f"{JAVA_ROOM // MIB} MiB that Java itself takes; state more memory, or a smaller -Xmx",
        )
    if initial is not None and initial > heap:
        raise RefusedError(
            "needs-memory",
            f"-Xms asks for {initial / MIB:,.0f} MiB of heap at the start, and {heap / MIB:,.0f} MiB is the most it "
            "gets; state more memory or a larger -Xmx, or a smaller -Xms",
        )
    stated = [f"-Xmx{heap}", f"-XX:MaxDirectMemorySize={memory // JAVA_SHARE // 2}"]
    return stated if asked is None else stated[1:]


def _class_path(prepared: Prepared, version: int) -> Iterator[Path]:
    """The bundle's folder and each JAR's; before them, as the JAR specification has it, what a multi-release one
    holds for Java ``version`` and those before it. A folder that is not there counts as empty."""
    classes = [JarFolder.of(prepared.bundle, prepared.workplace.job)]
    classes += [jar for jar in prepared.jars if not jar.native]
    for jar in classes:
        if jar.multi_release:
            yield from (jar.path / "META-INF" / "versions" / str(each) for each in range(version, 8, -1))
        yield jar.path


def _library_path(prepared: Prepared) -> Iterator[Path]:
    yield from (jar.path for jar in prepared.jars if jar.native)
    yield prepared.workplace.job


def _relative(paths: Iterable[Path], folder: Path) -> str:
    return os.pathsep.join(os.path.relpath(path, folder) for path in paths)
