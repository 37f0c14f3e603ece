"""Judges what a running server says of itself: its status document, by role.

A document may be of another release: what it does not state is not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rjs.doctor.finding import Finding, fault, notice, typed, well

Document = Mapping[str, Any]


def judge_server(role: str, document: Document, folder: str) -> list[Finding]:
    """Everything that the server of this role tells of itself."""
    return [*_renewal(document), *_disk(document), *_ROLES[role](document, folder)]


def _renewal(document: Document) -> list[Finding]:
    trouble = _of(document, "certificate").get("trouble")
    if not trouble:
        return []
    remedy = "it tries again by itself; mend what it says, or see the doors"
    return [fault("renewal", "renewal-fails", f"the certificate is not renewed: {trouble}", remedy)]


def _disk(document: Document) -> list[Finding]:
    """What keeps the server from writing, in its own words: it sees its quota and its disk's errors."""
    disk = _of(document, "disk")
    if not disk.get("fault"):
        return []
    remedy = "make room, or mend the disk: nothing new is taken in before, nothing is lost, and it goes on by itself"
    return [fault("disk", "server-lacks-disk", str(disk.get("sentence")), remedy)]


# --- the web server ---------------------------------------------------------------------------------------


def _ws(document: Document, folder: str) -> list[Finding]:
    return [_authority(document), *_mandates(document), _luses(document), _accounts(document)]


def _authority(document: Document) -> Finding:
    authority = _of(document, "authority")
    if authority.get("issues"):
        return well(
            "authority", f"it issues, as the account {authority.get('user')}, until {authority.get('until')}"
        )
    sentence = f"nobody joins or renews: {authority.get('trouble') or 'the token authority does not run'}"
    remedy = (
        "the web server starts it again and again: mend what is said (its folder is identity/authority), or restore "
        "that folder from a copy"
    )
    return fault("authority", "authority-dead", sentence, remedy)


def _mandates(document: Document) -> list[Finding]:
    """What the operator gave the web server, and soon ends."""
    warnings = _of(document, "mandates").get("warnings") or ()
    remedy = "the operator does that in time"
    return [notice("mandates", "mandate-ends", str(each), remedy) for each in warnings]


def _luses(document: Document) -> Finding:
    luses = list(document.get("lus") or ())
    if luses:
        return well("lookup servers", f"connected: {', '.join(map(str, luses))}")
    sentence = "no lookup server is connected: nothing is placed anywhere"
    remedy = "start one, and let its own doctor say why it does not get here"
    return fault("lookup servers", "no-lus", sentence, remedy, "rjs lus run DIR", "rjs doctor DIR")


def _accounts(document: Document) -> Finding:
    count = document.get("accounts")
    if count == 0:
        sentence = "nobody has joined as a user yet"
        command = "rjs ca invite CADIR --ws HOST:PORT --role user --name ACCOUNT"
        return notice("accounts", "no-accounts", sentence, "invite somebody", command)
    return well("accounts", f"{count} accounts, {document.get('jobs')} jobs known")


# --- the lookup server ------------------------------------------------------------------------------------


def _lus(document: Document, folder: str) -> list[Finding]:
    return [_ws_session(document, folder), *_servers(document)]


def _ws_session(document: Document, folder: str) -> Finding:
    ws = _of(document, "ws")
    addresses = ", ".join(map(str, ws.get("addresses") or ()))
    if ws.get("connected"):
        return well("web server", f"connected to {addresses}")
    sentence = f"no session with the web server at {addresses}: {ws.get('trouble') or 'it is being dialled'}"
    remedy = "see the doors: what is told there keeps this session away; it is dialled again by itself"
    return fault("web server", "ws-away", sentence, remedy)


def _servers(document: Document) -> list[Finding]:
    servers = list(document.get("servers") or ())
    alive = [each for each in servers if each.get("state") in ("free", "busy")]
    lost = [each for each in servers if each.get("state") == "lost"]
    found: list[Finding] = []
    if not alive:
        sentence = "no compute server is registered: nothing can run"
        remedy = "start one, let its doctor say why it is not found; multicast below says whether it could be"
        found.append(fault("compute servers", "no-cs", sentence, remedy, "rjs cs run DIR", "rjs doctor DIR"))
    else:
        found.append(well("compute servers", f"{len(alive)} registered"))
    if lost:
        names = ", ".join(f"{each.get('name')} at {each.get('address')}" for each in lost[:5])
        sentence = f"{len(lost)} were here and do not answer: {names}"
        remedy = "they may be off; where one is on, its doctor says why"
        found.append(notice("compute servers", "cs-lost", sentence, remedy, "rjs doctor DIR"))
    return found


# --- the compute server -----------------------------------------------------------------------------------


def _cs(document: Document, folder: str) -> list[Finding]:
    return [
        _served(document),
        _sandbox(document),
        _speed(document),
        *_answers(document),
        *_refused(document, folder),
    ]


def _served(document: Document) -> Finding:
    lus = document.get("lus")
    if lus:
        return well("lookup server", f"served by {lus}")
    known = _of(document, "lookup_servers")
    tried = "; ".join(f"{name}: {trouble}" for name, trouble in known.items() if trouble)
    sentence = f"no lookup server serves this machine, so it gets no work; {tried or 'none has found it'}"
    if "revoked: " in tried:
        return fault("lookup server", "no-lus", sentence, "see what it says is revoked")
    remedy = (
        "see multicast: where it is blocked, let UDP port 5353 through on both machines; let this server's TCP port "
        "through, or name a lookup server in config.toml (lus); and see that one of this cluster runs"
    )
    port = document.get("port")
    command = f"firewall-cmd --permanent --add-service=mdns --add-port={port}/tcp && firewall-cmd --reload"
    return fault("lookup server", "no-lus", sentence, remedy, command)


def _sandbox(document: Document) -> Finding:
    if document.get("confined"):
        return well("sandbox", f"jobs run confined: {document.get('sandbox') or 'in a sandbox'}")
    return _no_sandbox(document.get("lacking"))


def _no_sandbox(lacking: object) -> Finding:
    reasons = "; ".join(map(str, lacking)) if isinstance(lacking, list | tuple) else ""
    sentence = (
        f"jobs of signers whom you trust run with this account's rights: {reasons or 'nothing confines them'}"
    )
    remedy = (
        "mend what is said; until then trust only people whom you would give this account, and run the server as one "
        "that owns nothing else"
    )
    return notice("sandbox", "no-sandbox", sentence, remedy)


def _speed(document: Document) -> Finding:
    mflops = document.get("mflops")
    if not isinstance(mflops, int | float) or mflops <= 0:
        return notice(
            "speed", "not-measured", "the speed of this machine is not known", "measure it", "rjs benchmark"
        )
    return well("speed", f"{mflops:.0f} MFLOPS, measured {document.get('measured')}")


def _answers(document: Document) -> list[Finding]:
    count = document.get("answers_waiting") or 0
    if not count or document.get("lus"):
        return [well("spool", f"{count} answers wait for their commit notice")]
    sentence = f"{count} answers wait here for a lookup server to take them; they are kept until then"
    return [notice("spool", "answers-waiting", sentence, "see why no lookup server serves this machine")]


def _refused(document: Document, folder: str) -> list[Finding]:
    refused = list(document.get("refused") or ())
    if not refused:
        return []
    last = refused[-1]
    sentence = f"the last of {len(refused)} refused jobs: {last.get('code')}: {last.get('sentence')}"
    return [
        notice("refused jobs", "jobs-refused", sentence, "all of them", typed("rjs", "cs", "status", folder))
    ]


def judge_java(configured: str, found: str | None, known: bool) -> Finding:
    """The Java that was configured and the one that was found; ``known``: whether somebody looked for one."""
    if configured == "none":
        return well("java", "none, as configured: Java jobs go elsewhere")
    if found is not None:
        return well("java", found)
    if configured:
        sentence = f"{configured}, which config.toml names, is no Java that works: Java jobs go elsewhere"
        remedy = 'correct java in config.toml, or write "none", and start the server again'
        return fault("java", "java-missing", sentence, remedy, typed(configured, "-version"))
    if not known:
        return well("java", "looked for at the next start")
    remedy = "install one, or say that there is none"
    return notice("java", "java-none", "no Java was found: Java jobs go elsewhere", remedy, 'java = "none"')


def judge_sandbox(confined: bool, lacking: Sequence[str], accepted: bool, folder: str) -> Finding:
    """What a server that is not running would find when it starts: whether a sandbox holds here, and the owner's word
    for the case that none does."""
    if confined:
        return well("sandbox", "jobs run confined")
    if accepted:
        return _no_sandbox(lacking)
    sentence = f"the server does not start: jobs cannot be confined here ({'; '.join(lacking)})"
    remedy = (
        "mend what is said; or, where this account owns nothing that a job may not read and change, write "
        f'unconfined = "i accept" into {folder}/config.toml'
    )
    return fault("sandbox", "unconfined-not-accepted", sentence, remedy)


def _of(document: Document, name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, Mapping) else {}


_ROLES: Mapping[str, Callable[[Document, str], list[Finding]]] = {"ws": _ws, "lus": _lus, "cs": _cs}
