"""Every cap and timer of the spawner, with its unit and its reason or its attacker."""

from __future__ import annotations

from rjs.limits import GIB, KIB, MIB

MESSAGE = 1 * MIB
"""Bytes of one message on the socket: a command line and an environment are far smaller."""

FILE_SIZE = 16 * GIB
"""Bytes of any one file that a job writes (RLIMIT_FSIZE), unless its request says otherwise."""

OUTPUT = 16 * MIB
"""Bytes that a job may print to stdout and to stderr each; a job with more to say writes a file."""

PROCESSES = 256
"""Processes alive at once below one attempt: a fork bomb meets this before it meets the owner's desktop."""

CPU_TIME = 30 * 24 * 3600.0
"""Seconds of processor time of one attempt, unless its request says otherwise: wall time ends it earlier."""

DESCRIPTORS = 1024
"""Descriptors that one process in a sandbox may have open: what programs are used to."""

DISK = 16 * GIB
"""Bytes that an attempt's folder may take, unless its request says otherwise."""

FILES = 100_000
"""Files and folders of one attempt, unless its request says otherwise: removing so many takes a second."""

THREADS_PER_PROCESS = 2
"""The kernel itself stops a job (RLIMIT_NPROC) at this many threads for each allowed process, beyond what the account
runs already. Polling needs the bound: among 500 spinning sessions the spawner gets one 250th of the processors."""

CENSUS = 10.0
"""Seconds for which a count of the account's threads is good: it costs milliseconds, too much for every task."""

FIRST_SAMPLE = 0.01
"""Seconds from the start to the first look at memory, doubling up to SAMPLE: a task of a millisecond pays none."""

SAMPLE = 0.1
"""Seconds between two looks at memory, output and number of processes."""

PSS_SHARE = 0.1
"""Largest share of time spent on exact memory figures, which the kernel computes page by page."""

BEAT = 1.0
"""Seconds between two signs of life while a job runs."""

SILENCE = 10
"""Silent seconds, each seen separately, after which a spawner is taken for stopped or wedged and killed.

Above SWEEP, during which it is silent by design. Counted in wakes of the server, so that a suspended machine
does not wake up to a false alarm.
"""

CHANNEL_READ = 4 * KIB
"""Bytes read of a control channel at a time: so much fits into the server's socket whenever that has any room."""

CHANNEL_AT_ONCE = 256 * KIB
CHANNEL_A_SECOND = 64 * KIB
"""Bytes of a control channel passed on in a burst, and a second: a job that says more waits."""

CHANNEL_PAUSE = 0.05
"""Seconds until a channel is looked at again while the server does not read."""

SWEEP = 6.0
"""Seconds spent at most on killing what an attempt left. A bomb of 500 sessions takes 2; what survives is stuck in
the kernel."""

SWEEP_PAUSE = 0.002
"""Seconds between two passes, in which killed processes get the processor they need to die."""

GOODBYE = 2.0
"""Seconds beyond SWEEP in which a spawner whose connection closed ends by itself; then it is killed."""

BURIAL_PAUSE = 0.01
"""Seconds between two passes over a dead spawner's orphans: the server does other things in between."""

CELLS = 4
"""Idle cells kept for the next task of their bundles: each holds an interpreter and what it preloaded."""

CELL_IDLE = 60.0
"""Seconds for which an idle cell is kept."""

CELL_START = 3.0
"""Seconds in which a cell's walls must stand and its warden say so: it takes milliseconds, on a desktop at rest."""

CELL_ANSWER = 5.0
"""Seconds in which a warden that has loaded everything must have started a task, or is taken for wedged."""

WARDEN_MEMORY = 256 * MIB
"""Bytes of a warden that are not its tasks': an interpreter with numpy takes 30 MiB. What is more counts."""

SWEEP_SHARE = 0.1
"""Largest share of time spent on counting files below an attempt's folder."""

SWEEP_DEPTH = 100
"""Folders below each other in an attempt's folder that are looked into, each with a descriptor of the spawner's.
One that is deeper counts as all the files that are allowed, as does one that is closed to us: what is in it cannot
be known."""

NAME_IN_MEMORY = 1 * KIB
"""Bytes that the kernel keeps for each file in memory, however empty: no size of a folder counts them."""

TABLES_COUNT = 256 * MIB
"""Bytes of a process's addresses from which on its page tables are counted, 4 KiB for 2 MiB at most: with one page of
each read, half a terabyte of nothing takes a gibibyte of the kernel's."""
