"""Checkpoints: the signed JARs in which what a task has reached travels to its next attempt."""

__all__: list[str] = []
