"""How a job may start its Java virtual machine: the only options and system properties that are accepted.

A signature covers what a job does, so an option may tune the machine and never name a file, load an agent, run a
command, open a port or change where code comes from. Whatever is not listed here is refused. For every descriptor,
whether ``job.toml`` or JNLP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from rjs import limits
from rjs.bundle.names import shown
from rjs.descriptor.amounts import JAVA_SIZE, java_size

_NUMBER: Final = r"[0-9]{1,6}"
_MODULES: Final = r"[A-Za-z][A-Za-z0-9_.]*(?:,[A-Za-z][A-Za-z0-9_.]*)*"
_CLASSES: Final = r"(?::[A-Za-z_$][A-Za-z0-9_$.]*)?"

OPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        rf"-X(?:ms|mx|mn|ss){JAVA_SIZE}": "`-Xms` `-Xmx` `-Xmn` `-Xss` with a size: heap and stacks",
        rf"-XX:(?:MetaspaceSize|MaxMetaspaceSize|MaxDirectMemorySize|ReservedCodeCacheSize)={JAVA_SIZE}": (
            "`-XX:MetaspaceSize=` `-XX:MaxMetaspaceSize=` `-XX:MaxDirectMemorySize=` `-XX:ReservedCodeCacheSize=` "
            "with a size"
        ),
        r"-XX:\+Use(?:Serial|Parallel|G1|Z|Shenandoah)GC": (
            "`-XX:+UseSerialGC` `-XX:+UseParallelGC` `-XX:+UseG1GC` `-XX:+UseZGC` `-XX:+UseShenandoahGC`, one of them"
        ),
        rf"-XX:(?:ParallelGCThreads|ConcGCThreads|ActiveProcessorCount|MaxGCPauseMillis|NewRatio)={_NUMBER}": (
            "`-XX:ParallelGCThreads=` `-XX:ConcGCThreads=` `-XX:ActiveProcessorCount=` `-XX:MaxGCPauseMillis=` "
            "`-XX:NewRatio=` with a number"
        ),
        r"-XX:[+-](?:UseStringDeduplication|UseCompressedOops|TieredCompilation)": (
            "`-XX:+UseStringDeduplication` `-XX:+UseCompressedOops` `-XX:+TieredCompilation`, or with `-`"
        ),
        r"-XX:TieredStopAtLevel=[0-4]": "`-XX:TieredStopAtLevel=` 0 to 4",
        rf"-(?:ea|da|enableassertions|disableassertions){_CLASSES}": "`-ea` `-da`, or with `:PACKAGE...` or `:CLASS`",
        r"-(?:esa|dsa|enablesystemassertions|disablesystemassertions)": "`-esa` `-dsa`",
        r"-(?:server|client|Xint|Xbatch)": "`-server` `-client` `-Xint` `-Xbatch`",
        r"--enable-preview": "`--enable-preview`",
        rf"--add-modules={_MODULES}": "`--add-modules=` with names of modules",
        rf"--add-(?:opens|exports)={_MODULES}/{_MODULES}=ALL-UNNAMED": (
            "`--add-opens=MODULE/PACKAGE=ALL-UNNAMED`, `--add-exports=` likewise"
        ),
        r"--enable-native-access=ALL-UNNAMED": "`--enable-native-access=ALL-UNNAMED`",
    }
)
"""Patterns of accepted options, each with the words of the documentation."""

_ACCEPTED: Final = re.compile("|".join(f"(?:{pattern})" for pattern in OPTIONS), re.ASCII)
_COLLECTOR: Final = re.compile(r"-XX:\+Use[A-Za-z0-9]+GC", re.ASCII)

_PROPERTY_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,199}", re.ASCII)
RESERVED_PROPERTIES: Final = (
    "com.sun.management",
    "java.class.path",
    "java.endorsed.dirs",
    "java.ext.dirs",
    "java.home",
    "java.io.tmpdir",
    "java.library.path",
    "java.security",
    "java.system.class.loader",
    "jdk.attach",
    "jdk.boot",
    "jdk.internal",
    "jdk.launcher",
    "jdk.module",
    "sun.boot",
    "sun.java",
    "sun.jvm",
    "user.dir",
    "user.home",
)
"""How properties begin that are not a job's to set: where code and secrets come from, remote management, the task's
folders. A beginning need not end at a dot: the virtual machine loads its management agent for
``-Dcom.sun.management=1`` too."""


def option_faults(options: Sequence[str]) -> Iterator[str]:
    """What is wrong with the options of a virtual machine, a sentence each; nothing when they are accepted."""
    if len(options) > limits.MAX_JAVA_OPTIONS:
        yield f"has {len(options)} options; {limits.MAX_JAVA_OPTIONS} are allowed"
        return
    for option in options:
        if len(option) > limits.MAX_JAVA_OPTION_CHARACTERS or not _ACCEPTED.fullmatch(option):
            yield f"has {shown(option)}, which is not an option that jobs may use; remove it"
    if len({option for option in options if _COLLECTOR.fullmatch(option)}) > 1:
        yield "chooses more than one garbage collector; keep one"


def property_faults(properties: Iterable[tuple[str, str]]) -> Iterator[str]:
    """What is wrong with system properties, a sentence each; nothing when they are accepted."""
    properties = list(properties)
    if len(properties) > limits.MAX_JAVA_PROPERTIES:
        yield f"has {len(properties)} properties; {limits.MAX_JAVA_PROPERTIES} are allowed"
        return
    for name, value in properties:
        if not _PROPERTY_NAME.fullmatch(name):
            yield f"has {shown(name)}, which is not a name: a letter, then letters, digits, '.', '_' and '-'"
        elif name.startswith(RESERVED_PROPERTIES):
            yield f"sets {name}, which is not a job's to set; remove it"
        if len(value) > limits.MAX_JAVA_PROPERTY_CHARACTERS or not (value.isprintable() or value == ""):
            yield (
                f"{shown(name)} must be a text of at most {limits.MAX_JAVA_PROPERTY_CHARACTERS} printable characters"
            )


def heap_of(options: Iterable[str]) -> int | None:
    """Bytes that the last ``-Xmx`` among accepted options asks for; None without one."""
    return _last("-Xmx", options)


def initial_heap_of(options: Iterable[str]) -> int | None:
    """Bytes that the last ``-Xms`` among accepted options asks for; None without one."""
    return _last("-Xms", options)


def _last(name: str, options: Iterable[str]) -> int | None:
    stated = [option.removeprefix(name) for option in options if option.startswith(name)]
    return java_size(stated[-1]) if stated else None
