"""Every cap and timer of the LUS, with its unit and its reason or its attacker. Sizes in bytes, times in seconds."""

from __future__ import annotations

from rjs.limits import GIB

PREFETCH = 2
"""Task leases wanted per live CS: one runs, one is there the moment that CS becomes free."""

SAME_CS_AFTER = 10.0
"""Seconds after which a retry may go to a CS where the task failed, if there has been no other."""

SERVERS = 5_000
"""CSs registered at one LUS: each costs a session."""

CONNECTIONS = 6_000
"""Connections at once at the LUS's door: every CS that it can register, with room for reconnections."""

REFUSALS = 10_000
"""Refused (CS, job) pairs remembered; beyond it the oldest are asked again."""

REFUSED_AGAIN = 30.0
"""Seconds after which a CS is asked again for a job that it refused, unless for want of trust: its disk may have
been full, its clock wrong, or the bundle out of reach."""

DESCRIBED = 0.1
"""Seconds between two descriptions of one CS that the board hears: each may be compared with all that waits."""

EPOCH = 2.0
"""Seconds between rises of the epoch. With each the WS offers again what nobody here could take, and each of that is
compared with every CS to say why: a CS that changes all the time must not make this all that we do."""

NEEDS_KEPT = 4
"""Different needs remembered for each kind of lease that waits: others are forgotten, as what waits changes."""

LACKS = 65_536
"""Pairs of a job's needs and a CS's offer of which it is remembered how they compare, some 200 bytes each."""

TASKS_TIMED = 20
"""Newest tasks of one job on one CS whose seconds are remembered, in 4 bytes each."""

TASKS_TO_JUDGE = 10
"""Of these, so many at least, on two CSs, before their medians say anything of the CSs' speeds: with fewer, tasks
that differ by half would look like machines that do."""

JOBS_TIMED = 8
"""Jobs of which a CS's times are remembered: with what is above some 3 KiB for each CS at most."""

SHORTEST_TASK = 1.0
"""Seconds from start to answer below which a task says nothing: fetching, starting and signing take up to 0.1 s."""

JUDGED = 10.0
"""Seconds between comparisons of all that is remembered: 10 ms for each job that a thousand CSs work on."""

SPEED_FORGOTTEN = 86_400.0
"""Seconds after which what tasks have shown counts no more, if nothing new has: machines are repaired."""

SPEEDS_KEPT = 2 * SERVERS
"""CSs whose times are remembered, registered or not: a liar that restarts stays known, a flood of names does not."""

CACHE = 8 * GIB
"""Bundles kept on disk; the least recently used go first."""

TICK = 0.25
"""Seconds between looks at leases: a silent CS is noticed within 1 s of its lease's end."""

CONTACTS = 10_000
"""Announced CSs remembered, whether or not they could be reached: a flood of names ends here."""

CONTACT_FORGOTTEN = 60.0
"""Seconds after its last announcement that a CS which cannot be reached is no longer dialled."""

SERVED_ELSEWHERE = 60.0
"""Seconds, ± half, after which a CS that serves another LUS is asked again, unless it announces that it is free."""

REFUSED_DIALLED = 120.0
"""Seconds, ± half, up to which the pause doubles before a CS is dialled again that refuses us, or that we refuse, for
what its certificate says: a person must do something, and what it then announces newly ends the pause."""

DOOR_LOOK = 10.0
"""Seconds, ± half, after which a CS that dialled us is dialled once: whose door was reached is known dead when it
refuses, as a process that merely went out is not."""

DIALS_AT_ONCE = 128
"""CSs never reached that are dialled at a time: a flood of names takes no more sockets than these."""

WOKEN = 0.5
"""Seconds between two dials of one CS at least, however often its announcement changes."""

BRIEFS = 10_000
"""Jobs whose bundles may be asked for; older ones must be leased again first."""

OFFERS_PER_CS = 64
"""Answers of one CS on their way to the WS at a time, each up to 64 KiB: the others are offered again."""

CHECKPOINT_OFFERS_PER_CS = 4
"""Checkpoints of one CS on their way to the WS at a time: while it is away only the newest will matter."""

STRANGE_ENDS_PER_CS = 64
"""Ends of attempts that one CS may have waiting for the WS though we did not start them there: as many as an honest
one keeps, for after a restart of ours we know none of them. Ends of what we started are as few as our leases."""

ASKED = 10_000
"""Attempts that the WS is asked about at once: with what one LUS may hold they fit in one renewal."""

STRANGE_ENDS = 4096
"""The same of all CSs together, each a few KiB."""

CONTACT_SILENT = 15.0
"""Seconds without an announcement after which a CS that was never reached is not dialled again."""

VISITORS = 64
"""Sessions at once of people and joiners, whose requests are carried to the WS: each takes a second or so."""

VISITS_OF_ONE = 4
"""Of these, one person's or one invitation's: whoever holds an invitation keeps nobody else out."""

VISIT = 90.0
"""Seconds that such a session may last: a renewal is waited for that long, and nobody stays."""
