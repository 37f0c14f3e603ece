"""``job.toml`` as a person writes it: one class for each table, and the only place where its fields are defined.

From these classes come how a file is read (``reading``), its JSON Schema and its documentation (``reference``). Each
field has a description, ``must`` (the words of "must be …", which are its form) and examples. What only several
fields together can break is in ``building``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from rjs import limits
from rjs.descriptor.model import DEFAULT_ATTEMPTS
from rjs.needs import ARCHITECTURES, MAX_SPECIFIER, OPERATING_SYSTEMS

TIB: Final = 1024 * limits.GIB
MOST_MEMORY: Final = TIB
MOST_DISK: Final = 16 * TIB
MOST_WALL_TIME: Final = 30 * 86400
MOST_CPU_TIME: Final = 360 * 86400

Text = Annotated[str, Meta(pattern="^[^\\u0000]*$")]
Arguments = Annotated[tuple[Text, ...], Meta(max_length=limits.MAX_ARGUMENTS)]
FileName = Annotated[str, Meta(max_length=limits.MAX_NAME_BYTES)]
Quantity = Annotated[str, Meta(pattern="^[0-9]{1,12} ?[A-Za-z]{1,3}$", max_length=16)]
Os = Literal["linux", "macos", "windows"]
Arch = Literal["x86_64", "aarch64"]
assert get_args(Os) == OPERATING_SYSTEMS
assert get_args(Arch) == ARCHITECTURES
ModuleName = Annotated[
    str, Meta(max_length=200, pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")
]

_TIME_UNITS = "a whole number of seconds, or a text with a unit (s, min, h, d)"
_SIZE_UNITS = "a whole number of bytes, or a text with a unit (B, KiB, MiB, GiB, TiB)"
_OF_SYSTEMS = 'of "linux", "macos", "windows"'
_OF_ARCHITECTURES = 'of "x86_64", "aarch64"'


class NeedsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one task may use at most, and what a compute server must have to run it. Nothing else limits where."""

    memory: Annotated[
        Annotated[int, Meta(ge=limits.MIB, le=MOST_MEMORY)] | Quantity,
        Meta(
            description="Memory that one task may use, all its processes together. A task that uses more is ended.",
            examples=["256 MiB", "4 GiB", 268435456],
            extra={"must": f"from 1 MiB to 1 TiB: {_SIZE_UNITS}"},
        ),
    ] = "512 MiB"
    disk: Annotated[
        Annotated[int, Meta(ge=limits.MIB, le=MOST_DISK)] | Quantity,
        Meta(
            description="Disk space that one task may use, beside the bundle's own files.",
            examples=["100 MiB", "20 GiB"],
            extra={"must": f"from 1 MiB to 16 TiB: {_SIZE_UNITS}"},
        ),
    ] = "1 GiB"
    wall_time: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_WALL_TIME)] | Quantity,
        Meta(
            description="Time that one task may take by the clock. A task that takes longer is ended.",
            examples=["5 min", "2 h", 90],
            extra={"must": f"from 1 s to 30 d: {_TIME_UNITS}"},
        ),
    ] = "1 h"
    cpu_time: Annotated[
        Annotated[int, Meta(ge=1, le=MOST_CPU_TIME)] | Quantity | UnsetType,
        Meta(
            description=(
                "Processor time that one task may take, all its processes together. A task that takes more is ended. "
                "Absent: all that there is of it within `wall_time`."
            ),
            examples=["5 min", "2 h", 90],
            extra={"must": f"from 1 s to {MOST_CPU_TIME // 86400} d: {_TIME_UNITS}"},
        ),
    ] = UNSET
    processes: Annotated[
        Annotated[int, Meta(ge=1, le=limits.MAX_NEEDED_PROCESSES)] | UnsetType,
        Meta(
            description="Processes that one task may have at once. Absent: 256, or fewer where the owner says so.",
            examples=[1, 1000],
            extra={"must": f"a whole number from 1 to {limits.MAX_NEEDED_PROCESSES:,}"},
        ),
    ] = UNSET
    descriptors: Annotated[
        Annotated[int, Meta(ge=16, le=limits.MAX_NEEDED_DESCRIPTORS)] | UnsetType,
        Meta(
            description=(
                "Files and connections that each process of a task may have open. Absent: 1,024, or fewer where the "
                "owner says so."
            ),
            examples=[4096],
            extra={"must": f"a whole number from 16 to {limits.MAX_NEEDED_DESCRIPTORS:,}"},
        ),
    ] = UNSET
    files: Annotated[
        Annotated[int, Meta(ge=16, le=limits.MAX_NEEDED_FILES)] | UnsetType,
        Meta(
            description=(
                "Files and folders that one task may have on disk, beside the bundle's own. Absent: 100,000, or "
                "fewer where the owner says so."
            ),
            examples=[250_000],
            extra={"must": f"a whole number from 16 to {limits.MAX_NEEDED_FILES:,}"},
        ),
    ] = UNSET
    sandbox: Annotated[
        Literal["", "namespaces"],
        Meta(
            description=(
                "How well a compute server must [confine](sandbox.md) the job. Empty: as well as each can; a machine "
                "that cannot at all computes only where its owner accepted that."
            ),
            examples=["namespaces"],
            extra={"must": '"namespaces"'},
        ),
    ] = ""
    cores: Annotated[
        int,
        Meta(
            description="Processor threads that one task keeps busy.",
            examples=[4],
            ge=1,
            le=limits.MAX_NEEDED_CORES,
            extra={"must": f"a whole number from 1 to {limits.MAX_NEEDED_CORES}"},
        ),
    ] = 1
    os: Annotated[
        Os | tuple[Os, ...],
        Meta(
            description="The operating systems on which a task can run; any of them will do. None means all.",
            examples=["linux", ["linux", "macos"]],
            extra={"must": f"one or a list {_OF_SYSTEMS}"},
        ),
    ] = ()
    arch: Annotated[
        Arch | tuple[Arch, ...],
        Meta(
            description="The processor architectures on which a task can run; any of them will do. None means all.",
            examples=["x86_64", ["x86_64", "aarch64"]],
            extra={"must": f"one or a list {_OF_ARCHITECTURES}"},
        ),
    ] = ()
    python: Annotated[
        str,
        Meta(
            description="Versions of Python that serve (PEP 440). Empty: any that a compute server has.",
            examples=[">=3.12", ">=3.11,<3.14"],
            max_length=MAX_SPECIFIER,
            extra={"must": f"a version specifier of at most {MAX_SPECIFIER} characters"},
        ),
    ] = ""
    java: Annotated[
        str,
        Meta(
            description="Versions of Java that serve (PEP 440). Empty: any that a compute server has.",
            examples=[">=17", "==21.*"],
            max_length=MAX_SPECIFIER,
            extra={"must": f"a version specifier of at most {MAX_SPECIFIER} characters"},
        ),
    ] = ""


class PermissionsTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the job asks beyond computing. Where the owner did not [grant](howto-trust.md) it, the job is refused."""

    network: Annotated[
        tuple[Annotated[str, Meta(max_length=300)], ...],
        Meta(
            description="Places that the job may reach over the network, each one host and one port; a confined job "
            "does so through [a proxy](job-network.md). None: no network at all.",
            examples=[["data.example.org:443", "192.0.2.7:8080", "[2001:db8::7]:443"]],
            max_length=limits.MAX_NETWORK_PLACES,
            extra={"must": f'a list of at most {limits.MAX_NETWORK_PLACES} texts "host:port"'},
        ),
    ] = ()


class ResourceTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is for one platform only. A compute server fetches no file that is only for others."""

    os: Annotated[
        Os | UnsetType,
        Meta(
            description="The operating system that this is for. Absent: any.",
            examples=["linux"],
            extra={"must": f"one {_OF_SYSTEMS}"},
        ),
    ] = UNSET
    arch: Annotated[
        Arch | UnsetType,
        Meta(
            description="The processor architecture that this is for. Absent: any.",
            examples=["x86_64"],
            extra={"must": f"one {_OF_ARCHITECTURES}"},
        ),
    ] = UNSET
    files: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_BYTES)], ...],
        Meta(
            description=(
                "Patterns of files of the bundle. `*`, `?` and `[…]` match within a name, `**` any number of "
                "folders, and a folder stands for all in it. A file that a resource for another platform names, "
                "and none for this one, is not there."
            ),
            examples=[["native/linux-x86_64"], ["lib/*.so", "data/**/*.bin"]],
            max_length=limits.MAX_PATTERNS,
            extra={"must": f"a list of at most {limits.MAX_PATTERNS} texts"},
        ),
    ] = ()
    entry: Annotated[
        FileName,
        Meta(
            description=(
                "What is run on this platform instead of the job's `entry`; not for Java. A native program belongs "
                "to `files` by itself."
            ),
            examples=["native/linux-x86_64/simulate"],
            extra={"must": "the name of a file of the bundle"},
        ),
    ] = ""


class AnswerTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How answers travel and rest."""

    encrypt: Annotated[
        bool,
        Meta(
            description="Whether outputs are sealed by the compute server, so that only `recipients` can read them.",
            examples=[True],
            extra={"must": "true or false"},
        ),
    ] = False
    recipients: Annotated[
        tuple[Annotated[str, Meta(max_length=16 * limits.KIB)], ...],
        Meta(
            description=(
                "Certificates in PEM, one a text, of those who can open the outputs: P-256 or P-384 with key "
                "agreement, or RSA of 2048 to 8192 bits with key encipherment."
            ),
            examples=[["-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"]],
            max_length=limits.MAX_RECIPIENTS,
            extra={"must": f"a list of 1 to {limits.MAX_RECIPIENTS} certificates in PEM"},
        ),
    ] = ()


class JavaTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the Java virtual machine is started."""

    options: Annotated[
        tuple[str, ...],
        Meta(
            description="Options of the virtual machine, out of the [accepted ones](#accepted-java-options).",
            examples=[["-Xmx200m", "-XX:+UseSerialGC"]],
            max_length=limits.MAX_JAVA_OPTIONS,
            extra={"must": f"a list of at most {limits.MAX_JAVA_OPTIONS} texts"},
        ),
    ] = ()
    properties: Annotated[
        dict[str, str],
        Meta(
            description="System properties by name (`-D`).",
            examples=[{"org.example.size": "640"}],
            max_length=limits.MAX_JAVA_PROPERTIES,
            extra={"must": f"a table of at most {limits.MAX_JAVA_PROPERTIES} texts"},
        ),
    ] = {}


class PythonTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a Python job needs beside the standard library."""

    lock: Annotated[
        FileName,
        Meta(
            description="The file of the bundle that lists the third-party packages (PEP 751). `rjs pack` writes it.",
            examples=["pylock.toml"],
            extra={"must": "the name of a file of the bundle"},
        ),
    ] = ""
    preload: Annotated[
        tuple[ModuleName, ...],
        Meta(
            description=(
                "Modules that are imported before the task's program starts: packages of the lock or of the standard "
                "library, not files of the bundle. Without a lock that is done once for all tasks that follow each "
                "other on a compute server; with one for each, since a sandbox in which packages ran has one task."
            ),
            examples=[["numpy"], ["numpy", "scipy.linalg"]],
            max_length=limits.MAX_PRELOADED,
            extra={"must": f"a list of at most {limits.MAX_PRELOADED} names of modules"},
        ),
    ] = ()


class JobTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The job itself: what to run, and how many tasks."""

    name: Annotated[
        str,
        Meta(
            description="What people call the job.",
            examples=["mandelbrot"],
            min_length=1,
            max_length=100,
            extra={"must": "a text of 1 to 100 printable characters"},
        ),
    ]
    runtime: Annotated[
        Literal["python", "java", "native"],
        Meta(
            description="What runs the entry; `native` is a program of its own.",
            examples=["python"],
            extra={"must": '"python", "java" or "native"'},
        ),
    ]
    entry: Annotated[
        FileName,
        Meta(
            description=(
                "What is run. Python: a file of the bundle, or a function as `package.module:function`. Java: the "
                "main class; absent, the `Main-Class` of the manifest. Native: a file of the bundle; absent where "
                "each platform has its own in `[[resources]]`."
            ),
            examples=["run.py", "simulation.cli:main", "org.example.Main", "bin/simulate"],
            extra={"must": "a text: the name of a file of the bundle, a function or a class"},
        ),
    ] = ""
    args: Annotated[
        Arguments,
        Meta(
            description=(
                "Arguments of every task. In each, `{index}` becomes the task's number, from 0, and `{count}` the "
                "number of tasks. Nothing else is special."
            ),
            examples=[["--part", "{index}", "--of", "{count}"]],
            extra={"must": f"a list of at most {limits.MAX_ARGUMENTS:,} texts without NUL"},
        ),
    ] = ()
    tasks: Annotated[
        Annotated[int, Meta(ge=1, le=limits.MAX_TASKS)]
        | FileName
        | Annotated[tuple[Arguments, ...], Meta(min_length=1)],
        Meta(
            description=(
                "How many tasks there are. Or the arguments of each, which follow `args`: a list of lists, or the "
                "name of a [file](#files-of-tasks) of the bundle with one task a line. The placeholders of `args` "
                "work there, too."
            ),
            examples=[8, [["--seed", "1"], ["--seed", "7"]], "tasks.txt"],
            extra={
                "must": (
                    f"a whole number from 1 to {limits.MAX_TASKS:,}, a list of lists of texts, or the name of a file"
                )
            },
        ),
    ] = 1
    attempts: Annotated[
        int,
        Meta(
            description=(
                "How many attempts at a task may fail before the task has failed. Those that end because a compute "
                "server vanished are counted apart."
            ),
            examples=[1],
            ge=1,
            le=limits.MAX_ATTEMPTS,
            extra={"must": f"a whole number from 1 to {limits.MAX_ATTEMPTS}"},
        ),
    ] = DEFAULT_ATTEMPTS
    isolation: Annotated[
        Literal["bundle", "task"],
        Meta(
            description=(
                "What shares a [sandbox](sandbox.md): the tasks of one bundle, one after the other, or nothing: "
                "then each task gets a new one."
            ),
            examples=["task"],
            extra={"must": '"bundle" or "task"'},
        ),
    ] = "bundle"
    needs: NeedsTable = NeedsTable()
    permissions: PermissionsTable = PermissionsTable()
    resources: Annotated[tuple[ResourceTable, ...], Meta(max_length=limits.MAX_RESOURCES)] = ()
    answer: AnswerTable = AnswerTable()
    java: JavaTable = JavaTable()
    python: PythonTable = PythonTable()
