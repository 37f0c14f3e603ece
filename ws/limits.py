"""Every cap and timer of the WS, with its unit and its reason or its attacker. Sizes in bytes, times in seconds."""

from __future__ import annotations

from rjs.limits import GIB, KIB, MAX_ARCHIVE_BYTES

VANISHED = 5
"""Machines that may vanish under a task before the task itself is suspected (poison) and failed."""

AVOID = 16
"""CSs named in a lease's ``avoid``: more than MAX_ATTEMPTS + VANISHED can never gather."""

PLACEMENTS = 64
"""Placements remembered of one task, the newest: a hostile LUS that places without end fills no disk."""

ATTEMPT_GRACE = 600.0
"""Seconds beyond its wall-time limit that an attempt has until its lease's hard end, for fetching its bundle and
giving its answer (DESIGN section 3)."""

UNPLACED = 3600.0
"""Seconds after which a lease that was never placed goes back, so that other LUSs have their chance."""

GRANT = 256
"""Task leases in one grant message: keeps the frame small and other jobs' turns near."""

OUTSTANDING = 10_000
"""Task leases that one LUS may hold, whatever it wants: a hostile LUS cannot lease the whole queue."""

BUNDLE = MAX_ARCHIVE_BYTES
"""Largest bundle admitted: a full home hurts only its user, a full store everyone."""

ANSWER = 4 * GIB
"""Largest answer committed."""

PULLS_PER_CS = 2
"""Large answers fetched from one CS at a time: a hostile one that offers many and serves none has no more."""

PULLS = 8
"""Large answers fetched through one LUS at a time, each with its share of the reads that the LUS serves at a time,
so that those which stall keep none of the others waiting."""

CHECKPOINTS_JOB = 8 * GIB
CHECKPOINTS_ACCOUNT = 16 * GIB
"""Bytes of the checkpoints kept of one job, and of all jobs of one account: one of each task that runs, or may again;
of a job with thousands of tasks those that come when there is no room are refused, and the tasks go on."""

CHECKPOINT_PULLS = 4
"""Large checkpoints fetched through one LUS at a time, of one CS one; the others are offered again."""

RECIPIENTS_KNOWN = 256
"""Jobs whose recipients are remembered: reading them again costs a look into the bundle."""

JOBS = 100_000
"""Jobs that have not ended: beyond it uploads wait in ``jobs/`` with that reason in their status."""

USER_JOBS = 10_000
"""The same for one user."""

PROGRESS_KEPT = 4_096
"""Words of progress kept before those of attempts that ended are thrown out: half a KiB each."""

TICK = 1.0
"""Seconds between looks at leases and bundles that may have run out."""

RESCAN = 5.0
"""Seconds between rescans of all ``jobs/`` folders, for what the watcher missed."""

QUIET = 2.0
"""Seconds that a file must have stood unchanged before it is refused as unreadable: it may still be arriving."""

JUDGING = 8
"""Files judged at once, of one account one: each is copied and verified, and a thousand that arrive together take
their turns."""

LATER = 5.0
"""Seconds until a file that could not be judged (too much to do, an unreadable disk) is judged again."""

JUDGE_AGAIN = 60.0
"""Seconds until a file whose refusal may pass (a full queue, a clock) is judged again: that costs a copy.
Each time it waits twice as long."""

JUDGE_AGAIN_MOST = 3600.0
"""The longest such wait."""

SET_PATIENCE = 24 * 3600.0
"""Seconds that a job of several files waits, after the last of them that came, for the others to come."""

SET_FILES = 500
"""Files that all jobs of several files of one account may have in ``jobs/``: each is looked for at every scan, which
all accounts wait for."""

JNLP_READ = 128 * KIB
"""Bytes of new ``.jnlp`` files of one account read in one scan, which takes a tenth of a second at the most."""

JNLP_READ_ALL = 512 * KIB
"""The same of all accounts; those that had no turn are the first in the next scan."""

JNLP_LEAST = 4 * KIB
"""Bytes that a ``.jnlp`` file counts for at least."""

UPLOADS = 4
"""Uploads over sessions under way at once of one account, who could fill the disk with beginnings."""

STATUS_AT_ONCE = 4
"""Status files written at once: fewer than there are workers for everything."""

STATUS_KEPT = 10_000
"""Status files of which a text that could not be written is kept, some 200 bytes each; the oldest go first."""

STATUS_INTERVAL = 0.5
"""Seconds between two writings of one job's status file while it runs; its end is written at once."""

UNSERVED_TOLD = 10.0
"""Seconds between two changes, in the status of all jobs that wait, of what holds for each of them: a LUS that comes
and goes costs no more."""

LIST_JOBS = 200
"""Jobs in one ``job.list`` reply, newest first."""

SHOW_TASKS = 1000
"""Tasks in one ``job.show`` reply."""

BUNDLES_JUDGED = 4_096
"""Bundles of which is remembered that their file is whole; others are read once more before they are given."""

COPY = 1024 * 1024
"""Bytes copied at a time."""

DELIVERIES = 64
"""Answers put into ``ans/`` in one go, between two looks at the database."""

SESSIONS = 10_000
"""Connections at once at the WS's door."""

STORIES = 100
"""Tasks with trouble that a status file tells of."""

CLOCK_DRIFT = 5.0
"""Seconds that the wall clock may step between two looks and still be followed at once."""

CLOCK_PATIENCE = 600.0
"""Seconds for which a larger jump of the wall clock must hold before bundles expire by it."""

TELL_ENDS = 24 * 3600.0
"""Seconds between warnings in the log of what the operator must certify again within weeks."""

ORDERS = 1.0
"""Seconds between looks at what commands on this machine want revoked."""

SNAPSHOT = 600.0
"""Seconds that ``rjs ws backup`` waits for the running server's copy of its database: a slow disk, a large one."""

WHY_SILENT = 2.0
"""Seconds without a heartbeat after which a compute server counts as silent: half its lease."""

WHY_WAIT = 2.0
"""Seconds that a lookup server has to say what it knows of a job: who asks why waits for it."""

WHY_LUSES = 8
"""Lookup servers that are asked for one answer."""

WHYS = 4
"""Such questions of one account at a time: each makes lookup servers look at all that they have."""
