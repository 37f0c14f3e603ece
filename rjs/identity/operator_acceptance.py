"""The operator's word on other CAs: kept in the operator's folder, made anew with every change.

The number of a statement is the Unix time at which it was made, or one more than the last: so one from a folder that
was restored from a copy is newer all the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.errors import UsageError
from rjs.files import read_small
from rjs.identity.accepted_cas import (
    Acceptance,
    AcceptedCa,
    By,
    Listing,
    check_domain,
    check_listing,
    sign_acceptance,
)
from rjs.identity.accepted_file import ACCEPTED_CAS, keep_acceptance, kept_acceptance
from rjs.identity.ca import OperatorFolder
from rjs.identity.errors import IdentityError
from rjs.identity.foreign import check_ca, guest_name
from rjs.limits import MIB

_RULE = "email@"


def stated(operator: OperatorFolder) -> Acceptance | None:
    """The newest statement of this organisation; None where no other CA was ever accepted."""
    return kept_acceptance(operator.path / ACCEPTED_CAS, operator.root)


def accept(operator: OperatorFolder, accepted: AcceptedCa, now: dt.datetime) -> Acceptance:
    """State that this CA counts, in the place of what was said of it before. Raises IdentityError; durable on
    return."""
    ca = x509.load_der_x509_certificate(accepted.certificate)
    check_ca(ca, now)
    before = stated(operator)
    others = () if before is None else before.said.cas
    kept = [each for each in others if each.certificate != accepted.certificate]
    return _state(operator, [*kept, accepted], before, now)


def withdraw(operator: OperatorFolder, text: str, now: dt.datetime) -> Acceptance:
    """State that a CA counts no more: the one whose certificate's SHA-256 begins with ``text``, hex digits.

    Raises UsageError unless it is one.
    """
    before = stated(operator)
    found = [] if before is None else before.authorities
    named = [said for ca, said in found if guest_name(ca).id.startswith(text.lower())]
    if len(named) != 1 or before is None:
        raise UsageError(
            f"{len(named)} accepted CAs have a SHA-256 that begins with {text!r}: rjs ca accepted"
        )
    return _state(operator, [each for each in before.said.cas if each != named[0]], before, now)


def listings(text: str) -> tuple[tuple[Listing, ...], str]:
    """The table, or the rule's domain, that ``--accounts`` gives: a file, or ``email@DOMAIN``.

    A line of a table is ``ACCOUNT subject SUBJECT`` (RFC 4514) or ``ACCOUNT email ADDRESS``; # begins a comment line.
    Raises UsageError naming the line, OSError.
    """
    if text.startswith(_RULE):
        try:
            check_domain(text.removeprefix(_RULE))
        except IdentityError as error:
            raise UsageError(f"--accounts {text}: {error.sentence}") from error
        return (), text.removeprefix(_RULE)
    try:
        lines = read_small(Path(text), MIB).decode().splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{text} is no text in UTF-8: {error}") from error
    return tuple(_listings(text, lines)), ""


def _listings(name: str, lines: Iterable[str]) -> Iterable[Listing]:
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        account, by, what = ([*line.strip().split(maxsplit=2), "", ""])[:3]
        try:
            listing = Listing(account, By(by), what)
            check_listing(listing)
        except IdentityError as error:
            raise UsageError(f"{name}, line {number}: {error.sentence}") from error
        except ValueError as error:
            raise UsageError(
                f"{name}, line {number}: write ACCOUNT subject SUBJECT, or ACCOUNT email ADDRESS"
            ) from error
        yield listing


def _state(
    operator: OperatorFolder, cas: Iterable[AcceptedCa], before: Acceptance | None, now: dt.datetime
) -> Acceptance:
    number = max(int(now.timestamp()), 0 if before is None else before.number + 1)
    made = sign_acceptance(operator.acceptance_identity(now), number, cas)
    keep_acceptance(operator.path / ACCEPTED_CAS, made)
    return made


def der_of(ca: x509.Certificate) -> bytes:
    """A CA's certificate as a statement has it."""
    return ca.public_bytes(Encoding.DER)
