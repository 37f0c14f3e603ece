"""Every cap and timer of the token authority, with its unit and its reason or its attacker."""

from __future__ import annotations

from rjs.limits import MIB, TOKEN_LIFETIME

SHORTEST_LIFETIME = 60
"""Seconds that a token certificate lives at least: below, renewing would be all that a cluster does."""

LONGEST_LIFETIME = TOKEN_LIFETIME
"""Seconds that a token certificate lives at most, whatever the web server asks for."""

FRAME = MIB
"""Longest frame, both ways: the longest list of what is revoked fits. A request with two chains has 12 KiB."""

BATCH = 64
"""Requests that share one sync of the log: 64 certificates take a tenth of a second to sign."""

ISSUED_AT_ONCE = 4_000
ISSUED_A_SECOND = 50.0
"""Certificates in a burst, and on average: every member of a large cluster may come back at once after a power cut;
a broken-into web server fills no disk with its log."""

NAME_AT_ONCE = 20
NAME_A_SECOND = 1 / 60
"""The same for one name: twenty retries, then one a minute."""

SHORTEST_JOB_LIFETIME = 3
"""Seconds that a job token lives at least: a renewal through three servers takes tenths of a second."""

JOBS_AT_ONCE = 1_000
JOBS_A_SECOND = 20.0
"""Job tokens in a burst, and on average, beside members' certificates: a thousand jobs start together and each asks
once; each is a line of the log, 700 MB a day at this rate."""

CS_AT_ONCE = 60
CS_A_SECOND = 1.0
"""The same for the jobs of one compute server, which runs short ones in a row: one that turned uses up no others'."""

NAMES = 100_000
"""Names whose rate is remembered, ten times the members that one web server is meant for."""

REPEATS = 4_096
"""Replies remembered, for a request that is repeated because its reply was lost."""

WAITING = 4_096
"""Requests that wait for the authority: beyond it the web server refuses at once."""

PATIENCE = 20.0
"""Seconds that a request waits for its certificate, a restart of the authority included."""

READY = 20.0
"""Seconds in which a new authority process must be ready, on a busy machine."""

RESTART_FIRST = 0.1
RESTART_MOST = 60.0
"""Seconds before an authority that died is started again, doubling: one that cannot live is no storm. One that lived
for RESTART_MOST starts the doubling anew."""

FAREWELL = 5.0
"""Seconds that the authority has to end when the web server stops; then it is killed."""
