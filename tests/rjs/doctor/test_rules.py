"""The judging rules of the doctor: each code from its facts alone, and nothing from facts that are well."""

from __future__ import annotations

import ast
import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

import rjs.doctor
from rjs.doctor.finding import Finding, Level
from rjs.doctor.rules.authority import OperatorFacts, ServerFacts, judge_break_in, judge_operator
from rjs.doctor.rules.canary import Came, CanaryFacts, Step, judge_canary
from rjs.doctor.rules.certificates import CertificateFacts, Holder, judge_certificate
from rjs.doctor.rules.clock import Skew, judge_clock
from rjs.doctor.rules.discovery import Heard, NetworkFacts, SeenServer, judge_multicast, judge_seen
from rjs.doctor.rules.doors import Bound, Knock, Met, PortFacts, judge_knock, judge_port, judge_proxy
from rjs.doctor.rules.folder import ConfigFacts, FolderFacts, judge_config, judge_folder, other_account
from rjs.doctor.rules.homes import DatabaseFacts, HomeFacts, judge_database, judge_homes
from rjs.doctor.rules.machine import DiskFacts, FilesFacts, judge_disk, judge_files
from rjs.doctor.rules.servers import judge_java, judge_sandbox, judge_server
from rjs.doctor.rules.trust import GrantFacts, RevocationFacts, TrustFacts, judge_revocations, judge_trust
from rjs.limits import GIB, MIB

NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def told(findings: Finding | Sequence[Finding]) -> list[str]:
    """``level code`` of each, or ``ok``."""
    found = [findings] if isinstance(findings, Finding) else findings
    return [f"{each.level} {each.code}".strip() for each in found]


# --- folders ----------------------------------------------------------------------------------------------

FOLDER = FolderFacts("/s", "cs", "desk", "ada", "ada", 0o700, 7, None, True)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["ok"]),
        ({"mode": 0o755}, ["fault folder-open", "ok"]),
        ({"theirs": (("lock", "root"),)}, ["fault foreign-files", "ok"]),
        ({"answers": False, "holder": None}, ["notice not-running"]),
        ({"answers": False}, ["fault folder-held"]),
        ({"role": "user", "answers": False, "holder": None}, ["ok"]),
    ],
)
def test_state_folders(change: dict[str, Any], expected: list[str]) -> None:
    """Modes, owners, and who holds it."""
    assert told(judge_folder(attrs.evolve(FOLDER, **change))) == expected


def test_another_accounts_folder() -> None:
    """It says as whom to look; root sees everything."""
    (found,) = other_account(attrs.evolve(FOLDER, owner="bob"))
    assert told(found) == ["notice other-account"]
    assert found.commands == ("sudo -u bob rjs doctor /s",)
    assert other_account(attrs.evolve(FOLDER, owner="bob", us="root")) == []
    assert other_account(FOLDER) == []


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ConfigFacts("/s/config.toml"), ["ok"]),
        (ConfigFacts("/s/config.toml", missing=True), ["fault config-missing"]),
        (ConfigFacts("/s/config.toml", mistakes=("prot: no such setting",)), ["fault config-wrong"]),
        (ConfigFacts("/s/config.toml", writable=True), ["fault config-writable"]),
    ],
)
def test_settings(facts: ConfigFacts, expected: list[str]) -> None:
    """Missing, wrong, open to others."""
    assert told(judge_config(facts)) == expected


# --- certificates -----------------------------------------------------------------------------------------

TOKEN = CertificateFacts("token", "/i/token.pem", NOW - DAY, NOW + DAY, key_path="/i/token.pem", key_mode=0o600,
                         key_fits=True)  # fmt: skip
SIGNING = attrs.evolve(TOKEN, what="signing", path="/i/signing.pem", end=NOW + 400 * DAY)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (TOKEN, ["ok"]),
        (SIGNING, ["ok"]),
        (attrs.evolve(TOKEN, end=NOW - HOUR), ["fault certificate-expired"]),
        (attrs.evolve(TOKEN, end=NOW), ["ok"]),
        (attrs.evolve(TOKEN, end=NOW - 30 * DAY), ["fault certificate-expired"]),
        (attrs.evolve(TOKEN, end=NOW - 30 * DAY - HOUR), ["fault certificate-beyond-grace"]),
        (attrs.evolve(TOKEN, start=NOW + HOUR), ["fault certificate-not-yet-valid"]),
        (attrs.evolve(SIGNING, end=NOW + 29 * DAY), ["notice certificate-ends-soon"]),
        (attrs.evolve(SIGNING, end=NOW - HOUR), ["fault certificate-expired"]),
        (attrs.evolve(TOKEN, error="no such file"), ["fault certificate-unreadable"]),
        (attrs.evolve(TOKEN, of_root=False), ["fault root-mismatch"]),
        (attrs.evolve(TOKEN, key_mode=0o640, key_fits=None), ["fault key-exposed"]),
        (attrs.evolve(SIGNING, key_mode=0o644, key_fits=None, encrypted=True), ["ok"]),
        (attrs.evolve(TOKEN, key_fits=False), ["fault key-mismatch"]),
        (attrs.evolve(TOKEN, key_error="no key"), ["fault key-unreadable"]),
        (
            attrs.evolve(TOKEN, key_mode=0o644, end=NOW - HOUR),
            ["fault key-exposed", "fault certificate-expired"],
        ),
    ],
)
def test_certificates(facts: CertificateFacts, expected: list[str]) -> None:
    """Dates to the second, roots, keys; two faults are two findings."""
    assert told(judge_certificate(facts, Holder("cs", "/s"), NOW)) == expected


def test_who_renews() -> None:
    """A person and a stopped server type a command, a running server renews itself."""
    expired = attrs.evolve(TOKEN, end=NOW - HOUR)

    def commands(holder: Holder) -> tuple[str, ...]:
        return judge_certificate(expired, holder, NOW)[0].commands

    assert commands(Holder("cs", "/s p")) == ("rjs cert renew '/s p'",)
    assert commands(Holder("user", "/p", home=True)) == ("rjs --home /p cert renew",)
    assert commands(Holder("cs", "/s", runs=True)) == ()


@pytest.mark.parametrize("what", ["answer", "signing", "encryption", "intermediate", "record", "root"])
def test_each_long_lived_certificate_has_a_remedy(what: str) -> None:
    """None ends without somebody who can mend it."""
    (found,) = judge_certificate(attrs.evolve(SIGNING, what=what, end=NOW - DAY), Holder("ws", "/s"), NOW)
    assert found.code == "certificate-expired" and found.remedy and found.commands


# --- clock, machine ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skews", "expected"),
    [
        ([], ["ok"]),
        ([0.4, -2], ["ok"]),
        ([31.0], ["notice clock-drifts"]),
        ([-601.0], ["fault clock-wrong"]),
        ([1.0, 7200.0], ["fault clock-wrong"]),
    ],
)
def test_clocks(skews: list[float], expected: list[str]) -> None:
    """The worst difference counts, in both directions."""
    assert told(judge_clock(NOW, [Skew("ws", each) for each in skews], True)) == expected


def test_clocks_that_cannot_be_right() -> None:
    """One that was never set, one that forgets sleep, and what the server says of a caller whom it refused."""
    assert told(judge_clock(dt.datetime(1970, 1, 1, tzinfo=dt.UTC), [], True)) == ["fault clock-wrong"]
    assert told(judge_clock(NOW, [], False)) == ["notice clock-without-sleep"]
    assert told(judge_clock(NOW, [Skew("lus", 0.0)], True, "whoever called: set it")) == ["fault clock-wrong"]
    assert "2.0 hours behind that of ws" in judge_clock(NOW, [Skew("ws", -7200.0)], True)[0].sentence


DISK = DiskFacts("/s", 50 * GIB, 100 * GIB, 10**6, 10**7, False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ["ok"]),
        ({"free": 500 * MIB}, ["notice disk-low"]),
        ({"free": 0}, ["fault disk-full"]),
        ({"free_inodes": 3}, ["fault inodes-exhausted"]),
        ({"free_inodes": 0, "inodes": 0}, ["ok"]),  # btrfs has no number of them
        ({"read_only": True, "free": 0}, ["fault disk-read-only"]),
        ({"free": 0, "free_inodes": 0}, ["fault disk-full", "fault inodes-exhausted"]),
    ],
)
def test_disks(change: dict[str, Any], expected: list[str]) -> None:
    """Bytes, inodes, and a mount that cannot be written."""
    assert told(judge_disk(attrs.evolve(DISK, **change))) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FilesFacts(1, 20_000, 30), ["ok"]),
        (FilesFacts(1, 20_000, None), ["ok"]),
        (FilesFacts(1, 256, 3), ["notice few-descriptors"]),
        (FilesFacts(1, 20_000, 19_000), ["fault descriptors-exhausted"]),
    ],
)
def test_open_files(facts: FilesFacts, expected: list[str]) -> None:
    """Too few allowed, nearly all used."""
    assert told(judge_files(facts, "lus")) == expected


# --- network ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("met", "code", "expected"),
    [
        (Met.HELLO, "", "ok"),
        (Met.NO_NAME, "", "fault door-no-name"),
        (Met.REFUSED, "", "fault door-refused"),
        (Met.TIMEOUT, "", "fault door-timeout"),
        (Met.NO_ROUTE, "", "fault door-no-route"),
        (Met.NOT_TLS, "", "fault door-not-ours"),
        (Met.SILENT, "", "fault door-silent"),
        (Met.PROXY, "", "fault proxy-fails"),
        (Met.DISTRUSTED, "identity.other_root", "fault door-other-cluster"),
        (Met.DISTRUSTED, "identity.role", "fault door-wrong-role"),
        (Met.DISTRUSTED, "identity.not_yet_valid", "fault door-certificate-dates"),
        (Met.DISTRUSTED, "identity.expired", "fault door-certificate-dates"),
        (Met.DISTRUSTED, "identity.tls", "fault door-not-ours"),
        (Met.DISTRUSTED, "identity.usage", "fault door-distrusted"),
        (Met.UNWANTED, "identity.refused_by_peer", "fault door-rejects-us"),
    ],
)
def test_doors(met: Met, code: str, expected: str) -> None:
    """Every way in which a knock ends has its own name and, closed, a remedy."""
    found = judge_knock(Knock("ws", "[fd77::1]:9000", met, code=code))
    assert told(found) == [expected]
    assert bool(found.remedy) == (met is not Met.HELLO)


def test_a_proxy_is_mentioned_where_it_may_matter() -> None:
    """Who is behind a proxy that nothing uses is told at the door that does not answer."""
    assert (
        "proxy.example:3128"
        in judge_knock(Knock("ws", "h:1", Met.TIMEOUT, proxy="proxy.example:3128")).sentence
    )
    assert told(judge_proxy("proxy.example:3128")) == ["notice proxy-not-used"]
    assert told(judge_proxy("")) == ["ok"]
    assert "through p:1" in judge_proxy("proxy.example:3128", "p:1").sentence


@pytest.mark.parametrize(
    ("bound", "expected"),
    [
        (Bound.SERVED, "ok"),
        (Bound.FREE, "ok"),
        (Bound.DEAF, "fault port-deaf"),
        (Bound.TAKEN, "fault port-taken"),
        (Bound.NOT_ALLOWED, "fault port-not-allowed"),
        (Bound.NOT_OURS, "fault listen-address"),
    ],
)
def test_own_ports(bound: Bound, expected: str) -> None:
    """Served, free, or whose."""
    assert told(judge_port(PortFacts("", 9000, bound))) == [expected]


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (Heard.OWN, "ok"),
        (Heard.NOTHING, "fault multicast-blocked-in"),
        (Heard.FORBIDDEN, "fault multicast-blocked-out"),
        (Heard.NOT_SENT, "fault multicast-no-route"),
        (Heard.NOT_JOINED, "fault multicast-not-joined"),
        (Heard.TAKEN, "fault mdns-port-taken"),
    ],
)
def test_multicast(heard: Heard, expected: str) -> None:
    """What became of a question says what is wrong with the network."""
    assert told(judge_multicast([NetworkFacts("10.0.0.1/24", heard)])) == [expected]


def test_who_is_announced() -> None:
    """Nobody is no fault, we are nobody, and a scope stays within its brackets."""
    other = SeenServer("lus", "b" * 32, ("fe80::1%2",), 9001)
    assert told(judge_multicast([])) == ["fault no-network"]
    assert told(judge_seen([attrs.evolve(other, id="a" * 32)], "a" * 32)) == ["notice nobody-announced"]
    assert "lus bbbbbbbb at [fe80::1%2]:9001" in judge_seen([other], "a" * 32).sentence


# --- what a server keeps ----------------------------------------------------------------------------------

LASTING = GrantFacts("Ada", "ab" * 32, None)
ENDED = attrs.evolve(LASTING, until=NOW)
TRUST = TrustFacts("/s", "/s/trust.toml", (LASTING,))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (TRUST, ["ok"]),
        (attrs.evolve(TRUST, grants=()), ["fault trust-empty"]),
        (attrs.evolve(TRUST, grants=(ENDED,)), ["fault trust-ended"]),
        (attrs.evolve(TRUST, grants=(LASTING, ENDED)), ["ok", "notice trust-expired"]),
        (attrs.evolve(TRUST, error="Permission denied", grants=()), ["fault trust-unreadable"]),
        (attrs.evolve(TRUST, error="can be written", writable="/s", grants=()), ["fault trust-writable"]),
    ],
)
def test_trust(facts: TrustFacts, expected: list[str]) -> None:
    """Whether anybody's job may run."""
    assert told(judge_trust(facts, NOW)) == expected


LIST = RevocationFacts("/s/revocations", 3, 1, NOW + DAY)


@pytest.mark.parametrize(
    ("facts", "runs", "expected"),
    [
        (LIST, True, "ok"),
        (attrs.evolve(LIST, until=NOW - HOUR), True, "fault revocations-stale"),
        (attrs.evolve(LIST, until=NOW - HOUR), False, "notice revocations-old"),
        (RevocationFacts("/s/revocations"), True, "notice revocations-missing"),
        (attrs.evolve(LIST, error="damaged"), False, "fault revocations-damaged"),
        (attrs.evolve(LIST, against="it was revoked"), True, "fault membership-revoked"),
        (attrs.evolve(LIST, until=NOW - HOUR, against="it was revoked"), False, "fault membership-revoked"),
    ],
)
def test_revocations(facts: RevocationFacts, runs: bool, expected: str) -> None:
    """A stale list is a fault where a server goes by it."""
    assert told(judge_revocations(facts, NOW, runs)) == [expected]


def test_homes_and_database() -> None:
    """Each trouble of each home; a database that was not looked into is not called damaged."""
    home = HomeFacts("ada", "/h/ada")
    assert told(judge_homes([home, home])) == ["ok"]
    harmed = HomeFacts("bob", "/h/bob", missing=("ans",), unwritable=("jobs",), open_to_others=True)
    assert told(judge_homes([home, harmed])) == [
        "fault home-incomplete", "fault home-not-writable", "notice home-open",
    ]  # fmt: skip
    assert told(judge_database(DatabaseFacts("/d"))) == ["ok"]
    assert told(judge_database(DatabaseFacts("/d", unchecked="it is open"))) == ["ok"]
    assert told(judge_database(DatabaseFacts("/d", problem="malformed"))) == ["fault database-damaged"]


# --- what a break-in would mean ---------------------------------------------------------------------------

KEPT = OperatorFacts("/ca", "ada")
OPEN = attrs.evolve(KEPT, plain=("/ca/root.key", "/ca/enrolment.key"), to_ws=True)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ServerFacts("/s", "rjs", "rjs-authority"), ["ok"]),
        (ServerFacts("/s", None, None), ["ok"]),
        (ServerFacts("/s", "rjs", "rjs"), ["notice authority-same-account"]),
        (ServerFacts("/s", "rjs", None), ["ok"]),
        (ServerFacts("/s", "root", "rjs-authority"), ["notice ws-runs-as-root"]),
        (ServerFacts("/s", "root", "root"), ["notice ws-runs-as-root"]),
        (ServerFacts("/s", "root", None), ["notice ws-runs-as-root"]),
        (ServerFacts("/s", "rjs", "rjs-authority", [OPEN]), ["fault ca-beside-ws"]),
        (ServerFacts("/s", "rjs", "rjs-authority", [KEPT]), ["notice ca-near-ws"]),
        (ServerFacts("/s", "rjs", "rjs-authority", [attrs.evolve(OPEN, to_ws=False)]), ["notice ca-near-ws"]),
        (ServerFacts("/s", None, None, [OPEN]), ["fault ca-beside-ws"]),
    ],
)
def test_break_ins(facts: ServerFacts, expected: list[str]) -> None:
    """What the thief of a web server would have besides it."""
    assert told(judge_break_in(facts)) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (KEPT, ["ok"]),
        (OPEN, ["notice ca-keys-plain"]),
        (attrs.evolve(OPEN, exposed=("/ca/root.key",)), ["fault ca-keys-exposed"]),
        (attrs.evolve(KEPT, missing=("root.key",)), ["fault ca-incomplete"]),
        (attrs.evolve(KEPT, error="Permission denied"), ["fault ca-unreadable"]),
    ],
)
def test_operators_folders(facts: OperatorFacts, expected: list[str]) -> None:
    """Who can read its keys, with and without a passphrase."""
    assert told(judge_operator(facts)) == expected


# --- what servers say -------------------------------------------------------------------------------------

WS = {"authority": {"issues": True, "user": "a", "until": "b"}, "lus": ["x"], "accounts": 1, "jobs": 0}
LUS = {"ws": {"connected": True, "addresses": ["h:1"]}, "servers": [{"state": "free"}]}
CS = {"lus": "x", "confined": True, "mflops": 5.0, "measured": "y", "answers_waiting": 0, "refused": []}


@pytest.mark.parametrize(
    ("role", "document", "expected"),
    [
        ("ws", WS, []),
        ("ws", WS | {"lus": []}, ["fault no-lus"]),
        ("ws", WS | {"accounts": 0}, ["notice no-accounts"]),
        ("ws", WS | {"authority": {"issues": False, "trouble": "it ended"}}, ["fault authority-dead"]),
        ("ws", WS | {"mandates": {"warnings": ["it ends"]}}, ["notice mandate-ends"]),
        ("ws", WS | {"disk": {"fault": "disk-full", "sentence": "no room"}}, ["fault server-lacks-disk"]),
        ("ws", WS | {"certificate": {"trouble": "away"}}, ["fault renewal-fails"]),
        ("lus", LUS, []),
        ("lus", LUS | {"ws": {"connected": False, "trouble": "away"}}, ["fault ws-away"]),
        ("lus", LUS | {"servers": []}, ["fault no-cs"]),
        ("lus", LUS | {"servers": [{"state": "busy"}, {"state": "lost", "name": "n"}]}, ["notice cs-lost"]),
        ("cs", CS, []),
        ("cs", CS | {"lus": None, "lookup_servers": {"x": "refused"}}, ["fault no-lus"]),
        ("cs", CS | {"lus": None, "answers_waiting": 2}, ["fault no-lus", "notice answers-waiting"]),
        ("cs", CS | {"confined": False}, ["notice no-sandbox"]),
        ("cs", CS | {"mflops": 0}, ["notice not-measured"]),
        ("cs", CS | {"refused": [{"code": "x", "sentence": "y"}]}, ["notice jobs-refused"]),
    ],
)
def test_status_documents(role: str, document: dict[str, object], expected: list[str]) -> None:
    """Each role's own troubles."""
    assert [each for each in told(judge_server(role, document, "/s")) if each != "ok"] == expected


@pytest.mark.parametrize("role", ["ws", "lus", "cs"])
def test_an_empty_document_is_judged(role: str) -> None:
    """A release that states less ends in findings, never in an error."""
    assert judge_server(role, {}, "/s")
    assert judge_server(role, {"authority": None, "ws": [], "certificate": 3}, "/s")


def test_java_and_the_owners_word() -> None:
    """Missing only where it was asked for."""
    assert told(judge_java("", "17 at /usr/bin/java", True)) == ["ok"]
    assert told(judge_java("none", None, True)) == ["ok"]
    assert told(judge_java("/opt/java", None, True)) == ["fault java-missing"]
    assert told(judge_java("", None, True)) == ["notice java-none"]
    assert told(judge_java("", None, False)) == ["ok"]


def test_the_sandbox_and_the_owners_word() -> None:
    """Where none holds only the owner's word lets the server start, and what is missing is said either way."""
    assert [judge_sandbox(True, (), accepted, "/s").code for accepted in (False, True)] == ["", ""]
    refused, accepted_risk = (judge_sandbox(False, ("no bwrap",), each, "/s") for each in (False, True))
    assert (refused.code, accepted_risk.code) == ("unconfined-not-accepted", "no-sandbox")
    assert "no bwrap" in refused.sentence and "no bwrap" in accepted_risk.sentence
    assert "/s/config.toml" in refused.remedy
    (running,) = [
        each
        for each in judge_server("cs", CS | {"confined": False, "lacking": ["x"]}, "/s")
        if each.subject == "sandbox"
    ]
    assert ": x" in running.sentence


# --- canary -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (CanaryFacts(Came.BACK, (Step("accepted after", 0.1),)), "ok"),
        (CanaryFacts(Came.COMMITTED), "ok"),
        (CanaryFacts(Came.NOT_ASKED), "notice canary-not-sent"),
        (CanaryFacts(Came.NO_KEY), "fault canary-not-signed"),
        (CanaryFacts(Came.UNREACHED), "fault canary-unreached"),
        (CanaryFacts(Came.REVOKED), "fault canary-revoked"),
        (CanaryFacts(Came.REFUSED, code="not-listed"), "fault canary-refused"),
        (CanaryFacts(Came.RUNNING), "fault canary-slow"),
        (CanaryFacts(Came.FAILED), "fault canary-failed"),
        (CanaryFacts(Came.BAD_ANSWER), "fault canary-forged"),
        (CanaryFacts(Came.WAITING), "fault canary-waits"),
        (CanaryFacts(Came.WAITING, words="no lookup server is connected"), "fault canary-no-lus"),
        (
            CanaryFacts(Came.WAITING, words="no lookup server has a compute server at present"),
            "fault canary-no-cs",
        ),
        (CanaryFacts(Came.WAITING, words="not-trusted: the owner"), "fault canary-untrusted"),
    ],
)
def test_canaries(facts: CanaryFacts, expected: str) -> None:
    """Where it hangs has a name of its own."""
    found = judge_canary(facts)
    assert told(found) == [expected]
    assert found.level is Level.OK or found.remedy


# --- the page ---------------------------------------------------------------------------------------------

SOURCES = Path(rjs.doctor.__file__).parent
PAGE = Path(__file__).parents[3] / "docs" / "doctor.md"
CODE = re.compile(r"[a-z]+(?:-[a-z]+)+")


def test_the_page_lists_every_code() -> None:
    """docs/doctor.md names each code that can be found, and no other."""
    named = set(re.findall(r"^\| `([a-z][a-z-]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert codes_in_sources() == named


def codes_in_sources() -> set[str]:
    """The second argument of each ``fault`` and ``notice``, and the first of each row of a table of them."""
    found = set()
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("fault", "notice")
            ):
                found |= constants([node.args[1]]) if len(node.args) > 1 else set()
            if isinstance(node, ast.Dict):
                found |= constants([each.elts[0] for each in node.values if isinstance(each, ast.Tuple)])
    return found


def constants(nodes: Sequence[ast.expr]) -> set[str]:
    return {
        str(node.value)
        for node in nodes
        if isinstance(node, ast.Constant) and CODE.fullmatch(str(node.value))
    }
