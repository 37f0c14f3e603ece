"""Every cap and timer that more than one role uses, with its unit and its reason or its attacker.

Sections are named after the package that they belong to. Sizes are bytes, times are seconds.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# --- rjs.wire -------------------------------------------------------------------------------------------

PROTOCOL = 1
"""Version of the frame protocol that this release speaks."""

OLDEST_PROTOCOL = 1
"""Oldest version that it also speaks with: PROTOCOL - 1, once there is one."""

HELLO_FRAME = 16 * KIB
"""Longest frame before both hellos are in: an unknown peer may not make us buffer more."""

FRAME = MIB
"""Longest frame in a session: a blob chunk or an inline answer, with room for its envelope."""

BLOB_CHUNK = 256 * KIB
"""Bytes of one blob.data: large enough to amortise a round trip, small enough to share a connection."""

BLOB_WINDOW = 8
"""Chunks that a reader asks for ahead (2 MiB in flight): fills a fast LAN, bounds both ends' memory."""

BLOB_GAP = 8 * KIB
"""Bytes between two ranges of a blob below which both are asked for as one: a call costs as much time as they do."""

INLINE_ANSWER = 64 * KIB
"""An answer up to this size travels inside its offer and rests in the commit's own row."""

REQUESTS_IN_FLIGHT = 4096
"""Calls of one peer under way at a time, one-way calls until what they change is durable; more are held."""

HELD_CALLS = 16_384
"""Calls held for a peer: a LUS that comes back tells all its placements at once. Beyond it the peer floods."""

BLOB_STALL = 30.0
"""Seconds for the next chunk of a blob, after which whoever should send it is given up for now."""

BLOB_READS = 2 * BLOB_WINDOW
"""blob.read of one peer that are served at a time, the others in turn: 100 bytes ask us to hold 256 KiB."""

LOGGED_REFUSALS = 1_000
"""Refused calls of one session that the log tells of: a peer that asks for nonsense fills no disk."""

LOG_AT_ONCE = 1_000.0
LOG_A_SECOND = 2.0
"""Lines of one kind in a log at once, and on average: 20 MB a day, where a stranger who connects again and again
would write 10 GB."""

LOG_KINDS = 10_000
"""Kinds of lines that are counted: one for each caller with every statement that names it."""

HELD_BYTES = 32 * MIB
"""Bytes of calls held for a peer: beyond it the peer is cut off."""

HEARTBEAT = 1.0
"""Seconds between pings on every session, both ways."""

HEARTBEAT_WAIT = 0.25
"""Seconds that whoever was dialled waits longer for the other's ping, to answer and to ask in one go: half the system
calls of a lookup server with a thousand sessions, far below every lease."""

SILENCE = 15.0
"""Seconds without a byte after which a session is given up. Leases, not this, decide what becomes of work."""

HANDSHAKE = 10.0
"""Seconds for connecting, TLS and both hellos together: a peer that stalls holds no socket for longer."""

HANDSHAKES_AT_ONCE = 48
"""Handshakes under way at one listener: at 2 to 4 ms of its time each, the last of them is done in a fifth of a
second, and each takes some 60 KiB for as long as it lasts."""

LISTEN_BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted: 1,000 servers that come back at once."""

HANDSHAKE_SLOW = 2.0
"""Seconds that a handshake may take while others wait for it."""

SEND_BUFFER_STALL = 30.0
"""Seconds that a peer may leave our bytes unread before it is cut off (slow loris)."""

MAX_JARS = 64
"""Further JARs of one job: with their names, 20 KiB of each grant and start."""

LINGER = 1.0
"""Seconds that a peer has to take our last word and close; then the connection is dropped."""

HANDOVER_QUIET = 2.0
"""Seconds without a call after which a session that a newer one replaced ends: nothing uses it any more."""

HANDOVER_PAUSE = 600.0
"""Seconds at most between tries to replace a session whose peer still shows its old certificate."""

HANDOVER_MOST = 300.0
"""Seconds after which it ends whatever still uses it: then that starts again on the newer one."""

PEER_SESSIONS = 256
"""Sessions that one member may have at one door: a person's many commands at once, not the whole door."""

PROXY_HEAD = 8 * KIB
"""Bytes of the head of an HTTP proxy's answer, held in memory; real ones have some hundred."""

DIAL_BACKOFF_FIRST = 0.1
DIAL_BACKOFF_MOST = 5.0
"""Seconds between attempts to dial, doubling with jitter: quick after a restart, gentle to a dead host. Only a
session that held for DIAL_BACKOFF_MOST starts the doubling anew: a door that closes at once is no reason to hurry."""

REFUSALS_SAID = 1_000
REFUSED_AGAIN_SAID = 3600.0
"""Callers whose lasting refusals a door remembers to have logged, and the seconds until it logs the same again."""

# --- jobs' progress and door ----------------------------------------------------------------------------

PROGRESS_TEXT = 200
"""Characters that a job may say of its progress: a line on a screen."""

PROGRESS_PAUSE = 1.0
"""Seconds between two words of one attempt's progress, at a CS and again at a LUS: people read no faster."""

# --- leases (DESIGN section 3) --------------------------------------------------------------------------

LUS_LEASE = 60.0
"""Seconds that a WS lease lives unless the LUS renews: rides out a WAN hiccup."""

LUS_RENEWAL = 20.0
"""Seconds between renewals: two may be lost."""

LEASE_LOOK = 1.5
"""Seconds between a grantor's looks at its leases, at the most; a longer gap was its own and is forgiven."""

CS_LEASE = 4.0
"""Seconds that a CS lease lives unless a heartbeat arrives: four heartbeats."""

ADOPTED = 32
"""Attempts of one CS that a LUS asks to adopt at once: it runs one, and has to tell of some. The descriptions of as
many jobs fit in the reply's frame."""

# --- rjs.bundle: against archives made to exhaust whoever reads them ---

MAX_ARCHIVE_BYTES = 2 * GIB
"""Keeps every offset and size far from ZIP64, which the reader refuses."""
MAX_UNPACKED_BYTES = 4 * GIB - 1
"""All files of one archive together, inflated."""
MAX_RATIO = 200
"""Inflated to archive size; deflate itself reaches 1032, real programs and data stay under 50."""
RATIO_FREE_BYTES = 16 * MIB
"""Inflated size that no ratio is asked of: a small archive of zeros harms nobody."""
MAX_ENTRIES = 50_000
"""Below ZIP64's 65,535; a Python environment with numpy and scipy has about 5,000."""
MAX_DIRECTORY_BYTES = 16 * MIB
"""The central directory is held in memory: 50,000 records with names of 270 bytes fit."""
MAX_EXTRA_BYTES = KIB
"""Extra fields of one header. Java writes 4 bytes, Info-ZIP 28, Windows 36; of a bundle that comes in parts they are
fetched before its signer is known."""
MAX_MANIFEST_BYTES = 16 * MIB
"""MANIFEST.MF and the .SF file, each held in memory; 50,000 sections of 300 bytes fit."""
MAX_MANIFEST_LINES = 8 * MAX_ENTRIES
"""Each line may cost a Python object: without this, 16 MiB of short lines cost gigabytes."""
MAX_BLOCK_BYTES = 64 * KIB
"""The CMS block: ten large certificates and a timestamp fit."""
MAX_BLOCK_CERTIFICATES = 10
"""Bounds the signature checks that one block can ask for."""
MAX_CRL_BYTES = 16 * MIB
"""One file of revocation lists; half a million entries."""
MAX_PATH_CERTIFICATES = 6
"""Leaf to root; ours have two to four."""
MAX_RSA_BITS = 8192
"""An RSA check costs the square of this."""
MIN_RSA_BITS = 2048
MAX_NAME_BYTES = 1024
MAX_NAME_PART_BYTES = 255
"""One file name on ext4, APFS and NTFS."""
MAX_NAME_DEPTH = 32
"""Each level costs system calls at unpacking."""
READ_CHUNK_BYTES = 256 * KIB
"""Memory held while hashing or unpacking, whatever the file's size."""
TAIL_BYTES = 64 * KIB
"""What is fetched first of an archive of which only parts are needed: a directory of some 600 entries fits."""
MAX_SKELETON_BYTES = 64 * MIB
"""What is fetched of an archive before its signer is known: directory, manifest and .SF file of 50,000 entries, and
180 bytes around each content, are 56 MiB."""
MAX_DESCRIPTOR_BYTES = 64 * KIB
MAX_TASKS = 1_000_000
MAX_ARGUMENTS = 1_000
MAX_ARGUMENT_BYTES = 64 * KIB
"""All arguments together, before expansion; Linux allows 128 KiB for one."""
MAX_RECEIPT_BYTES = 16 * MIB
"""A receipt names every file of its answer, like a manifest."""
MAX_SEALED_BYTES = MAX_ARCHIVE_BYTES
"""Content of one sealed file: it rests in an answer. AES-GCM itself ends at 64 GiB."""
MAX_SEAL_HEAD_BYTES = 64 * KIB
"""What stands before sealed content is held in memory: eight RSA recipients need 10 KiB."""
MAX_RECIPIENTS = 8
"""A submitter and some colleagues; each costs a key agreement to seal."""

# --- rjs.descriptor: against a job that makes its readers work; they read what a listed signer wrote ------------

MAX_ATTEMPTS = 10
"""Failed attempts at one task: what fails ten times fails, and costs desktops their evenings."""

MAX_KEY_PARTS = 64
"""Parts of one dotted key: reading a key costs the square of them, which is a minute for 64 KiB of dots."""

MAX_MISTAKES = 50
"""Mistakes that are listed of one descriptor; a person mends some and looks again."""

MAX_TASK_FILE_BYTES = 16 * MIB
"""A file with the arguments of every task, held in memory: a million tasks of 16 bytes."""

MAX_RESOURCES = 64
"""Three systems and two architectures make six; a few more for parts that some of them share."""

MAX_PATTERNS = 64
"""Patterns of files in all resources together; a folder needs one."""

MAX_PATTERN_STEPS = 2_000_000
"""Comparisons of a part of a pattern with a part of a name in one descriptor; long ones count for several (see
``descriptor.patterns``): two seconds, whoever wrote both."""

MAX_NETWORK_PLACES = 64
"""Each is shown to the owner, who would not read more."""

MAX_NEEDED_CORES = 1_024
"""Cores of one task: no desktop has more."""

MAX_NEEDED_PROCESSES = 10_000
MAX_NEEDED_DESCRIPTORS = 65_536
MAX_NEEDED_FILES = 10_000_000
"""Processes of one task, open files of each, and its files on disk: above what any desktop gives."""

MAX_PRELOADED = 32
"""Modules imported before the tasks of a job are: each costs memory of all of them."""

MAX_JAVA_OPTIONS = 64
MAX_JAVA_OPTION_CHARACTERS = 1_000
"""Of one option; the longest names a list of modules."""

MAX_JAVA_PROPERTIES = 256
MAX_JAVA_PROPERTY_CHARACTERS = 4_096
"""Of one value. All options and properties are arguments of one process, far below what Linux allows (2 MiB)."""

# --- rjs.descriptor: JNLP and Java ----------------------------------------------------------------------

MAX_XML_DEPTH = 16
"""A JNLP file has four levels."""
MAX_XML_ELEMENTS = 4_000
"""Each costs half a kilobyte of memory; a job with all arguments and properties has half as many."""
MAX_XML_ATTRIBUTES = 32
"""Of one element; JNLP's richest has seven."""
MAX_XML_TEXT = 16 * KIB
"""Characters of one name, value or text."""

JAVA_ROOM = 48 * MIB
"""Memory of a task that the Java machine itself takes: a small program under JDK 17 took 38 to 46 MiB beside a full
heap of 16 MiB to 2 GiB, with two cores and the collectors G1 and Serial."""
JAVA_SHARE = 8
"""One part in so many of a task's memory is kept, beyond JAVA_ROOM, for classes, compiled code, threads' stacks, and
(half of it) direct buffers, which all grow with a program."""
JAVA_HEAP = 8 * MIB
"""Smallest heap that is worth starting with; a Java job needs 64 MiB of memory with it."""

# --- rjs.packing ----------------------------------------------------------------------------------------

MAX_SOURCE_BYTES = MIB
"""A source that is looked into: its syntax tree takes some 400 times as much memory, and two seconds."""
JDEPS_TIME = 300
"""Seconds for ``jdeps`` to end: it reads 10,000 classes in some ten."""
MAX_EXECUTABLE_READ = 256 * MIB
"""A native executable is looked into as far as this, in memory, for its headers and the names of its libraries."""

RESOLVING = 300.0
"""Seconds that resolving requirements may take: a slow index is asked for the metadata of many versions."""

DOWNLOAD_STALL = 60.0
"""Seconds without a byte after which the download of a wheel is given up."""

# --- rjs.wheels -----------------------------------------------------------------------------------------

MAX_WHEEL_METADATA_BYTES = MIB
"""METADATA of a wheel, which holds its whole description, is held in memory."""

MAX_LOCK_BYTES = MIB
"""``pylock.toml``: a compute server parses it; ours have some 300 bytes a package."""

MAX_LOCKED_PACKAGES = 2_000
"""Packages in one lock: each costs markers and tags; the largest environments have some hundreds."""

MAX_LOCK_KEY_PARTS = 32
"""Parts of one dotted key of a lock, which has two: reading keys costs the square, 2 s for MAX_LOCK_BYTES of such."""

MAX_WHEEL_TAGS = 100
"""Combinations of tags that a wheel's name stands for: each is made. Names in use stand for a dozen."""

# --- rjs.config -----------------------------------------------------------------------------------------

CONFIG_FILE = 64 * KIB
"""Largest config.toml: a person writes it by hand; more is a mistake of file."""

# --- rjs.sealed_values ----------------------------------------------------------------------------------

MAX_SEALED_VALUE_BYTES = 8 * KIB
"""A password, a token or a private key, with the name of its setting."""

MAX_SEALED_VALUE_TEXT = 32 * KIB
"""Longest sealed value read: eight RSA recipients and the largest value, in base64."""

# --- rjs.storage, rjs.background ------------------------------------------------------------------------

STORAGE_BATCH = 256
"""Operations in one commit: one sync of the disk is shared by all, and none waits for many others."""

STORAGE_QUEUE = 16_384
"""Operations that may wait for the disk: a quarter of a second's work when measured; more is a flood."""

WORKERS_AT_ONCE = 4
"""Functions that run beside the reactor at a time, of its pool's 10: looking up names must not starve."""

WORKERS_WAITING = 1_024
"""Functions that may wait for a worker: beyond it a peer asks for more than this machine can check."""

# --- rjs.quarantine, rjs.process ------------------------------------------------------------------------

QUARANTINED = 16
QUARANTINED_BYTES = GIB
"""Damaged files that are kept for a person to look at, and their bytes; the newest stay."""

QUARANTINED_WORDS = 1_000
"""Characters of what is wrong with one of them."""

LOG_FILE = 10 * MIB
LOG_FILES = 10
"""Bytes of one file of a server's log, and how many there are; a peer that makes us log drives out older lines."""

# --- rjs.identity ---------------------------------------------------------------------------------------

_DAY = 24 * 3600

ROOT_LIFETIME = 20 * 365 * _DAY
"""Seconds an organisation root lives: a new one means that everybody joins again."""

ENROLMENT_CA_LIFETIME = 10 * 365 * _DAY
"""Seconds the enrolment CA lives; answer keys under it end with it."""

TOKEN_INTERMEDIATE_LIFETIME = 365 * _DAY
"""Seconds a web server may issue token certificates before the operator certifies it again."""

TOKEN_LIFETIME = 2 * _DAY
"""Seconds a token certificate lives: a machine may be off for a night, a stolen key is soon worthless."""

JOB_TOKEN_LIFETIME = 3600
"""Seconds a job token lives at most: it renews itself, and is of no use after its attempt anyway."""

RECORD_LIFETIME = 365 * _DAY
"""Seconds a web server may sign lists of what is revoked before the operator certifies its record key again."""

REVOCATIONS_VALID = _DAY
"""Seconds for which a list of what is revoked is gone by: a web server may be away for a night; whoever withholds
newer lists from a machine keeps a revoked signer's jobs starting there for no longer."""

REVOCATIONS_REISSUE = 600.0
"""Seconds between lists when nothing is revoked: every one is a signature, and some hundred bytes for each server."""

REVOKED = 4_096
"""Entries of one list: a large cluster revokes some a month, and each is compared with every new session."""

REVOKED_UNSEEN = 3_072
"""Entries up to which the authority lists what it has not certified itself, such as a signer's key: the rest is for
members, of which a broken-into web server can invent none."""

REVOCATIONS_BYTES = 640 * KIB
"""Longest list; with its chain it fits in a frame."""

REVOCATION_LAPSE = 30 * _DAY
"""Seconds for which the entry of a certificate that cannot be renewed any more stays in the list: a web server whose
clock is ahead by less forgets nothing too early, and with one that is ahead by more nobody can speak."""

REVOCATION_REASON = 100
"""Characters of the reason of one entry."""

RENEWAL_AT = 2 / 3
"""Part of a token certificate's life after which its holder renews it: a day off still leaves hours to do so."""

HANDOVER_AT = 5 / 6
"""Part of a token certificate's life after which sessions opened with it hand over: both ends have renewed then."""

RENEWAL_GRACE = 30 * _DAY
"""Seconds after its end for which a token certificate may still renew itself, and nothing else: a long holiday."""

RENEWAL_LOOK_FIRST = 1.0
RENEWAL_LOOK = 60.0
"""Seconds between looks at a certificate, as clocks are set; after a failure doubling from the first, with jitter."""

EXPIRED_SESSION = 60.0
"""Seconds after which a peer whose certificate has expired is dialled anew: it may have been renewed meanwhile."""

RENEWAL_PATIENCE = 60.0
"""Seconds that a member waits for its renewed certificate before it asks again: a LUS may have lost its WS."""

SIGNING_LIFETIME = 3 * 365 * _DAY
"""Seconds a signing certificate lives; the key is kept at renewal."""

INVITATION_LIFETIME = 7 * _DAY
"""Seconds within which an invitation must be used, unless the operator says otherwise."""

CLOCK_SKEW = 600
"""Seconds that certificates are dated back: a desktop's clock may be that much behind."""

CERTIFICATE = 4 * KIB
"""Longest DER certificate or request read from anybody; ours have about 600 bytes."""

CHAIN_LENGTH = 5
"""Most certificates in a chain, root included; ours have at most 4 (answer, invitation, enrolment CA, root)."""

INVITATION_TEXT = 16 * KIB
"""Longest invitation read; ours have about 2.3 KiB."""

WS_ADDRESSES = 8
"""Most addresses of one web server that an invitation or a member's folder names."""

LUS_ADDRESSES = 8
"""Most addresses of lookup servers that an invitation or a member's folder names."""

CLOCKS_APART = 60.0
"""Seconds by which two clocks may differ before people are told: leases do not go by wall clocks, certificates are
dated back by ``CLOCK_SKEW``, and a machine that keeps its time is within a second."""

IDENTITY_FILE = 64 * KIB
"""Longest file of keys, certificates or membership read."""

ENCRYPTION_LIFETIME = 3 * 365 * _DAY
"""Seconds an encryption certificate lives; the key is kept at renewal, so what was sealed before stays readable."""

ENCRYPTION_RENEWAL = 30 * _DAY
"""Seconds before its end from which on a self-signed encryption certificate is made anew: longer than jobs run."""

PASSPHRASE_ROUNDS = 600_000
"""Rounds of PBKDF2-HMAC-SHA256 from a passphrase to a key, as OWASP advises: 0.1 s for each guess of a thief."""

PASSPHRASE_LEAST = 8
"""Shortest passphrase taken, in bytes; what is worth protecting is worth a longer one."""

# --- rjs.identity: certificates of other CAs ------------------------------------------------------------

ACCEPTANCE_LIFETIME = 365 * _DAY
"""Seconds for which a statement of accepted CAs counts: whoever withholds its withdrawal wins no more than that."""

ACCEPTED_CAS = 16
"""CAs in one statement: an organisation has some; each may cost a path's signatures when a stranger calls."""

ACCEPTED_LISTINGS = 10_000
"""Certificates that one CA's table lists: the members that one web server is meant for."""

ACCEPTED_REVOKED = 10_000
"""Serial numbers that one statement takes over from CAs' revocation lists."""

ACCEPTANCE_BYTES = 640 * KIB
"""Longest statement; with its chain it fits in a frame to the authority."""

FOREIGN_CERTIFICATE = 8 * KIB
"""Longest certificate of another CA read: RSA keys of 4,096 bits and long policies fit."""

FOREIGN_CHAIN = 5
"""Certificates that whoever presents one of another CA shows, its own included: bounds the signature checks."""

FOREIGN_SIGNERS = 16
"""Signing keys that an account lists at most when it adds one by presenting a certificate: a folder for each desk."""

RECERTIFY = 60 * _DAY
"""Seconds before its end from which on what the operator certified for a web server asks to be certified again."""

# --- rjs.discovery --------------------------------------------------------------------------------------

ANNOUNCEMENT_TTL = 20
"""Seconds that others keep our records: a machine that vanished leaves their lists soon (RFC 6762 says 120)."""

DISCOVERY_RENEWAL = 5.0
"""Seconds between announcing again, and between asking again: whoever was cut off is found after healing."""

ANNOUNCED_TEXT = 512
"""Longest TXT record that is read; ours has about 110 bytes."""

ANNOUNCED_ADDRESSES = 8
"""Addresses of one server that are announced, and that are returned to be dialled."""

SEEN_GATHERING = 0.02
"""Seconds for which events gather before they cross to the reactor: a flood makes 50 crossings a second."""

SEEN_SERVERS = 4096
"""Servers of one kind remembered by a browser, four times the design's LAN; the longest unheard go first."""

ASKED_AT_ONCE = 64
"""Incomplete announcements that are asked about at a time; the others are asked about at a later renewal."""

# --- rjs.process ----------------------------------------------------------------------------------------

STOPPING = 30.0
"""Seconds that a server has to stop cleanly: whoever told it to must not wait for a peer or a disk for ever."""

# --- rjs.status -----------------------------------------------------------------------------------------

STATUS_DOCUMENT = 64 * MIB
"""Bytes of one status document that a command reads."""

STATUS_PATIENCE = 10.0
"""Seconds that a command waits for a server's status."""

# --- rjs.local_cluster ----------------------------------------------------------------------------------

LOCAL_START = 60.0
"""Seconds in which a cluster on this machine must be ready, its benchmarks included."""

LOCAL_STOP = 10.0
"""Seconds in which a server ends when it is told to; then it is killed."""

# --- rjs.client -----------------------------------------------------------------------------------------

JOIN_PAUSE = 0.25
"""Seconds between two tries to reach a web server that may just be starting."""

SUPERSEDED_PAUSE = 1.0
"""Seconds between two tries to renew while the session of a killed process is not given up yet."""

LAN_AFTER = 2.0
"""Seconds of that after which a joiner looks for other ways on the LAN: a web server that starts needs less."""

LAN_LOOK = 3.0
"""Seconds in which lookup servers of the LAN are listened for, where no address that is known answers: they answer a
question within milliseconds, and a question may be lost."""

LIST_PATIENCE = 10.0
"""Seconds that a command, its own work done, waits for that list."""

# --- rjs.disk -------------------------------------------------------------------------------------------

DISK_RESERVE = 64 * MIB
"""Bytes free below which nothing new is taken in: what was begun needs them."""

DISK_FILES = 1_000
"""Files that may still be made, below which nothing new is taken in."""

DISK_LOOK = 2.0
"""Seconds between looks at the disk: each writes one small file durably."""

DISK_CHILDREN = 5.0
"""Seconds that the children of a server that starts again have to end."""

# --- rjs.wire.messages.why ------------------------------------------------------------------------------

WHY_NAMES = 8
"""Compute servers, or tasks, that a reason names: more say nothing more to a person."""

WHY_KINDS = 24
"""Reasons of compute servers that are told apart: those of the most of them."""

WHY_CHANGES = 6
"""Things named that would change one reason."""

WHY_REASONS = 32
"""Reasons in one reply: with all their words a frame holds them."""

WHY_ATTEMPTS = 1000
"""Attempts of a job that a lookup server tells of at a time; of one task it tells all."""

WHY_WORDS = 400
"""Characters of what one compute server said of a job."""
