"""From a chain of certificates to a caller or an answering compute server: the only place that reads names there.

Must be read twice: everything that a peer may do follows from what ``identify`` returns.
"""

from __future__ import annotations

import datetime as dt

import attrs
from cryptography import x509

from rjs.identity.certificates import common_name_of, sole_uri
from rjs.identity.errors import IdentityError
from rjs.identity.foreign import guest_name
from rjs.identity.keys import Chain
from rjs.identity.lifetimes import RENEWAL_GRACE_TIME, check_renewable
from rjs.identity.names import INVITED, SERVERS, InvitationName, RjsName, Role, answer_uri
from rjs.identity.paths import check_chain, check_kinds, check_periods
from rjs.identity.profiles import Kind

INVITATION_KINDS = frozenset({Kind.INVITATION, Kind.CS_INVITATION})


@attrs.frozen
class PeerIdentity:
    """Who is at the other end. Authorise on ``name``; show ``common_name``; ``chain`` is leaf first, root last.

    At ``not_after`` the peer must have dialled anew with a renewed certificate. Where the certificate has expired
    already, ``name`` has the role ``expired``, which may renew and nothing else, until the grace ends.
    """

    name: RjsName
    common_name: str
    chain: Chain = attrs.field(repr=False)
    not_after: dt.datetime

    @property
    def certified(self) -> RjsName:
        """The name in the certificate, expired or not; for an invitation, that of its holder."""
        if self.name.role is Role.EXPIRED:
            return RjsName.parse(f"rjs://{self.name.id}")
        return self.name


def identify(chain: Chain, root: x509.Certificate, now: dt.datetime | None = None) -> PeerIdentity:
    """The caller that a chain makes its holder, steps 1 to 3 of ``paths.py`` and with ``now`` step 5; signatures are
    checked elsewhere (by TLS, or by ``check_chain``). Raises IdentityError for kinds that call nothing.
    """
    kind = check_kinds(chain, root)
    leaf = chain[0]
    if kind is Kind.TOKEN and now is not None and now > leaf.not_valid_after_utc:
        check_renewable(chain, now)
        name, end = token_name(leaf).when_expired(), leaf.not_valid_after_utc + RENEWAL_GRACE_TIME
        return PeerIdentity(name, common_name_of(leaf), chain, end)
    if now is not None:
        check_periods(chain, now)
    if kind is Kind.TOKEN:
        name = token_name(leaf)
    elif kind is Kind.JOB_TOKEN:
        name = job_token_name(leaf)
    elif kind in INVITATION_KINDS:
        name = invitation_name(leaf, kind).caller()
    else:
        raise IdentityError("not_a_caller", f"{_article(kind)} calls nothing; only token certificates do")
    return PeerIdentity(name, common_name_of(leaf), chain, leaf.not_valid_after_utc)


def guest(path: Chain) -> PeerIdentity:
    """The holder of a certificate of another CA, whose ``path``, leaf first, was judged: a guest, who may ask for a
    token and nothing else."""
    end = min(each.not_valid_after_utc for each in path)
    return PeerIdentity(guest_name(path[0]), "guest", path, end)


def token_name(leaf: x509.Certificate) -> RjsName:
    """The name in a token certificate, which is never that of an invitation."""
    name = RjsName.parse(sole_uri(leaf))
    if name.role not in INVITED | SERVERS:
        raise IdentityError("name", f"a token certificate cannot carry the role {name.role.value!r}")
    return name


def job_token_name(leaf: x509.Certificate) -> RjsName:
    """The name in a job token: an attempt's, and nobody else's."""
    name = RjsName.parse(sole_uri(leaf))
    if name.role is not Role.JOB:
        raise IdentityError("name", f"a job token cannot carry the role {name.role.value!r}")
    return name


def invitation_name(leaf: x509.Certificate, kind: Kind) -> InvitationName:
    """The name in an invitation of this kind; only a compute server's may be of the kind that certifies answers."""
    name = InvitationName.parse(sole_uri(leaf))
    if (name.subject.role is Role.CS) != (kind is Kind.CS_INVITATION):
        raise IdentityError(
            "name", f"an invitation as {name.subject.role.value!r} must not be a {kind.value}"
        )
    return name


def check_answer_chain(chain: Chain, root: x509.Certificate, now: dt.datetime | None) -> str:
    """The compute server's id when ``chain`` is that of its answer key: (leaf, invitation, enrolment CA, root).

    The id is the one that the enrolment CA certified in the invitation: a web server cannot change it.
    """
    kind = check_chain(chain, root, now)
    if kind is not Kind.ANSWER:
        raise IdentityError(
            "kind", f"an answer is signed with an answer key, not with that of a {kind.value}"
        )
    subject = invitation_name(chain[1], Kind.CS_INVITATION).subject
    if sole_uri(chain[0]) != answer_uri(subject.id):
        raise IdentityError(
            "other_name", f"the answer certificate of {subject.uri()} names {sole_uri(chain[0])!r}"
        )
    return subject.id


def _article(kind: Kind) -> str:
    return f"an {kind.value}" if kind.value[0] in "aeiou" else f"a {kind.value}"
