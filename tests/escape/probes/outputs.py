"""Leaves something else in place of its outputs, for the server to collect: ``outputs.py WHAT SECRET``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from probing import tell

PLACE = Path.cwd().parent
"""All that the task sees of the server's folders; ``job/`` is in it."""

SECRET = Path(sys.argv[2])
"""As it is on the machine: a link to it means something to whoever follows it outside."""


def link() -> None:
    """A name for somebody else's file."""
    Path("out/answer").symlink_to(SECRET)


def linked_folder() -> None:
    """A name for somebody else's folder."""
    Path("out/answers").symlink_to(SECRET.parent)


def linked_out() -> None:
    """The whole output folder."""
    Path("out").rmdir()
    Path("out").symlink_to(SECRET.parent)


def linked_job() -> None:
    """The working folder."""
    (PLACE / "job").rename(PLACE / "gone")
    (PLACE / "job").symlink_to(SECRET.parent)


def second_name() -> None:
    """A file that has another name outside of the outputs."""
    Path("beside").write_text("changed when it has been read")
    Path("out/answer").hardlink_to("beside")


def name_of_the_systems() -> None:
    """A hard link to what the machine has for all its programs."""
    Path("out/answer").hardlink_to("/usr/bin/env")


def pipe() -> None:
    """Whoever opens it waits for ever."""
    os.mkfifo("out/answer")


def bound() -> None:
    """A socket's name."""
    import socket

    with socket.socket(socket.AF_UNIX) as ours:
        ours.bind("out/answer")


def nothing() -> None:
    """No folder at all; the server looks for one."""
    shutil.rmtree(PLACE / "job")


def honest() -> None:
    """An answer."""
    Path("out/answer").write_text("42")


globals()[sys.argv[1]]()
tell(sys.argv[1], "left")
