"""A job as its descriptor states it: what to run, how often, with what, and what it may. Values only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import msgspec
from msgspec import Struct

from rjs.needs import Needs, Platform

DESCRIPTOR_NAME: Final = "job.toml"
JNLP_NAME: Final = "JNLP-INF/APPLICATION.JNLP"
DEFAULT_ATTEMPTS: Final = 3

Runtime = Literal["python", "java", "native"]


class Permissions(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the job asks of the owner beyond computing. ``network``: ``host:port`` that it may reach."""

    network: tuple[str, ...] = ()


class Jar(Struct, frozen=True, kw_only=True):
    """A signed JAR of the same signer that travels with the bundle (JNLP): its file name, and whether it holds
    native libraries instead of classes."""

    name: str
    native: bool = False


class Resource(Struct, frozen=True, kw_only=True):
    """What is for one platform only: ``files`` of the bundle, further ``jars``, and the ``entry`` to run there."""

    platform: Platform = Platform()
    files: tuple[str, ...] = ()
    jars: tuple[Jar, ...] = ()
    entry: str = ""


class Answer(Struct, frozen=True, kw_only=True):
    """How answers travel: sealed for the holders of these certificates (DER), or readable when there are none."""

    recipients: tuple[bytes, ...] = ()


class JavaSettings(Struct, frozen=True, kw_only=True):
    """How the Java virtual machine is started: ``options`` from an allow-list, and system properties."""

    options: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()


class Descriptor(Struct, frozen=True, kw_only=True):
    """A job of ``tasks`` tasks, numbered from 0.

    ``entry`` is, for Python, a file of the bundle or an object reference ``package.module:function``; for Java the
    main class; for native programs a file of the bundle, empty when each platform has its own. ``each_task`` holds
    the arguments of every task, or names the file of the bundle that does; ``args`` come before them.
    ``lock`` names the file (PEP 751) that lists the third-party packages of a Python job, ``preload`` modules that
    its tasks need not import one by one. ``isolated``: each task gets a sandbox of its own.
    """

    name: str
    runtime: Runtime
    entry: str
    args: tuple[str, ...] = ()
    tasks: int = 1
    each_task: tuple[tuple[str, ...], ...] | str = ()
    needs: Needs = Needs()
    permissions: Permissions = Permissions()
    resources: tuple[Resource, ...] = ()
    attempts: int = DEFAULT_ATTEMPTS
    answer: Answer = Answer()
    java: JavaSettings = JavaSettings()
    lock: str = ""
    preload: tuple[str, ...] = ()
    isolated: bool = False

    @property
    def jars(self) -> tuple[Jar, ...]:
        """Every further JAR, of all platforms, in order and once."""
        return tuple(dict.fromkeys(jar for resource in self.resources for jar in resource.jars))

    def on(self, platform: Platform) -> Descriptor:
        """The job as a machine of this platform sees it: only resources that serve it, and its entry."""
        fitting = tuple(each for each in self.resources if each.platform.admits(platform))
        entry = next((each.entry for each in fitting if each.entry), self.entry)
        return msgspec.structs.replace(self, resources=fitting, entry=entry)

    def unneeded_files(self, platform: Platform) -> frozenset[str]:
        """Files of the bundle that are for other platforms only: they need not be there."""
        here, elsewhere = set[str](), set[str]()
        for each in self.resources:
            (here if each.platform.admits(platform) else elsewhere).update(each.files)
        return frozenset(elsewhere - here)

    def expanded(self, arguments: Iterable[str], index: int) -> list[str]:
        """Arguments with ``{index}`` and ``{count}`` replaced for task ``index``; nothing else is special."""
        replacements: Mapping[str, str] = {"{index}": str(index), "{count}": str(self.tasks)}
        return [_PLACEHOLDER.sub(lambda match: replacements[match[0]], each) for each in arguments]


_PLACEHOLDER: Final = re.compile(r"\{(?:index|count)\}")
