"""The token authority: the one process that holds the key which certifies who may call, and what asks it to."""

__all__: list[str] = []
