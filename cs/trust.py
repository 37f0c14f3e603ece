"""Whose jobs the owner of this machine runs: grants, and the one decision about a verified signer. Pure.

A valid signature is no permission, and no server's word counts here: a grant names a signer's *key*, or a signing
CA's key for everybody whom that CA certified.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import attrs
from cryptography import x509

from rjs.bundle.verify import Signer, spki_of
from rjs.errors import RefusedError
from rjs.ids import SpkiDigest

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

    def holds(self, now: datetime) -> bool:
        """The grant has not ended."""
        return self.until is None or now < self.until


@attrs.frozen
class Allowed:
    """The owner trusts the signer, by this grant."""

    grant: Grant


@attrs.frozen
class NotTrusted:
    """The owner does not trust the signer; ``sentence`` says why and what would change it."""

    sentence: str


@attrs.frozen
class TrustStore:
    """The owner's grants at one moment; each pair of key and kind at most once."""

    grants: tuple[Grant, ...] = ()
    fault: str | None = None
    """Why the file behind it cannot be believed. Then nobody is trusted, whatever ``grants`` say."""

    def allows(self, signer: Signer, now: datetime) -> Allowed | NotTrusted:
        """May a job of this verified signer run here now?

        1. A store with a fault trusts nobody.
        2. A signer grant counts for the leaf's key alone, a ca grant for the other keys of the validated path alone.
        3. A grant that has ended counts no more.
        """
        if self.fault is not None:  # 1
            return NotTrusted(f"this machine trusts nobody at present: {self.fault}")
        matching = list(self._matching(signer))  # 2
        for grant in matching:
            if grant.holds(now):  # 3
                return Allowed(grant)
        return NotTrusted(_ended(matching[0]) if matching else _unknown(signer))

    def _matching(self, signer: Signer) -> Iterator[Grant]:
        """Grants for the signer's own key, then for the CAs above it from the nearest one up."""
        keys: list[tuple[Kind, SpkiDigest]] = [("signer", signer.spki)]
        keys += [("ca", spki_of(x509.load_der_x509_certificate(der))) for der in signer.path[1:]]
        by_key = {(grant.kind, grant.spki): grant for grant in self.grants}
        return (by_key[key] for key in keys if key in by_key)

    def with_grant(self, grant: Grant) -> TrustStore:
        """The store with ``grant`` in the place of an earlier one for the same key and kind, or at the end."""
        others = tuple(each for each in self.grants if (each.kind, each.spki) != (grant.kind, grant.spki))
        return attrs.evolve(self, grants=(*others, grant))

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


def _ended(grant: Grant) -> str:
    assert grant.until is not None
    return (
        f"the owner's trust in {grant.label or grant.spki} ended at {grant.until:%Y-%m-%d %H:%M:%S %Z}; "
        f"the owner can renew it with: rjs trust add {grant.spki}"
    )


def _unknown(signer: Signer) -> str:
    return (
        f"the owner of this machine trusts neither the key of {signer.subject} nor a CA that certified it; "
        f"the owner can change that with: rjs trust add {signer.spki}"
    )
