"""The doctor's round: which checks each role has, in the order in which they are told.

    findings = examine(Path("~/rjs-cs"))

Every check looks (``look/``) and judges (``rules/``). One that cannot look says so and keeps no other from looking.
Bounded in time, some 18 seconds at the worst: 10 for a server that hangs, 3 for multicast, 5 for doors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import msgspec

from rjs.doctor.finding import Finding, Level, fault, notice, typed
from rjs.doctor.look import doors, machine, operator, stores
from rjs.doctor.look.certificates import look_at_certificates
from rjs.doctor.look.folder import Running, account, look_at_folder
from rjs.doctor.patient import Patient
from rjs.doctor.rules.authority import ServerFacts, judge_break_in, judge_operator
from rjs.doctor.rules.certificates import Holder, judge_certificate
from rjs.doctor.rules.clock import Skew, judge_clock
from rjs.doctor.rules.discovery import judge_multicast, judge_seen
from rjs.doctor.rules.doors import judge_knock, judge_port, judge_proxy
from rjs.doctor.rules.folder import judge_config, judge_folder, other_account
from rjs.doctor.rules.homes import judge_database, judge_homes
from rjs.doctor.rules.machine import judge_disk, judge_files
from rjs.doctor.rules.servers import judge_java, judge_sandbox, judge_server
from rjs.doctor.rules.trust import judge_revocations, judge_trust
from rjs.errors import RefusedError, RjsError
from rjs.files import read_small
from rjs.identity.folder import IdentityFolder, Member
from rjs.identity.names import Role
from rjs.limits import IDENTITY_FILE
from rjs.roles import role_entry
from rjs.state import CLUSTERS, sole_cluster
from rjs.wall_time import Wall, utc_now

Check = Callable[[Patient], list[Finding]]


def examine(path: Path, wall: Wall = utc_now) -> tuple[Patient | None, list[Finding]]:
    """Whose folder this is, if that can be told, and everything that was found."""
    path = path.resolve()
    try:
        os.listdir(path)  # noqa: PTH208 - whether that may be done
    except (FileNotFoundError, NotADirectoryError):
        remedy = "use an invitation, or name another folder"
        sentence = f"there is no folder {path}: nobody has joined there"
        command = typed("rjs", "--home", str(path), "join", "INVITATION")
        return None, [fault("state folder", "folder-missing", sentence, remedy, command)]
    except OSError as error:
        return None, _closed(path, error)
    try:
        cluster = sole_cluster(path)
        member = _member(cluster / "identity")
    except RjsError as error:
        return None, [_not_joined(path, error)]
    except OSError as error:
        return None, [_unseen("membership", error)]
    patient = Patient(path, cluster, member, wall)
    if patient.role in ("lus", "cs"):
        _ = patient.lan  # begins to listen
    return patient, [finding for check in CHECKS[patient.role] for finding in _done(check, patient)]


def examine_operator(path: Path) -> list[Finding]:
    """The operator's folder."""
    return judge_operator(operator.look_at_operator(path.resolve()))


def _done(check: Check, patient: Patient) -> list[Finding]:
    try:
        return check(patient)
    except (OSError, RjsError) as error:
        return [_unseen(check.__name__.strip("_").replace("_", " "), error)]


def _closed(path: Path, error: OSError) -> list[Finding]:
    """A folder that this account may not look into."""
    try:
        facts = look_at_folder(path, None, Running(None, "", None))
    except OSError:
        return [_unseen("state folder", error)]
    return other_account(facts) or [_unseen("state folder", error)]


def _unseen(subject: str, error: OSError | RjsError) -> Finding:
    words = str(error)
    if isinstance(error, OSError) and error.strerror:
        words = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    remedy = "run this as the account that owns the folder, and see that the file is a plain one"
    return notice(subject, "not-seen", f"it could not be looked at: {words}", remedy)


def _not_joined(path: Path, error: RjsError) -> Finding:
    found = list((path / CLUSTERS).glob("*/identity/member.json"))
    if len(found) > 1:
        remedy = "move all but one out of it"
        return fault(
            "state folder", "several-clusters", str(error), remedy, typed("ls", str(path / CLUSTERS))
        )
    if found:
        remedy = "put the file back from a copy, or join again into a new folder"
        return fault("membership", "membership-damaged", str(error), remedy)
    remedy = "ask the operator for an invitation; a web server that has lost its clusters/ is restored from a backup"
    restore = typed("rjs", "ws", "restore", str(path), "BACKUP")
    return fault("membership", "not-joined", str(error), remedy, "rjs join INVITATION", restore)


def _member(identity: Path) -> Member:
    """The member, though its root may be another cluster's: the checks tell that. Raises RefusedError, OSError."""
    try:
        return IdentityFolder(identity).member()
    except (RefusedError, OSError):
        try:
            member = msgspec.json.decode(read_small(identity / "member.json", IDENTITY_FILE), type=Member)
            _ = member.name
        except msgspec.MsgspecError as error:
            raise RefusedError("member_file", f"{identity / 'member.json'} is damaged: {error}") from error
        return member


# --- the checks -------------------------------------------------------------------------------------------


def _state_folder(patient: Patient) -> list[Finding]:
    return judge_folder(look_at_folder(patient.path, patient.member, patient.running))


def _membership(patient: Patient) -> list[Finding]:
    if not patient.split:
        return []
    remedy = "put root.pem and member.json of one cluster back from a copy, or join again into a new folder"
    return [fault("membership", "other-cluster", patient.split, remedy, *_holder(patient).rejoin())]


def _config(patient: Patient) -> list[Finding]:
    return judge_config(patient.config[0])


def _certificates(patient: Patient) -> list[Finding]:
    found = look_at_certificates(patient.identity.path, patient.role)
    holder, now = _holder(patient), patient.wall()
    findings = [finding for each in found for finding in judge_certificate(each, holder, now)]
    if patient.member.role is Role.USER and "signing" not in {each.what for each in found}:
        findings.append(_uncertified(patient))
    return findings


def _uncertified(patient: Patient) -> Finding:
    sentence = "your signing key is not certified yet: you cannot submit jobs"
    remedy = (
        "give the request to the operator, who runs the second command; put signing.pem beside the request"
    )
    request = str(patient.identity.path / "signing-request.pem")
    ask, issue = "rjs cert request --signing", f"rjs ca issue CADIR {typed(request)}"
    return fault("signing certificate", "signing-not-certified", sentence, remedy, ask, issue)


def _holder(patient: Patient) -> Holder:
    runs = patient.running.document is not None
    return Holder(patient.role, str(patient.path), runs, home=not patient.is_server)


def _clock(patient: Patient) -> list[Finding]:
    told = patient.document.get("clock") or {}
    skews = [each.skew for each in patient.knocks if each.skew is not None]
    skews += [Skew(peer, -ahead) for peer, ahead in told.get("ahead", {}).items()]
    return judge_clock(patient.wall(), skews, machine.counts_sleep(), told.get("trouble", ""))


def _disk(patient: Patient) -> list[Finding]:
    return judge_disk(machine.look_at_disk(patient.path))


def _open_files(patient: Patient) -> list[Finding]:
    return judge_files(machine.look_at_open_files(patient.running.pid), patient.role)


def _revocations(patient: Patient) -> list[Finding]:
    if patient.split:
        return []  # judged by another cluster's root, every list is a forgery
    try:
        root = patient.identity.root()
    except RefusedError:
        return []  # the root's own finding
    facts = stores.look_at_revocations(patient.cluster, root, patient.member.name)
    runs = patient.running.document is not None
    return [judge_revocations(facts, patient.wall(), runs, _holder(patient).rejoin())]


def _server(patient: Patient) -> list[Finding]:
    if patient.running.document is None:
        return []
    return judge_server(patient.role, patient.document, str(patient.path))


def _own_port(patient: Patient) -> list[Finding]:
    listen, runs = patient.setting("listen", ""), patient.running.document is not None
    port = patient.document.get("port") if runs else patient.setting("port", 0)
    if not isinstance(port, int) or (runs and not port):
        return []
    return [judge_port(doors.look_at_port(listen, port, runs))]


def _proxy(patient: Patient) -> list[Finding]:
    return [judge_proxy(machine.proxy_of(os.environ), str(patient.proxy or ""))]


def _doors_of_others(patient: Patient) -> list[Finding]:
    proxy = machine.proxy_of(os.environ)
    found = [judge_knock(attrs.evolve(each.knock, proxy=proxy)) for each in patient.knocks]
    if patient.running.document is None and patient.member.role is Role.CS:
        return [_as_notice(each) for each in found]  # a LUS that cannot be dialled may dial
    return found


def _as_notice(finding: Finding) -> Finding:
    return attrs.evolve(finding, level=Level.NOTICE) if finding.level is Level.FAULT else finding


def _multicast(patient: Patient) -> list[Finding]:
    networks, seen = patient.lan.result()
    return [*judge_multicast(networks), judge_seen(seen, patient.member.id)]


def _trust(patient: Patient) -> list[Finding]:
    return judge_trust(stores.look_at_trust(patient.path, patient.cluster), patient.wall())


def _java(patient: Patient) -> list[Finding]:
    runs = patient.running.document is not None
    return [judge_java(patient.setting("java", ""), patient.document.get("java"), runs)]


def _sandbox(patient: Patient) -> list[Finding]:
    """Of a server that does not run: one that does says itself what confines its jobs."""
    if patient.config[1] is None or patient.running.document is not None:
        return []
    setting = patient.setting("sandbox", "auto")
    lacking: tuple[str, ...] = (f'{patient.path}/config.toml says sandbox = "none"',)
    if setting != "none":
        way, lacking = role_entry("cs.sandbox")(setting)
        if way is not None:
            lacking = ()
    accepted = bool(patient.setting("unconfined", ""))
    return [judge_sandbox(not lacking, lacking, accepted, str(patient.path))]


def _homes(patient: Patient) -> list[Finding]:
    return judge_homes(stores.look_at_homes(patient.path / patient.setting("homes", "home")))


def _database(patient: Patient) -> list[Finding]:
    runs = patient.running.pid is not None or patient.running.document is not None
    name = "ws.sqlite" if patient.member.role is Role.WS else "ledger.sqlite"
    return [judge_database(stores.look_at_database(patient.cluster / name, runs))]


def _break_in(patient: Patient) -> list[Finding]:
    pid = patient.running.pid
    uid = machine.process_uid(pid)
    owner = patient.path.stat().st_uid if uid is None else uid
    authority = patient.document.get("authority")
    user = authority.get("user") if isinstance(authority, dict) else None
    near = operator.operators_near(patient.path, owner)
    return judge_break_in(ServerFacts(str(patient.path), None if uid is None else account(uid), user, near))


_SERVER: Sequence[Check] = (
    _state_folder,
    _membership,
    _config,
    _certificates,
    _revocations,
    _disk,
    _open_files,
)
_PERSON: Sequence[Check] = (
    _state_folder,
    _membership,
    _certificates,
    _disk,
    _proxy,
    _doors_of_others,
    _clock,
)

CHECKS: Mapping[str, Sequence[Check]] = {
    "ws": (*_SERVER, _homes, _database, _server, _own_port, _break_in, _clock),
    "lus": (*_SERVER, _server, _own_port, _multicast, _proxy, _doors_of_others, _clock),
    "cs": (
        *_SERVER,
        _database,
        _sandbox,
        _java,
        _trust,
        _server,
        _own_port,
        _multicast,
        _doors_of_others,
        _clock,
    ),
    "user": _PERSON,
    "admin": _PERSON,
}
"""What is looked at for each role, in this order."""
