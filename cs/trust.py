"""Whose jobs the owner of this machine runs: grants, and the one decision about a verified signer. Pure.

A valid signature is no permission, and no server's word counts here: a grant names a signer's *key*, or a signing
CA's key for everybody whom that CA certified.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

import attrs
from cryptography import x509

from rjs.bundle.verify import Signer, spki_of
from rjs.descriptor.model import Permissions
from rjs.errors import RefusedError
from rjs.ids import SpkiDigest
from rjs.network_places import ungranted

Kind = Literal["signer", "ca"]

MIN_PREFIX = 8
"""Hex digits of a fingerprint that a person has to type at least: 32 bits, so that a slip meets nobody else."""


class TrustRefusedError(RefusedError):
    """A change to the trust store that the owner cannot have meant."""


@attrs.frozen
class Grant:
    """The owner's word for one key: ``signer`` for what it signed, ``ca`` for the signers that it certified."""

    spki: SpkiDigest
    label: str
    kind: Kind
    added: datetime
    until: datetime | None = None
    """From this instant on the grant counts no more; None means until it is taken back."""
    network: tuple[str, ...] = ()
    """The places that its jobs may reach, each in the form of ``rjs.network_places.network_place``."""
    private: tuple[str, ...] = ()
    """Those of them whose names may lead to private addresses, which is the owner's own network."""

    def holds(self, now: datetime) -> bool:
        """The grant has not ended."""
        return self.until is None or now < self.until


@attrs.frozen
class Allowed:
    """The owner trusts the signer, by this grant."""

    grant: Grant


@attrs.frozen
class NotTrusted:
    """The owner does not trust the signer. ``remedy`` is the command that would change it, without its ``--cs``."""

    why: str
    remedy: str = ""


@attrs.frozen
class NotGranted:
    """The owner trusts the signer, but not with all that the job asks for. ``remedy`` as above."""

    why: str
    remedy: str


class NotAllowedError(RefusedError):
    """The owner's word is missing. Others read ``sentence``; the owner, whose folder it is, can paste a command."""

    def __init__(self, decision: NotTrusted | NotGranted, signer: Signer) -> None:
        self._decision = decision
        self.signer = signer.subject
        code = "not-trusted" if isinstance(decision, NotTrusted) else "permission-not-granted"
        super().__init__(code, self._told("DIR"))

    def to_owner(self, folder: str) -> str:
        """The sentence with the command as this owner can use it."""
        return self._told(folder)

    def _told(self, folder: str) -> str:
        why, remedy = self._decision.why, self._decision.remedy
        return (
            f"{why}; the owner can change that with: {remedy} --cs {shlex.quote(folder)}" if remedy else why
        )


@attrs.frozen
class TrustStore:
    """The owner's grants at one moment; each pair of key and kind at most once."""

    grants: tuple[Grant, ...] = ()
    fault: str | None = None
    """Why the file behind it cannot be believed. Then nobody is trusted, whatever ``grants`` say."""

    def allows(self, signer: Signer, asked: Permissions, now: datetime) -> Allowed | NotTrusted | NotGranted:
        """May a job of this verified signer, which asks for these permissions, run here now?

        1. A store with a fault trusts nobody.
        2. A signer grant counts for the leaf's key alone, a ca grant for the other keys of the validated path alone.
        3. A grant that has ended counts no more.
        4. One grant has to give all that is asked: grants do not add up.
        """
        if self.fault is not None:  # 1
            return NotTrusted(f"this machine trusts nobody at present: {self.fault}")
        matching = list(self._matching(signer))  # 2
        holding = [grant for grant in matching if grant.holds(now)]  # 3
        if not holding:
            return _ended(matching[0]) if matching else _unknown(signer)
        for grant in holding:  # 4
            if not ungranted(asked.network, grant.network):
                return Allowed(grant)
        return _too_little(signer, asked, holding[0])

    def _matching(self, signer: Signer) -> Iterator[Grant]:
        """Grants for the signer's own key, then for the CAs above it from the nearest one up."""
        keys: list[tuple[Kind, SpkiDigest]] = [("signer", signer.spki)]
        keys += [("ca", spki_of(x509.load_der_x509_certificate(der))) for der in signer.path[1:]]
        by_key = {(grant.kind, grant.spki): grant for grant in self.grants}
        return (by_key[key] for key in keys if key in by_key)

    def with_grant(self, grant: Grant) -> TrustStore:
        """The store with ``grant`` in the place of an earlier one for the same key and kind, or at the end. Without a
        label of its own it keeps the earlier one's."""
        same = self.same(grant)
        others = tuple(each for each in self.grants if each is not same)
        if same is not None and not grant.label:
            grant = attrs.evolve(grant, label=same.label)
        return attrs.evolve(self, grants=(*others, grant))

    def same(self, grant: Grant) -> Grant | None:
        """The grant that ``with_grant`` would replace."""
        return next(
            (each for each in self.grants if (each.kind, each.spki) == (grant.kind, grant.spki)), None
        )

    def without(self, fingerprint: str) -> tuple[TrustStore, tuple[Grant, ...]]:
        """The store without the grants for one key, and those grants.

        ``fingerprint`` is the start of the key's digest, MIN_PREFIX digits or more. Raises TrustRefusedError when it
        is too short, or means no key or several.
        """
        prefix = fingerprint.lower()
        if len(prefix) < MIN_PREFIX:
            raise TrustRefusedError(
                "trust.short",
                f"{fingerprint!r} is too short; give at least {MIN_PREFIX} digits of the fingerprint",
            )
        found = tuple(grant for grant in self.grants if grant.spki.startswith(prefix))
        if not found:
            raise TrustRefusedError(
                "trust.absent", f"no grant begins with {fingerprint!r}; `rjs trust list` shows all"
            )
        if len({grant.spki for grant in found}) > 1:
            names = ", ".join(f"{grant.spki[:16]}… ({grant.label})" for grant in found)
            raise TrustRefusedError(
                "trust.ambiguous", f"{fingerprint!r} begins several: {names}; give more digits"
            )
        return attrs.evolve(self, grants=tuple(each for each in self.grants if each not in found)), found


def _ended(grant: Grant) -> NotTrusted:
    """The command gives what was given, for as long as it was given."""
    assert grant.until is not None
    days = max(1, math.ceil((grant.until - grant.added) / timedelta(days=1)))
    return NotTrusted(
        f"the owner's trust in {grant.label or grant.spki} ended at {grant.until:%Y-%m-%d %H:%M:%S %Z}",
        f"rjs trust add {grant.spki}{' --ca' if grant.kind == 'ca' else ''}{_places(grant)} --days {days}",
    )


def _too_little(signer: Signer, asked: Permissions, grant: Grant) -> NotGranted:
    """The command grants what is missing to the signer, beside what is granted already, until the same end."""
    missing = ungranted(asked.network, grant.network)
    all_of_it = attrs.evolve(grant, network=(*grant.network, *missing))
    until = "" if grant.until is None else f" --until {grant.until.astimezone(UTC).isoformat()}"
    return NotGranted(
        f"the owner of this machine trusts {grant.label or signer.subject}, but does not let its jobs reach "
        f"{', '.join(missing)}",
        f"rjs trust add {signer.spki}{_places(all_of_it)}{until}",
    )


def _unknown(signer: Signer) -> NotTrusted:
    return NotTrusted(
        f"the owner of this machine trusts neither the key of {signer.subject} nor a CA that certified it",
        f"rjs trust add {signer.spki}",
    )


def _places(grant: Grant) -> str:
    """The options that grant its places."""
    options = (("--private" if each in grant.private else "--network", each) for each in grant.network)
    return "".join(f" {option} {shlex.quote(place)}" for option, place in dict.fromkeys(options))
