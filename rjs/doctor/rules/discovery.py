"""Judges multicast: whether what we say and what others say on the LAN can be heard here, network by network."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs

from rjs.doctor.finding import Finding, fault, notice, well

SUBJECT = "multicast"
OPEN_MDNS = "firewall-cmd --permanent --add-service=mdns && firewall-cmd --reload"


class Heard(Enum):
    """What became of a DNS-SD question of ours on one network."""

    OWN = "own"  # it came back: this machine sends and hears
    NOTHING = "nothing"
    TAKEN = "taken"  # another program has port 5353 to itself
    NOT_JOINED = "not-joined"
    NOT_SENT = "not-sent"
    FORBIDDEN = "forbidden"


@attrs.frozen
class NetworkFacts:
    """One address of this machine, and what was heard there; ``others`` counts packets of other hosts meanwhile."""

    address: str
    heard: Heard
    words: str = ""
    others: int = 0


@attrs.frozen
class SeenServer:
    """A server that announced itself on the LAN: role, id, and where it said it is."""

    role: str
    id: str
    addresses: tuple[str, ...]
    port: int


def judge_multicast(networks: Sequence[NetworkFacts]) -> list[Finding]:
    """One finding for each network."""
    if not networks:
        sentence = "no network of this machine is to be used: nobody can find it by multicast"
        remedy = "connect it, or correct interfaces in config.toml: IP addresses of this machine"
        return [fault(SUBJECT, "no-network", sentence, remedy, "ip -brief address")]
    return [_judge(each) for each in networks]


def _judge(facts: NetworkFacts) -> Finding:
    subject = f"{SUBJECT} on {facts.address}"
    if facts.heard is Heard.OWN:
        others = (
            f", and {facts.others} packets of others" if facts.others else "; no other host spoke meanwhile"
        )
        return well(subject, f"a question of ours was sent and heard{others}")
    if facts.heard is Heard.TAKEN:
        sentence = f"another program has UDP port 5353 to itself: {facts.words}"
        remedy = "end it, or let it share the port (avahi and systemd-resolved do)"
        return fault(subject, "mdns-port-taken", sentence, remedy, "ss -lunp 'sport = :5353'")
    if facts.heard is Heard.NOT_JOINED:
        sentence = f"the network takes no members of a multicast group: {facts.words}"
        remedy = "use another network, or name the others' addresses in the settings instead of finding them"
        return fault(subject, "multicast-not-joined", sentence, remedy, "ip maddress")
    if facts.heard is Heard.NOT_SENT:
        sentence = f"there is no way out for multicast: {facts.words}"
        remedy = "give it one on this network"
        return fault(
            subject, "multicast-no-route", sentence, remedy, "ip route add 224.0.0.0/4 dev INTERFACE"
        )
    if facts.heard is Heard.FORBIDDEN:
        sentence = f"a firewall here forbids sending to 224.0.0.251, UDP port 5353: {facts.words}"
        return fault(subject, "multicast-blocked-out", sentence, "let mDNS out", OPEN_MDNS)
    sentence = (
        "a question of ours was sent and never heard: a firewall here drops what comes to UDP port 5353"
    )
    return fault(subject, "multicast-blocked-in", sentence, "let mDNS in", OPEN_MDNS)


def judge_seen(seen: Sequence[SeenServer], us: str) -> Finding:
    """Who of this cluster is announced; nobody is no fault, for silence proves nothing."""
    others = [each for each in seen if each.id != us]
    if not others:
        sentence = "no other server of this cluster announced itself meanwhile"
        return notice("announced", "nobody-announced", sentence)
    names = ", ".join(f"{each.role} {each.id[:8]} at {_place(each)}" for each in others[:5])
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    return well("announced", f"{names}{more}")


def _place(seen: SeenServer) -> str:
    host = seen.addresses[0]
    return f"[{host}]:{seen.port}" if ":" in host else f"{host}:{seen.port}"
