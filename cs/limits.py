"""Every cap and timer of the CS, with its unit and its reason or its attacker. Sizes in bytes, times in seconds."""

from __future__ import annotations

from rjs.checkpoints import limits as checkpoints
from rjs.limits import GIB, KIB, MIB

# --- task machine and shell -----------------------------------------------------------------------------

HOLDING = 1_000
"""Answers that wait for their commit notice: with a WS away for long, the spool must not fill the disk."""

REPORTS = 64
"""Ends of attempts that nobody has taken note of yet; older ones are dropped, their leases simply lapse."""

REFUSALS = 20
"""Jobs whose refusal the owner can look up: the last ones; more is what the log is for."""

REFUSAL_SENTENCE = 4 * KIB
"""Characters of one of these sentences: a command may name many places; 20 stay far below a status document."""

OFFER_AGAIN = 5.0
"""Seconds after which an answer is offered again when nobody could say yet what becomes of it."""

OUTPUT = GIB
"""Bytes of one task's ``out/``: more fails the task, for the answer must travel."""

OUTPUT_FILES = 10_000
"""Files and folders in one task's ``out/``."""

STREAM = 16 * MIB
"""Bytes of stdout, and of stderr, that a task may write: more fails it (a flood fills the owner's disk)."""

TAIL = 2 * KIB
"""Bytes of the end of stderr that travel with a failure."""

KEPT_FOLDERS = 4
"""Emptied folders of other bundles than the running one: a spawner keeps as many of their sandboxes."""

PROCESSES = 256
DESCRIPTORS = 1_024
FILES = 100_000
"""Processes of a task, open files of each, files on its disk, of which its descriptor states nothing: more than most
programs have, and little enough to be removed in a second."""

CACHE = 4 * GIB
"""Bytes of bundles kept on disk, unless the owner says otherwise; the least recently used go first."""

WHEELS = 4 * GIB
"""Bytes of disk that unpacked third-party packages take, with blocks and inodes; the least recently used wheels go
first."""

WHEEL_FILES = 100_000
"""Their files and folders: how each looks is held in memory (half a KiB) and compared before every start. A large
environment has some 50,000."""

WHOLE = MIB
"""A job's file up to this size is fetched whole, in one round trip: choosing its parts would take three."""

GRACE = 5
GRACE_MOST = 15
"""Seconds, unless the owner says otherwise, between SIGTERM and SIGKILL for a task that has to leave the machine, and
the most that the owner can say: a server has 30 s to stop."""

SAVING = 10.0
"""Seconds beyond it, when the server stops, for the end of the processes and for taking the checkpoint."""

TELLING = 3.0
"""Seconds then for telling what became of the task, and for its checkpoint to reach the WS."""

OPEN_BUNDLES = 16
"""Bundles kept open between tasks, judged already: a descriptor, a manifest, and at most 20 MiB of tasks each."""

LUS_SESSIONS = 64
"""Connections at once at a CS's door: LUSs of its LAN, with room for reconnections."""

LOOKUP_SERVERS = 64
"""Announced LUSs remembered: a flood of names ends here; those of ``config.toml`` are dialled all the same, and a LUS
dials us."""

LUS_FORGOTTEN = 60.0
"""Seconds after its last announcement that a LUS which cannot be reached is no longer dialled."""

LUS_FIRST = 0.5
"""Seconds, ± half, in which an announced LUS may dial us before we dial it: mostly it can, and then it need not find
out whether it could."""

LUS_OTHER = 1.0
"""The same for another LUS than the one that served us last: a connection that merely broke changes nothing."""

SERVED_LOOK = 0.5
"""Seconds between looks at whether a LUS serves us. That none does is announced after two."""

CORES = 65_535
"""Processor threads offered at most, as the protocol counts them."""

DISK_STEP = 256 * MIB
"""Free space is offered in whole steps of it or coarser ones: small changes are not worth telling every LUS."""

OFFER_LOOK = 60.0
"""Seconds between looks whether the free space has changed what is offered."""

TRUST_LOOK = 1.0
"""Seconds between looks whether the owner changed the trust store."""

TRUST_FILE = MIB
"""Largest trust.toml: some thousands of grants; more is a mistake of file."""

TRUST_LABEL = 200
"""Longest label of a grant, in characters: it stands in one line of a list."""

TRUST_PLACES = 100
"""Network places in one grant: the owner is to know them."""

# --- control channel and door for jobs ------------------------------------------------------------------

CONTROL_LINE = 64 * KIB
"""Bytes of one line: a token request is 1 KiB; what comes later has room."""

CONTROL_LINES = 100
CONTROL_LINES_A_SECOND = 20
"""Lines of one job in a burst, and a second: each is parsed in the reactor."""

CONTROL_FAULTS = 20
"""Lines refused, after which the channel is closed: a program with a mistake finds it in the first ones."""

TOKEN_PATIENCE = 30.0
"""Seconds that a job waits for its token: a LUS may have lost its WS. It may ask again."""

TOKENS_AT_ONCE = 4
"""Requests for a token that a job may make at once: a renewal that failed is tried again soon."""

TOKEN_PAUSE = 5.0
"""Seconds between later ones until one was issued; then a tenth of its life."""

DOORS = "doors"
"""The folder of the doors in the state folder: a socket's path is short, as short as that of ``status.sock``."""

DOOR_SESSIONS = 8
"""Connections at once at an attempt's door: each costs a TLS session."""

DOOR_FILE = 256 * MIB
DOOR_BYTES = GIB
"""Bytes of one file, and of all, that a job writes through its door: as much as its answer may have."""

DOOR_UNFINISHED = 8
"""Files of which parts came, at a time."""

CHECKPOINT_FILES = checkpoints.FILES
CHECKPOINT_BYTES = checkpoints.BYTES
"""What a checkpoint folder may hold: it travels."""

CHECKPOINTS = 2 * GIB
"""Bytes of checkpoints that wait here for the WS, and of those that stay here: the oldest go first."""

CHECKPOINT_LIFE = 7 * 86_400.0
"""Seconds after which a checkpoint goes that nobody took: its task has ended, or goes on without."""

CHECKPOINT_PAUSE = 0.25
CHECKPOINT_SHARE = 4
"""Seconds between two checkpoints of an attempt at least, and how many times as long as the last one took: what a
task may have the owner's disk do."""

CHECKPOINT_PATIENCE = 30.0
"""Seconds for which it is not told that an attempt ended because its checkpoint is still on its way: longer than a
large one takes, shorter than its lease."""

# --- Java -----------------------------------------------------------------------------------------------

JAVA_ANSWER = 10.0
"""Seconds for a Java to state its version at start; 0.1 on an idle machine. A hanging one is no Java."""

JAVA_WORDS = 64 * KIB
"""Bytes that it may say then; the properties of a JDK are 5 KiB."""

# --- network proxy --------------------------------------------------------------------------------------

NETWORK_BYTES = GIB
"""Bytes that one task sends and receives over the network, both together, unless the owner says otherwise."""

NETWORK_HEAD = 16 * KIB
NETWORK_FIELDS = 100
"""Bytes and header fields of a request's head: a cookie or a signed request has some KiB."""

NETWORK_WORDS = 400
"""Characters of why a request was refused."""

NETWORK_CONNECTIONS = 64
"""Connections of an attempt at once, with a file descriptor at each end; more wait to be accepted."""

NETWORK_BURST = 200
NETWORK_A_SECOND = 50
"""Connections that are taken of an attempt, in a burst and a second: each costs the reactor half a millisecond."""

NETWORK_REFUSALS = 10
"""Refused requests of an attempt that are logged."""

NETWORK_HEAD_TIME = 15.0
"""Seconds for a request's head to come: the client is on this machine."""

NETWORK_UNHEARD = MIB
"""Bytes that a refused connection may still send: who sends before reading hears why, and no flood is read for it."""

NETWORK_CONNECT = 5.0
"""Seconds for one address to answer; TCP's third try is after 3."""

NETWORK_REACH = 20.0
"""Seconds for looking a name up and trying its addresses."""

NETWORK_ADDRESSES = 8
"""Addresses of one name that are looked at."""

NETWORK_LOOKUPS = 2
"""Names of an attempt that are looked up at once: the reactor has ten threads for this and all else."""

NETWORK_IDLE = 300.0
"""Seconds without a byte in either direction after which a connection is dropped."""
