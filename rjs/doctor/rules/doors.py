"""Judges ports: ours, and the doors of others that were knocked at with the real certificate."""

from __future__ import annotations

from enum import Enum

import attrs

from rjs.doctor.finding import Finding, fault, notice, typed, well


class Met(Enum):
    """How a knock at a door ended. A door is open when its server said hello, after it had taken our certificate."""

    HELLO = "hello"
    NO_NAME = "no-name"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NO_ROUTE = "no-route"
    PROXY = "proxy"
    NOT_TLS = "not-tls"
    DISTRUSTED = "distrusted"  # we refused what it showed
    UNWANTED = "unwanted"  # it refused what we showed
    SILENT = "silent"


@attrs.frozen
class Knock:
    """One door and what was met there. ``words`` are the system's or the peer's; ``code`` that of a refusal.

    ``peer`` names who said hello, ``proxy`` the HTTP proxy that the environment names and sessions do not use.
    """

    role: str
    address: str
    met: Met
    words: str = ""
    code: str = ""
    peer: str = ""
    seconds: float = 0.0
    proxy: str = ""

    @property
    def subject(self) -> str:
        """What the finding is about."""
        return f"door of {self.role} {self.address}"


def judge_knock(knock: Knock) -> Finding:
    """Open, or the one thing that keeps it closed."""
    if knock.met is Met.HELLO:
        return well(knock.subject, f"open: {knock.peer} answered in {1000 * knock.seconds:.0f} ms")
    if knock.met is Met.DISTRUSTED:
        return _distrusted(knock)
    if knock.met is Met.UNWANTED:
        return _unwanted(knock)
    return _unreached(knock)


def _unreached(knock: Knock) -> Finding:
    host, _, port = knock.address.rpartition(":")
    server = {"ws": "web server", "lus": "lookup server", "cs": "compute server"}[knock.role]
    hint = (
        f"; this machine's environment names the proxy {knock.proxy}, which is not used"
        if knock.proxy
        else ""
    )
    rows = {
        Met.NO_NAME: (
            "door-no-name", f"no address is known for {host}: {knock.words}",
            "check the name and this machine's DNS; where the name has changed, join again or mend member.json",
            typed("getent", "hosts", host),
        ),
        Met.REFUSED: (
            "door-refused", f"{host} answers, and nobody listens on port {port}: the {server} does not run there, "
            "or on another port", "start it there, and compare its port in config.toml", f"rjs {knock.role} run DIR",
        ),
        Met.TIMEOUT: (
            "door-timeout", f"no answer from {host} to port {port}: a firewall drops it, or the machine is off{hint}",
            f"open TCP port {port} on the {server}'s machine and on the way there",
            f"firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --reload",
        ),
        Met.NO_ROUTE: (
            "door-no-route", f"{host} cannot be reached from this network: {knock.words}",
            "check cable, wireless network and VPN, and that the address is right", typed("ip", "route", "get", host),
        ),
        Met.PROXY: (
            "proxy-fails", knock.words,
            "correct proxy in config.toml, or let whoever runs it allow CONNECT there", "",
        ),
        Met.NOT_TLS: (
            "door-not-ours", f"what listens there is no server of RJS: {knock.words}",
            "another program has the port, or something on the way rewrites the connection", "",
        ),
        Met.SILENT: (
            "door-silent", f"the connection was taken and nothing was said: {knock.words}",
            f"the {server} hangs, or something on the way swallows what is said: look into its log", "",
        ),
    }  # fmt: skip
    code, sentence, remedy, command = rows[knock.met]
    return fault(knock.subject, code, sentence, remedy, *([command] if command else []))


def _distrusted(knock: Knock) -> Finding:
    """We refused its certificate: the code of the refusal says what is the matter."""
    if knock.code == "identity.other_root":
        remedy = "it belongs to another cluster: check address and port, or join the cluster that is there"
        return fault(knock.subject, "door-other-cluster", knock.words, remedy)
    if knock.code in ("identity.role", "identity.id"):
        remedy = "another server of this cluster answers there: check address and port"
        return fault(knock.subject, "door-wrong-role", knock.words, remedy)
    if knock.code in ("identity.expired", "identity.not_yet_valid"):
        remedy = (
            "compare the clocks of both machines first; where they agree, its certificate was not renewed"
        )
        return fault(
            knock.subject, "door-certificate-dates", knock.words, remedy, "date -u", "rjs doctor DIR"
        )
    if knock.code == "identity.tls":
        remedy = "another program has the port, or something on the way rewrites the connection"
        return fault(
            knock.subject, "door-not-ours", f"what listens there is no server of RJS: {knock.words}", remedy
        )
    return fault(
        knock.subject,
        "door-distrusted",
        knock.words,
        "its administrator runs the doctor there",
        "rjs doctor DIR",
    )


def _unwanted(knock: Knock) -> Finding:
    remedy = "see this machine's own certificate above; the log over there says why it was refused"
    return fault(knock.subject, "door-rejects-us", knock.words, remedy)


# --- our own port -----------------------------------------------------------------------------------------


class Bound(Enum):
    """Whether a server's own port answers, or could be taken by it."""

    SERVED = "served"
    DEAF = "deaf"  # the server runs and its port does not answer
    FREE = "free"
    TAKEN = "taken"
    NOT_ALLOWED = "not-allowed"
    NOT_OURS = "not-ours"  # the address to listen on is none of this machine


@attrs.frozen
class PortFacts:
    """The port on which this server listens, or would."""

    listen: str
    port: int
    bound: Bound
    words: str = ""


def judge_port(facts: PortFacts) -> Finding:
    """Whether those who dial this machine find its server."""
    subject = "own port"
    where = f"{facts.listen or '*'}:{facts.port}"
    if facts.bound is Bound.SERVED:
        return well(subject, f"{where} answers from here; whether others reach it, their doctor says")
    if facts.bound is Bound.FREE:
        return well(
            subject, f"{where} is free for the server" if facts.port else "any free one, which is announced"
        )
    if facts.bound is Bound.TAKEN:
        remedy = "end that program, or set another port in config.toml"
        sentence = f"another program listens on {where}: the server cannot start"
        return fault(subject, "port-taken", sentence, remedy, f"ss -ltnp 'sport = :{facts.port}'")
    if facts.bound is Bound.NOT_ALLOWED:
        sentence = f"this account may not listen on {where}: {facts.words}"
        return fault(subject, "port-not-allowed", sentence, "set a port above 1023 in config.toml")
    if facts.bound is Bound.NOT_OURS:
        sentence = f"{facts.listen} is no address of this machine: the server cannot listen there"
        remedy = 'set listen in config.toml to one of its addresses, or to "" for all'
        return fault(subject, "listen-address", sentence, remedy, "ip -brief address")
    sentence = f"the server runs, and {where} does not answer even from here: {facts.words}"
    remedy = "a firewall on this machine drops it, or the server hangs: look into its log"
    return fault(subject, "port-deaf", sentence, remedy, "nft list ruleset", "iptables -S")


def judge_proxy(environment: str, used: str = "") -> Finding:
    """The HTTP proxy that the settings name; and one that the environment names, which other programs use."""
    if used:
        return well("proxy", f"the web server is reached through {used}")
    if environment:
        sentence = f"the environment names the proxy {environment}; sessions dial directly all the same"
        return notice("proxy", "proxy-not-used", sentence)
    return well("proxy", "the environment names none")
