"""The command line ``rjs``: one file per command, found through a static table and imported when called.

A command asks the library and prints; it holds no rule of its own. Messages for people go to stderr, data to
stdout. Exit status: 0 done, 1 refused or failed, 2 wrong usage, 3 cannot reach a server.
"""

from rjs.cli.group import main

__all__ = ["main"]
