"""Judges a canary: a tiny signed job that was sent end to end, by how far it came."""

from __future__ import annotations

from enum import Enum

import attrs

from rjs.doctor.finding import Finding, fault, notice, typed, well

SUBJECT = "canary"


class Came(Enum):
    """How far the canary came, and why no further."""

    BACK = "back"
    COMMITTED = "committed"  # and the answer was not to be seen from here
    NOT_ASKED = "not-asked"
    NO_KEY = "no-key"
    UNREACHED = "unreached"
    REVOKED = "revoked"
    REFUSED = "refused"
    WAITING = "waiting"
    RUNNING = "running"
    FAILED = "failed"
    BAD_ANSWER = "bad-answer"


@attrs.frozen
class Step:
    """One step of the way, and the seconds that it took."""

    what: str
    seconds: float


@attrs.frozen
class CanaryFacts:
    """``code`` and ``words`` are those of the refusal or the reason; ``certificate`` the signer's, for owners."""

    came: Came
    steps: tuple[Step, ...] = ()
    words: str = ""
    code: str = ""
    job: str = ""
    cs: str = ""
    certificate: str = ""
    cancelled: bool = False


def judge_canary(facts: CanaryFacts) -> Finding:
    """Whether the cluster does what it is for, and else where it hangs."""
    took = ", ".join(f"{step.what} {1000 * step.seconds:.0f} ms" for step in facts.steps)
    if facts.came is Came.BACK:
        return well(SUBJECT, f"ran on {facts.cs} and came back, its answer verified: {took}")
    if facts.came is Came.COMMITTED:
        return well(
            SUBJECT, f"ran on {facts.cs}; its answer is in ans/ at the web server, not verified here: {took}"
        )
    if facts.came is Came.NOT_ASKED:
        return notice(SUBJECT, "canary-not-sent", facts.words, "send one as a user", "rjs doctor")
    if facts.came is Came.WAITING:
        return _waiting(facts, took)
    ended = f" (cancelled; {took})" if facts.cancelled else f" ({took})" if took else ""
    code, sentence, remedy, command = {
        Came.NO_KEY: ("canary-not-signed", facts.words, "let the operator certify your signing key, or give its "
                      "passphrase", "rjs cert request --signing"),
        Came.UNREACHED: ("canary-unreached", facts.words, "see the doors", ""),
        Came.REVOKED: ("canary-revoked", facts.words, "ask the operator why; where that is settled, join again into "
                       "a new folder", "rjs --home NEW join INVITATION"),
        Came.REFUSED: ("canary-refused", f"the web server did not admit it: {facts.code}: {facts.words}",
                       "what it says would change that", ""),
        Came.RUNNING: ("canary-slow", f"it was started on {facts.cs or 'a compute server'} and has not ended yet",
                       "see what that machine does", "rjs cs status DIR"),
        Came.FAILED: ("canary-failed", f"it failed: {facts.words}", "the compute server's doctor says more",
                      "rjs doctor DIR"),
        Came.BAD_ANSWER: ("canary-forged", f"its answer is not to be believed: {facts.code}: {facts.words}",
                          "keep the file, and tell the operator: somebody forged or damaged it", ""),
    }[facts.came]  # fmt: skip
    return fault(SUBJECT, code, f"{sentence}{ended}", remedy, *([command] if command else []))


def _waiting(facts: CanaryFacts, took: str) -> Finding:
    """Nobody took it: the web server's reason says which of the usual causes it is."""
    reason, ended = facts.words.lower(), f" (cancelled; {took})" if facts.cancelled else f" ({took})"
    if "no lookup server is connected" in reason:
        sentence = f"no lookup server is connected to the web server{ended}"
        remedy = "start it, or let its doctor say why it does not get there"
        return fault(SUBJECT, "canary-no-lus", sentence, remedy, "rjs doctor LUS_DIR")
    if "no lookup server has a compute server" in reason:
        sentence = f"no compute server is free or registered{ended}"
        remedy = "start one, or let its doctor say why it is not found"
        return fault(SUBJECT, "canary-no-cs", sentence, remedy, "rjs doctor CS_DIR")
    if "trust" in reason:
        sentence = f"no compute server's owner trusts your signing key: {facts.words}{ended}"
        remedy = "give your certificate to an owner, who then runs"
        command = f"{typed('rjs', 'trust', 'add', facts.certificate)} --cs CS_DIR"
        return fault(SUBJECT, "canary-untrusted", sentence, remedy, command)
    sentence = f"it waits: {facts.words or 'all compute servers are busy, or none fits'}{ended}"
    remedy = "see how many compute servers the lookup server has, and what they do"
    return fault(SUBJECT, "canary-waits", sentence, remedy, "rjs lus status LUS_DIR")
