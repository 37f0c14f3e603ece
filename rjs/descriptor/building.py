"""Makes a job's descriptor of the tables of its ``job.toml``, and finds what only fields together break.

Each rule notes its mistake and goes on with a default; it looks at no field that is known to be wrong.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from rjs import limits
from rjs.bundle.errors import BundleRefusedError
from rjs.bundle.names import shown
from rjs.descriptor.amounts import SIZE_UNITS, TIME_UNITS, amount
from rjs.descriptor.fields import MOST_CPU_TIME, MOST_DISK, MOST_MEMORY, MOST_WALL_TIME, JobTable, NeedsTable
from rjs.descriptor.files import Files, misplaced_file
from rjs.descriptor.java_machine import is_class_name
from rjs.descriptor.mistakes import Mistakes
from rjs.descriptor.model import DESCRIPTOR_NAME, Descriptor, Resource
from rjs.descriptor.patterns import FileNames, TooManyStepsError
from rjs.descriptor.platforms import left_out, stated_platforms, with_entries
from rjs.descriptor.reading import remedy_of
from rjs.descriptor.settings import answer_of, java_of, permissions_of
from rjs.descriptor.task_file import TaskFileError, count_tasks
from rjs.needs import Needs, Platform, is_specifier


def descriptor_of(table: JobTable, files: Files, mistakes: Mistakes) -> Descriptor:
    """The job that ``table`` states. Of no use when there are mistakes in the end."""
    if not mistakes.wrong("name") and not (table.name.isprintable() and table.name.strip()):
        mistakes.field(("name",), "must be a text of 1 to 100 printable characters; use letters and spaces")
    if misplaced := misplaced_file(files.names):
        mistakes.other(misplaced)
    resources = _resources(table, files, mistakes)
    tasks, each_task = _tasks(table, files, mistakes)
    descriptor = Descriptor(
        name=table.name,
        runtime=table.runtime,
        entry=table.entry,
        args=table.args,
        tasks=tasks,
        each_task=each_task,
        needs=_needs(table, resources, mistakes),
        permissions=permissions_of(table.permissions, mistakes),
        resources=resources,
        attempts=table.attempts,
        answer=answer_of(table.answer, mistakes),
        java=java_of(table, mistakes),
        lock=_lock(table, files, mistakes),
        preload=_preload(table, mistakes),
        isolated=table.isolation == "task",
    )
    _check_entries(table, descriptor, files, mistakes)
    return descriptor


def _needs(table: JobTable, resources: tuple[Resource, ...], mistakes: Mistakes) -> Needs:
    stated = table.needs
    for name in ("python", "java"):
        if not is_specifier(getattr(stated, name)):
            mistakes.field(
                ("needs", name),
                'must be a version specifier, such as ">=17": an operator before each version',
            )
    time = stated.cpu_time
    return Needs(
        memory=_amount(stated.memory, "memory", SIZE_UNITS, range(limits.MIB, MOST_MEMORY + 1), mistakes),
        disk=_amount(stated.disk, "disk", SIZE_UNITS, range(limits.MIB, MOST_DISK + 1), mistakes),
        wall_time=_amount(stated.wall_time, "wall_time", TIME_UNITS, range(1, MOST_WALL_TIME + 1), mistakes),
        cores=stated.cores,
        platforms=_platforms(table, stated, resources, mistakes),
        python=stated.python,
        java=stated.java,
        runtime=table.runtime,
        cpu_time=0
        if time is UNSET
        else _amount(time, "cpu_time", TIME_UNITS, range(1, MOST_CPU_TIME + 1), mistakes),
        processes=_count(stated.processes),
        descriptors=_count(stated.descriptors),
        files=_count(stated.files),
        sandbox=stated.sandbox,
    )


def _amount(value: int | str, name: str, units: Mapping[str, int], allowed: range, mistakes: Mistakes) -> int:
    found = amount(value, units)
    if found is not None and found in allowed:
        return found
    mistakes.field(("needs", name), remedy_of(NeedsTable, name))
    return allowed.start


def _count(stated: int | UnsetType) -> int:
    return 0 if stated is UNSET else stated


def _platforms(
    table: JobTable, stated: NeedsTable, resources: tuple[Resource, ...], mistakes: Mistakes
) -> tuple[Platform, ...]:
    """The platforms of the needs; where the entry is the resources' matter, only those that have one."""
    systems = (stated.os,) if isinstance(stated.os, str) else stated.os
    architectures = (stated.arch,) if isinstance(stated.arch, str) else stated.arch
    platforms = stated_platforms(systems, architectures)
    if table.entry or not any(each.entry for each in resources):
        return platforms
    served = with_entries(platforms, resources)
    for name, wanted, present in (
        ("os", systems, {each.os for each in served}),
        ("arch", architectures, {each.arch for each in served}),
    ):
        if missing := [each for each in wanted if each not in present]:
            mistakes.field(
                ("needs", name), f"has {', '.join(missing)}, for which no resource has an entry; add one"
            )
    return served


def _resources(table: JobTable, files: Files, mistakes: Mistakes) -> tuple[Resource, ...]:
    if sum(len(each.files) for each in table.resources) > limits.MAX_PATTERNS:
        mistakes.field(
            ("resources",), f"has more than {limits.MAX_PATTERNS} patterns in all; name folders instead"
        )
        return ()
    names, found = files.patterns(), []
    for index, each in enumerate(table.resources):
        of_platform = _matched(table, index, names, mistakes)
        if each.entry and each.entry not in files.names:
            mistakes.field(
                ("resources", index, "entry"),
                f"must name a file of the bundle; there is no {shown(each.entry)}",
            )
        elif table.runtime == "native" and each.entry and each.entry != table.entry:
            of_platform[each.entry] = None
        platform = Platform(each.os or "", each.arch or "")
        found.append(Resource(platform=platform, files=tuple(of_platform), entry=each.entry))
    return tuple(found)


def _matched(table: JobTable, index: int, names: FileNames, mistakes: Mistakes) -> dict[str, None]:
    """The files that a resource's patterns name, in order and once."""
    needed = {DESCRIPTOR_NAME, table.python.lock, table.tasks}
    found: dict[str, None] = {}
    for number, pattern in enumerate(table.resources[index].files):
        path = ("resources", index, "files", number)
        try:
            matching = names.matching(pattern)
        except TooManyStepsError:
            mistakes.field(path, "takes too long to compare with so many files; name folders instead of **")
            return found
        if not matching:
            mistakes.field(path, f"has {shown(pattern)}, which names no file of the bundle")
        for name in needed.intersection(matching):
            mistakes.field(path, f"takes {shown(str(name))}, which every platform needs; name less")
        found.update(dict.fromkeys(matching))
    return found


def _tasks(
    table: JobTable, files: Files, mistakes: Mistakes
) -> tuple[int, tuple[tuple[str, ...], ...] | str]:
    match table.tasks:
        case int() as count:
            return count, ()
        case tuple() as each_task:
            return len(each_task), each_task
        case name:
            return _tasks_in_file(name, files, mistakes), name


def _tasks_in_file(name: str, files: Files, mistakes: Mistakes) -> int:
    if name not in files.names or files.read is None:
        problem = "there is no" if files.read else "nothing is at hand to read"
        mistakes.field(("tasks",), f"must be a number, or name a file of the bundle; {problem} {shown(name)}")
        return 1
    try:
        return count_tasks(files.read(name, limits.MAX_TASK_FILE_BYTES))
    except BundleRefusedError as error:
        if error.code != "file-size":
            raise
        mistakes.field(("tasks",), f"names a file that is too large: {error.sentence}; make it several jobs")
    except TaskFileError as error:
        for mistake in error.mistakes:
            mistakes.field(("tasks",), f"names {shown(name)}: {mistake}")
    return 1


def _lock(table: JobTable, files: Files, mistakes: Mistakes) -> str:
    lock = table.python.lock
    if lock and table.runtime != "python" and not mistakes.wrong("runtime"):
        mistakes.field(("python", "lock"), f'is for Python; the runtime is "{table.runtime}": remove it')
    elif lock and lock not in files.names:
        mistakes.field(("python", "lock"), f"must name a file of the bundle; there is no {shown(lock)}")
    return lock


def _preload(table: JobTable, mistakes: Mistakes) -> tuple[str, ...]:
    if table.python.preload and table.runtime != "python" and not mistakes.wrong("runtime"):
        mistakes.field(("python", "preload"), f'is for Python; the runtime is "{table.runtime}": remove it')
    return tuple(dict.fromkeys(table.python.preload))


def _check_entries(table: JobTable, descriptor: Descriptor, files: Files, mistakes: Mistakes) -> None:
    if mistakes.wrong("runtime") or mistakes.wrong("entry"):
        return
    match table.runtime:
        case "java":
            _check_class(table, files, mistakes)
        case "python" if _is_function(table.entry):
            pass
        case runtime:
            _check_file(table, runtime, files, mistakes)
    for entry, platform in left_out(descriptor).items():
        mistakes.field(
            ("resources",),
            f"leaves out {shown(entry)} on {platform}, where it is the entry; name it there, too",
        )


def _check_class(table: JobTable, files: Files, mistakes: Mistakes) -> None:
    for index, each in enumerate(table.resources):
        if each.entry:
            mistakes.field(
                ("resources", index, "entry"), "is not for Java, whose class is the same everywhere"
            )
    if not table.entry:
        return
    if not is_class_name(table.entry):
        mistakes.field(("entry",), "must be the name of a class, such as org.example.Main")
    elif f"{table.entry.replace('.', '/')}.class" not in files.names and not _has_jars(files):
        mistakes.field(("entry",), f"must be a class of the bundle; there is no {shown(table.entry)}")


def _has_jars(files: Files) -> bool:
    return any(name.endswith(".jar") for name in files.names)


def _check_file(table: JobTable, runtime: str, files: Files, mistakes: Mistakes) -> None:
    if table.entry in files.names:
        return
    if table.entry:
        mistakes.field(("entry",), f"must name a file of the bundle; there is no {shown(table.entry)}")
    elif not any(each.entry for each in table.resources) and not mistakes.wrong("resources"):
        form = 'a file of the bundle, such as "run.py"' if runtime == "python" else "a file of the bundle"
        mistakes.field(("entry",), f"is missing; name {form}, here or for each platform in [[resources]]")


def _is_function(entry: str) -> bool:
    """Whether it is an object reference ``package.module:function``; no file name has a colon."""
    module, colon, function = entry.partition(":")
    names = [*module.split("."), *function.split(".")]
    return bool(colon) and all(name.isidentifier() and not keyword.iskeyword(name) for name in names)
