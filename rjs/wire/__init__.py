"""What servers and people say to each other: frames, typed messages, sessions, bulk data."""

__all__: list[str] = []
