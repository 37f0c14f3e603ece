"""Who somebody is: roles, and the strict forms of the SAN URIs that certificates carry.

======================================  ==============================================================
``rjs://<role>/<id>``                   a token certificate: who is calling
``rjs://job/<job>/<task>/<fence>``       a job token: one attempt at one task, see ``job_tokens``
``rjs://invitation/<role>/<id>?expires=<unix seconds>``  an invitation: who may still become what, until when
``rjs://answer/<id>``                   the answer key of one compute server
``rjs://signer/<account>``              a signing key that this organisation's root certified
``rjs://reader/<account>``              an encryption key: whose sealed answers it opens
======================================  ==============================================================

Pure text: every form is compared whole and exactly, nothing is decoded, folded or trimmed.
"""

from __future__ import annotations

import datetime as dt
import enum
import re
from typing import Self

import attrs

from rjs.identity.errors import IdentityError


class Role(enum.StrEnum):
    """What a certificate may call."""

    WS = "ws"
    LUS = "lus"
    CS = "cs"
    USER = "user"
    JOB = "job"
    ADMIN = "admin"
    INVITATION = "invitation"
    EXPIRED = "expired"
    GUEST = "guest"


SERVERS = frozenset({Role.WS, Role.LUS, Role.CS})
"""Roles whose id is a UUID; the others are accounts of people."""

INVITED = frozenset({Role.LUS, Role.CS, Role.USER, Role.ADMIN})
"""Roles that are joined by invitation. A web server is founded beside the operator's folder instead."""

_SERVER_ID = re.compile(r"[0-9a-f]{32}")
_ACCOUNT = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_INVITATION_ID = re.compile(r"(lus|cs)/[0-9a-f]{32}|(user|admin)/[a-z][a-z0-9_-]{0,31}")
_EXPIRED_ID = re.compile(r"(ws|lus|cs)/[0-9a-f]{32}|(user|admin)/[a-z][a-z0-9_-]{0,31}")
_GUEST_ID = re.compile(r"[0-9a-f]{64}")
_COUNT = r"(?:0|[1-9][0-9]{0,18})"
_JOB_ID = re.compile(rf"[0-9a-f]{{64}}/({_COUNT})/({_COUNT})\.({_COUNT})\.({_COUNT})")
_ID_FORMS = {
    Role.WS: _SERVER_ID,
    Role.LUS: _SERVER_ID,
    Role.CS: _SERVER_ID,
    Role.USER: _ACCOUNT,
    Role.ADMIN: _ACCOUNT,
    Role.JOB: _JOB_ID,
    Role.INVITATION: _INVITATION_ID,
    Role.EXPIRED: _EXPIRED_ID,
    Role.GUEST: _GUEST_ID,
}
_COMMON_NAME_LENGTH = 64  # ub-common-name, RFC 5280 appendix A
_EXPIRY = re.compile(r"\?expires=([1-9][0-9]{0,10})")  # up to the year 5138


_FORM_WORDS = dict.fromkeys(
    (Role.USER, Role.ADMIN),
    ": an account begins with a-z and goes on with a-z, 0-9, _ and -, 32 characters at most",
)


@attrs.frozen
class RjsName:
    """A role and the id within it. Raises IdentityError when the id does not have the role's exact form."""

    role: Role
    id: str

    def __attrs_post_init__(self) -> None:
        form = _ID_FORMS[self.role].fullmatch(self.id)
        if form is None or (self.role is Role.JOB and not _are_numbers(*form.groups())):
            raise IdentityError(
                "name",
                f"{self.id!r} is no id for the role {self.role.value!r}{_FORM_WORDS.get(self.role, '')}",
            )

    def uri(self) -> str:
        """The SAN URI, ``rjs://<role>/<id>``."""
        return f"rjs://{self.role.value}/{self.id}"

    def when_expired(self) -> RjsName:
        """The name under which a member whose certificate has expired calls: renewal is all that it may."""
        return RjsName(Role.EXPIRED, f"{self.role.value}/{self.id}")

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The name that ``uri`` spells exactly; raises IdentityError for everything else."""
        scheme, _, rest = uri.partition("rjs://")
        role, slash, identifier = rest.partition("/")
        if scheme or not slash or role not in set(Role):
            raise IdentityError("name", f"{uri!r} is not of the form rjs://<role>/<id> with a role of ours")
        return cls(Role(role), identifier)


def _are_numbers(task: str, *fence: str) -> bool:
    """Whether a task's number and the three of a fence are within what attempts can have."""
    return int(task) < 2**31 and all(int(each) < 2**63 for each in fence)


@attrs.frozen
class InvitationName:
    """Who an invitation makes its holder, and the second (UTC) at which it stops being good for that."""

    subject: RjsName
    expires: dt.datetime

    def __attrs_post_init__(self) -> None:
        if self.subject.role not in INVITED:
            raise IdentityError("name", f"nobody is invited as {self.subject.role.value!r}")

    def caller(self) -> RjsName:
        """The name under which the holder of the invitation calls."""
        return RjsName(Role.INVITATION, f"{self.subject.role.value}/{self.subject.id}")

    def uri(self) -> str:
        """The SAN URI, ``rjs://invitation/<role>/<id>?expires=<unix seconds>``."""
        return f"{self.caller().uri()}?expires={int(self.expires.timestamp())}"

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The invitation that ``uri`` spells exactly; raises IdentityError for everything else."""
        caller, question, _ = uri.partition("?")
        expiry = _EXPIRY.fullmatch(uri, len(caller))
        name = RjsName.parse(caller)
        if name.role is not Role.INVITATION or not question or expiry is None:
            raise IdentityError("name", f"{uri!r} is not of the form of an invitation")
        role, _, identifier = name.id.partition("/")
        expires = dt.datetime.fromtimestamp(int(expiry[1]), dt.UTC)
        return cls(RjsName(Role(role), identifier), expires)


def answer_uri(server_id: str) -> str:
    """The SAN URI of the answer key of the compute server ``server_id``."""
    return f"rjs://answer/{RjsName(Role.CS, server_id).id}"


def signer_uri(account: str) -> str:
    """The SAN URI of a signing key that belongs to the person with this account."""
    return f"rjs://signer/{RjsName(Role.USER, account).id}"


def signer_account(uri: str) -> str:
    """The account in a signing key's SAN URI; raises IdentityError when it is not exactly of that form."""
    return _account(uri, "signer")


def reader_uri(account: str) -> str:
    """The SAN URI of an encryption key that belongs to the person with this account."""
    return f"rjs://reader/{RjsName(Role.USER, account).id}"


def reader_account(uri: str) -> str:
    """The account in an encryption key's SAN URI; raises IdentityError when it is not exactly of that form."""
    return _account(uri, "reader")


def _account(uri: str, what: str) -> str:
    scheme, _, account = uri.partition(f"rjs://{what}/")
    if scheme or not _ACCOUNT.fullmatch(account):
        raise IdentityError("name", f"{uri!r} is not of the form rjs://{what}/<account>")
    return account


def check_common_name(text: str) -> str:
    """``text`` when it can be shown to people as a name: 1 to 64 printable characters, not blank at the ends."""
    if not 1 <= len(text) <= _COMMON_NAME_LENGTH or not text.isprintable() or text != text.strip():
        raise IdentityError("common_name", f"{text!r} is not a name of 1 to 64 printable characters")
    return text
