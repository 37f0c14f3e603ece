"""Job tokens, as pure rules: what a compute server asks for a job of its own, and what must hold before it gets it.

A request is a signed object, as a renewal is: the compute server's token key says which attempt the job's own key is
to be certified for. So a lookup server carries it to the authority and can neither make nor redirect one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Sequence
from typing import Annotated

import attrs
import msgspec
from cryptography import x509

from rjs.attempts import AttemptId, Fence
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.keys import PublicKey, our_public_key, spki_digest
from rjs.identity.lifetimes import check_made
from rjs.identity.names import RjsName, Role
from rjs.identity.paths import chain_der, check_chain, read_chain
from rjs.identity.peers import job_token_name, token_name
from rjs.identity.profiles import Kind
from rjs.identity.proofs import check_statement, read_statement, sign_statement
from rjs.identity.renewal import Der
from rjs.identity.requests import requested_key
from rjs.limits import CERTIFICATE, CHAIN_LENGTH

PURPOSE = "rjs-job-token-1"
_NONCE = 16


class JobTokenRequest(msgspec.Struct, frozen=True):
    """A compute server's request for a job. ``statement`` is a JobTokenStatement in msgpack, signed with the token
    key of ``chain``, DER, leaf first."""

    statement: Annotated[bytes, msgspec.Meta(max_length=2 * CERTIFICATE)]
    signature: Annotated[bytes, msgspec.Meta(max_length=128)]
    chain: Annotated[tuple[Der, ...], msgspec.Meta(max_length=CHAIN_LENGTH)]


class JobTokenStatement(msgspec.Struct, frozen=True):
    """What is signed: the attempt, the PKCS#10 request that its job made, 16 random bytes, and the Unix time."""

    attempt: AttemptId
    token_request: bytes
    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE, max_length=_NONCE)]
    made: float


@attrs.frozen
class CheckedJobToken:
    """What a request proved: that ``cs`` wants ``public_key`` certified for ``attempt``. ``digest`` is that of the
    statement: the same one is the same request, repeated."""

    cs: RjsName
    attempt: AttemptId
    public_key: PublicKey
    digest: bytes


def job_name(attempt: AttemptId) -> RjsName:
    """The name under which the job of this attempt calls."""
    fence = attempt.fence
    numbers = f"{fence.generation}.{fence.lease}.{fence.sequence}"
    return RjsName(Role.JOB, f"{attempt.job}/{attempt.task}/{numbers}")


def attempt_of(name: RjsName) -> AttemptId:
    """The attempt that calls under ``name``. Raises IdentityError when that is no job's."""
    if name.role is not Role.JOB:
        raise IdentityError("name", f"{name.uri()} is not the name of a job")
    job, task, fence = name.id.split("/")
    return AttemptId(job, int(task), Fence(*map(int, fence.split("."))))


def check_job_request(token_request: bytes, attempt: AttemptId) -> PublicKey:
    """The key in a job's PKCS#10 request. Raises IdentityError unless it asks for exactly this attempt's name."""
    return requested_key(token_request, job_name(attempt).uri())


def ask_job_token(
    current: Identity, attempt: AttemptId, token_request: bytes, now: dt.datetime
) -> JobTokenRequest:
    """The request of the compute server ``current`` for the job of an attempt that it runs."""
    said = JobTokenStatement(attempt, token_request, os.urandom(_NONCE), now.timestamp())
    statement = msgspec.msgpack.encode(said)
    signature = sign_statement(current.key, PURPOSE, statement)
    return JobTokenRequest(statement, signature, chain_der(current.chain))


def check_job_token(request: JobTokenRequest, root: x509.Certificate, now: dt.datetime) -> CheckedJobToken:
    """Judge a request, whoever brought it.

    1. The chain is a token certificate's, under ``root``, valid now.
    2. It is a compute server's.
    3. The statement is signed with that certificate's key.
    4. It was made now, as far as clocks agree: an old one that somebody kept is worth nothing.
    5. It carries a request for exactly the attempt's name, signed with the job's key, which is not the server's own.

    Raises IdentityError. Whether that attempt runs there is for others to know.
    """
    chain = read_chain(request.chain)
    kind = check_chain(chain, root, now)  # 1
    if kind is not Kind.TOKEN:
        raise IdentityError(
            "kind", f"a compute server asks with its token certificate, not with a {kind.value}"
        )
    cs = token_name(chain[0])
    if cs.role is not Role.CS:  # 2
        raise IdentityError("role", f"{cs.uri()} runs no jobs, so none of its is certified")
    own_key = our_public_key(chain[0])
    check_statement(own_key, PURPOSE, request.statement, request.signature)  # 3
    said = read_statement(request.statement, JobTokenStatement, "request", "request for a job token")
    check_made(said.made, now)  # 4
    key = check_job_request(said.token_request, said.attempt)  # 5
    if spki_digest(key) == spki_digest(own_key):
        raise IdentityError("shared_key", "a job has a key of its own, not its compute server's")
    return CheckedJobToken(cs, said.attempt, key, hashlib.sha256(request.statement).digest())


def check_issued(
    encoded: Sequence[bytes],
    token_request: bytes,
    attempt: AttemptId,
    root: x509.Certificate,
    now: dt.datetime,
) -> x509.Certificate:
    """The certificate that came for a job's request, once it is one: a lookup server may answer with anything.

    Raises IdentityError unless it is a job token under ``root``, valid now, for this attempt and the key that asked.
    """
    chain = read_chain(encoded)
    kind = check_chain(chain, root, now)
    if kind is not Kind.JOB_TOKEN:
        raise IdentityError("kind", f"a job is certified with a job token, not with a {kind.value}")
    name, key = job_token_name(chain[0]), check_job_request(token_request, attempt)
    if name != job_name(attempt):
        raise IdentityError("other_name", f"the job is {job_name(attempt).uri()}, the token for {name.uri()}")
    if spki_digest(our_public_key(chain[0])) != spki_digest(key):
        raise IdentityError("key_mismatch", "the token is for another key than the one that asked")
    return chain[0]
