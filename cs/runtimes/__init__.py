"""How a prepared attempt becomes a command line: one module for each runtime, none of which starts anything."""

from cs.runtimes.command import Command, command_of

__all__ = ["Command", "command_of"]
