"""The one door to running a job's processes, behind which the sandbox will stand.

Two processes share this package. ``main`` is the spawner itself: single-threaded, without keys, started before
the compute server's reactor and threads, parent of everything that runs a job. ``client`` is the compute
server's end of the socket between them; import it from there, because the spawner must not load Twisted.
"""

__all__: list[str] = []
