"""Looks around: all of what a task can see of where it is, and of what others were before it."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
from pathlib import Path

from probing import attempt, call, tell

_STATUS = ("Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_SIGNALS = ("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd")
_LIMITS = sorted(name for name in dir(resource) if name.startswith("RLIMIT_"))


def status(process: str = "self") -> dict[str, str]:
    """What the kernel says of a process."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def names(folder: str) -> list[str]:
    """Sorted; whatever bytes they have. Of a folder that is shut, that it is."""
    try:
        return sorted(os.listdir(folder))
    except PermissionError:
        return ["it cannot be listed"]


def rows(path: str) -> list[str]:
    """Lines of a table of the kernel, without its headline."""
    return Path(path).read_text().splitlines()[1:]


def describe() -> None:
    """Where it is."""
    own = status()
    tell("status", {name: own[name] for name in _STATUS})
    tell("namespaces", {name: os.readlink(f"/proc/self/ns/{name}") for name in names("/proc/self/ns")})
    tell("mounts", Path("/proc/self/mountinfo").read_text().splitlines())
    tell("root", names("/"))
    tell("dev", names("/dev"))
    tell("etc", names("/etc"))
    tell("host", socket.gethostname())
    tell("interfaces", [row.split(":")[0].strip() for row in rows("/proc/net/dev")[1:]])
    tell("account", Path("/etc/passwd").read_text())


def state() -> None:
    """What a task before this one could have changed."""
    own, one = status(), status("1")
    tell("processes", [pid for pid in names("/proc") if pid.isdigit() and pid not in ("1", str(os.getpid()))])
    tell("threads", threading.active_count())
    tell("signals", {name: own[name] for name in _SIGNALS if name in own})
    tell("signals of 1", {name: one[name] for name in ("SigBlk", "SigIgn", "SigCgt") if name in one})
    tell("descriptors", {name: kind(f"/proc/self/fd/{name}") for name in names("/proc/self/fd")})
    tell("limits", {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS})
    tell("priority", [os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, 1)])
    tell("scheduler", [os.sched_getscheduler(pid) for pid in (0, 1)])
    tell("processors", [sorted(os.sched_getaffinity(pid)) for pid in (0, 1)])
    tell("umask", own["Umask"])
    tell("environment", {name: value for name, value in os.environ.items() if "/work/" not in value})
    tell("folder", Path.cwd().name)
    tell("killed first", Path("/proc/self/oom_score_adj").read_text().strip())
    tell("path", [path for path in sys.path if not path.startswith("/work/")])
    tell("modules", sorted(set(sys.modules) & {"evil", "sitecustomize", "usercustomize"}))
    tell("patched", hasattr(os, "evil"))
    tell("timers", signal.getitimer(signal.ITIMER_REAL)[0])
    for folder in ("/tmp", "/dev/shm", "/work", "/rjs"):
        mode = oct(Path(folder).stat().st_mode)
        tell(f"in {folder}", [mode, names(folder)])
    for table in ("shm", "sem", "msg"):
        path = Path(f"/proc/sysvipc/{table}")
        tell(f"SysV {table}", rows(str(path)) if path.exists() else [])
    attempt("POSIX messages", lambda: call("mq_open", b"/rjs-remnant", os.O_RDWR))
    tell("ioprio of 1", call("syscall", 252 if os.uname().machine == "x86_64" else 31, 1, 1))
    tell("attributes", {folder: os.listxattr(folder) for folder in ("/tmp", "/dev/shm", "/work")})
    tell("sockets", [row.split(maxsplit=7)[7] for row in rows("/proc/net/unix") if len(row.split()) > 7])
    for table in ("tcp", "tcp6", "udp", "udp6"):
        tell(table, rows(f"/proc/net/{table}"))


def kind(path: str) -> str:
    """What a descriptor is, without the parts that differ between attempts."""
    try:
        return os.readlink(path).split(":")[0].rpartition("/")[2]
    except OSError:
        return "the list itself"


if __name__ == "__main__":
    describe()
    state()
