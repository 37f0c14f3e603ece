"""Raises the walls of a cell by our own calls to the kernel, around a child of the calling process.

The child becomes pid 1 of the cell without executing anything, which is what makes a cell cheap. Everything here runs
before any code of a job's: until ``fork_confined`` returns there is nobody to defend against but what an earlier
attempt left in a writable source, which is why no path below one is followed through a link.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from typing import Final, NamedTuple, NoReturn

from cs.sandbox import linux
from cs.sandbox.bpf import program
from cs.sandbox.plan import DEVICE_LINKS, DEVICES, MASKED, TMP_INODES, UID, Bind, Plan, PlanError, check

_BUILDING_SITE: Final = "/tmp"
"""A folder that every machine has, on which the new root lies until it is the root."""

_PLAIN: Final = linux.NO_SET_ID | linux.NO_DEVICES
_SEALED: Final = _PLAIN | linux.READ_ONLY
_ROOT_OPTIONS: Final = {"size": "1m", "nr_inodes": "10000", "mode": "0755"}
_LOOK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

with suppress(PlanError):  # where there is none, fork_confined says so
    program()  # made once, here: each cell's process is a fork of one that has imported this


def fork_confined(plan: Plan, report: int) -> None:
    """Fork into a new cell; returns only in its pid 1, all walls up, the system call filter included.

    Called in a process of its own that has one thread. That process writes "PID\\n" (as its own pid namespace
    numbers the child) to ``report`` and ends with 0. What fails writes "error: SENTENCE\\n" and ends with 1, be it
    before or after the number: ``report`` is closed by pid 1 once the walls stand, so read it to its end.
    """
    try:
        check(plan)
        calls = program()
        _enter_namespaces(linux.ALL_NAMESPACES, UID, UID)
        child = os.fork()
    except (OSError, PlanError) as error:
        _fail(report, error)
    if child:
        os.write(report, b"%d\n" % child)
        os._exit(0)
    try:
        _raise_walls(plan, calls)
    except (OSError, PlanError) as error:
        _fail(report, error)
    os.close(report)


def _fail(report: int, error: Exception) -> NoReturn:
    sentence = str(error) if isinstance(error, PlanError) else f"a cell cannot be made: {error}"
    with suppress(OSError):
        os.write(report, f"error: {' '.join(sentence.split())[:2000]}\n".encode(errors="replace"))
    os._exit(1)


def seal_program() -> None:
    """Execute this process's program and arguments anew, from a mount of the program that is read-only.

    Whoever forks cells calls it first thing, with one thread; where it is done it returns. Without it a job, whose
    process never executes anything, could change the mode of the owner's own Python through /proc/self/exe, which no
    wall covers, and where no process runs it any more its text. Raises PlanError or OSError.
    """
    if os.statvfs("/proc/self/exe").f_flag & os.ST_RDONLY:
        return
    path = os.readlink("/proc/self/exe")
    _enter_namespaces(linux.NEW_USER | linux.NEW_MOUNTS, os.geteuid(), os.getegid())
    linux.keep_mounts_private()
    program = os.open(path, _LOOK)
    linux.attach(linux.copy_mounts(program, _SEALED), program)
    os.execv(path, sys.orig_argv)  # noqa: S606 - ourselves


def _enter_namespaces(namespaces: int, user: int, group: int) -> None:
    """New ones, in which our account has the numbers ``user`` and ``group``, and each other one is nobody."""
    maps = (("uid_map", f"{user} {os.geteuid()} 1"), ("gid_map", f"{group} {os.getegid()} 1"))
    with suppress(
        PermissionError
    ):  # only root can; an ordinary account keeps its groups, and no file of theirs
        os.setgroups([])
    linux.show_memory()  # else /proc/self is root's
    try:
        linux.unshare(namespaces)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise PlanError(f"the kernel makes no namespaces for this account: {reason}") from error
    for name, text in (("setgroups", "deny"), *maps):
        _write(f"/proc/self/{name}", text)


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _raise_walls(plan: Plan, calls: bytes) -> None:
    os.setsid()
    linux.set_hostname(plan.hostname)
    linux.raise_loopback()
    linux.keep_mounts_private()
    mask = os.umask(0o022)
    linux.change_root(_build(plan))
    os.umask(mask)
    linux.drop_capabilities()
    linux.forgo_privileges()
    linux.filter_calls(calls)


class _Piece(NamedTuple):
    """What comes to ``target``: the mount ``mount``, or a symbolic link to ``link``."""

    target: str
    folder: bool
    mount: int
    link: str = ""


def _build(plan: Plan) -> int:
    """A descriptor of the root of a tree that is all a cell sees, mounted over the building site.

    Sources are taken before that, because some are below the building site.
    """
    pieces = [_piece(bind) for bind in plan.binds]
    pieces += [_device(name) for name in DEVICES]
    pieces += [_Piece(f"/dev/{name}", False, -1, target) for name, target in DEVICE_LINKS.items()]
    pieces += [_Piece(target, True, _memory(plan.tmp_bytes)) for target in ("/tmp", "/dev/shm")]
    root = linux.new_file_system("tmpfs", _ROOT_OPTIONS, _PLAIN)
    site = os.open(_BUILDING_SITE, _LOOK | os.O_DIRECTORY)
    linux.attach(root, site)
    os.close(site)
    for piece in pieces:
        _put(root, piece)
    _put_proc(root)
    linux.add_attributes(root, _SEALED)
    return root


def _piece(bind: Bind) -> _Piece:
    try:
        source = os.open(bind.source, _LOOK)
    except OSError as error:
        raise PlanError(f"{bind.source!r}, which a cell needs, is not there: {error.strerror}") from error
    try:
        mode = os.fstat(source).st_mode
        if not stat.S_ISLNK(mode):
            attributes = _PLAIN if bind.writable else _SEALED
            return _Piece(bind.target, stat.S_ISDIR(mode), linux.copy_mounts(source, attributes))
        if bind.writable:
            raise PlanError(f"{bind.source!r} is a symbolic link: a job writes only where no link leads")
        return _Piece(bind.target, False, -1, os.readlink("", dir_fd=source))
    finally:
        os.close(source)


def _device(name: str) -> _Piece:
    source = os.open(f"/dev/{name}", _LOOK)
    try:
        attributes = linux.READ_ONLY | linux.NO_SET_ID | linux.NO_EXECUTION
        return _Piece(f"/dev/{name}", False, linux.copy_mounts(source, attributes))
    finally:
        os.close(source)


def _memory(size: int) -> int:
    options = {"size": str(size), "nr_inodes": str(TMP_INODES), "mode": "1777"}
    return linux.new_file_system("tmpfs", options, _PLAIN)


def _put(root: int, piece: _Piece) -> None:
    """Raises PlanError where ``piece.target`` cannot be made, or leads through a link."""
    try:
        folder, name = _folder_of(root, piece.target)
        if piece.link:
            os.symlink(piece.link, name, dir_fd=folder)
        else:
            target = _enter(folder, name) if piece.folder else _file(folder, name)
            linux.attach(piece.mount, target)
            os.close(target)
            os.close(piece.mount)
        os.close(folder)
    except OSError as error:
        raise PlanError(f"{piece.target!r} cannot be made in a cell: {error.strerror}") from error


def _folder_of(root: int, target: str) -> tuple[int, str]:
    """A descriptor of the folder that ``target`` is in, made where missing, and its name there."""
    *folders, name = target.split("/")[1:]
    here = os.dup(root)
    for folder in folders:
        inner = _enter(here, folder)
        os.close(here)
        here = inner
    return here, name


def _enter(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    return os.open(name, _LOOK | os.O_DIRECTORY, dir_fd=parent)


def _file(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444, dir_fd=parent))
    made = os.open(name, _LOOK, dir_fd=parent)
    if stat.S_ISLNK(os.fstat(made).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return made


def _put_proc(root: int) -> None:
    """Mount a /proc of the cell's own processes, read-only, and cover what is the machine's."""
    try:
        proc = linux.new_file_system("proc", {}, _SEALED | linux.NO_EXECUTION)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        raise PlanError(
            "the kernel mounts no new /proc here, because the one there is is covered in part, as in a container: "
            "start the server outside of it, or the container with --security-opt systempaths=unconfined"
        ) from error
    target = _enter(root, "proc")
    covers = [_cover(proc, name, target) for name in MASKED if _is_there(proc, name)]
    linux.attach(proc, target)
    for covered, cover in covers:
        linux.attach(cover, covered)
        os.close(covered)
        os.close(cover)
    os.close(target)
    os.close(proc)


def _is_there(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _cover(proc: int, name: str, empty: int) -> tuple[int, int]:
    """Descriptors of what is to be covered, and of a copy of the folder ``empty`` or of /dev/null that covers it."""
    covered = os.open(name, _LOOK, dir_fd=proc)
    if stat.S_ISDIR(os.fstat(covered).st_mode):
        return covered, linux.copy_mounts(empty, _SEALED)
    return covered, _device("null").mount
