"""A person's folder that lives by a certificate of another CA: made by presenting it, renewed by presenting it again.

``presented.json`` in the folder says where the certificate and its key lie; they are read when they are needed and
copied nowhere. The folder's token, signing and encryption keys are our own, as in any other person's.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from cryptography import x509
from twisted.internet.base import ReactorBase

from rjs import __version__
from rjs.errors import RefusedError, RjsError, UnreachableError
from rjs.files import read_small, write_atomically
from rjs.identity.ca import cluster_of
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.folder import IdentityFolder, Member
from rjs.identity.foreign import ForeignIdentity, guest_name
from rjs.identity.keys import AskPassphrase, Chain
from rjs.identity.lifetimes import renew_at
from rjs.identity.paths import read_chain
from rjs.identity.presenting import ask_token
from rjs.identity.profiles import subject_text
from rjs.identity.tls import guest_context
from rjs.key_files import foreign_identity, read_pem, read_pkcs12
from rjs.limits import IDENTITY_FILE
from rjs.person_door import PersonDoor
from rjs.state import cluster_folder
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.dial import dial, host_and_port
from rjs.wire.session import Self, Session

PRESENTED = "presented.json"
"""The file's name, in the folder of keys."""


class Presented(msgspec.Struct, frozen=True):
    """Where the certificate lies: a PEM file with its key in ``key``, or a PKCS#12 file, where ``key`` is empty."""

    certificate: str
    key: str = ""

    def load(self, ask: AskPassphrase) -> ForeignIdentity:
        """The key with its certificates. Raises RefusedError, OSError."""
        if self.key:
            return foreign_identity(read_pem(Path(self.key), Path(self.certificate), ask))
        return foreign_identity(read_pkcs12(Path(self.certificate), ask))


def unasked(file: Path) -> bytes:
    """In place of a passphrase where nobody can be asked."""
    raise IdentityError("passphrase", f"{file} needs a passphrase; rjs cert renew asks for it")


def presented_in(folder: IdentityFolder) -> Presented | None:
    """What the folder lives by; None where it joined by an invitation. Raises IdentityError for a damaged file."""
    path = folder.path / PRESENTED
    try:
        return msgspec.json.decode(read_small(path, IDENTITY_FILE), type=Presented)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IdentityError(
            "member_file",
            f"{path} is damaged: {error}; present the certificate again: rjs present",
        ) from error


async def join_by_certificate(
    reactor: ReactorBase,
    presented: Presented,
    ask: AskPassphrase,
    root: x509.Certificate,
    ws: Sequence[str],
    place: Path,
    wall: Wall = utc_now,
) -> Member:
    """Make a person's folder below ``place`` by presenting a certificate to the web server at ``ws``.

    It may be repeated; in a folder that was made so, the certificate takes the place of the one before. Raises
    RefusedError, UnreachableError.
    """
    folder = IdentityFolder(cluster_folder(place, cluster_of(root)) / "identity")
    if folder.is_joined and not (folder.path / PRESENTED).exists():
        raise IdentityError(
            "already_joined", f"{folder.path} belongs to {folder.member().name.uri()}; name another folder"
        )
    chain = await _token(reactor, folder, presented.load(ask), root, ws, wall)
    if folder.is_joined:
        folder.keep_token(chain, wall())
    write_atomically(folder.path / PRESENTED, msgspec.json.encode(presented))
    if folder.is_joined:
        return folder.member()
    return folder.complete_presenting(chain, tuple(ws), wall())


async def present_again(
    reactor: ReactorBase,
    folder: IdentityFolder,
    presented: Presented,
    ask: AskPassphrase,
    wall: Wall = utc_now,
) -> Identity:
    """The next token certificate of a folder that lives by a certificate of another CA. Raises RefusedError."""
    chain = await _token(reactor, folder, presented.load(ask), folder.root(), folder.member().ws, wall)
    return folder.keep_token(chain, wall())


async def present_when_due(
    reactor: ReactorBase, folder: IdentityFolder, tell: Callable[[str], object], ask: AskPassphrase
) -> bool:
    """Present again where a folder lives by a certificate of another CA, and its token is due; whether it lives so.

    A token that is still good serves even where that fails: ``tell`` hears why. Raises RefusedError otherwise.
    """
    presented, leaf, now = presented_in(folder), folder.token().chain[0], utc_now()
    if presented is None or now < renew_at(leaf):
        return presented is not None
    try:
        await present_again(reactor, folder, presented, ask)
    except (RjsError, OSError) as error:
        if now >= leaf.not_valid_after_utc:
            raise
        tell(f"your certificate, valid until {leaf.not_valid_after_utc}, was not renewed: {error}")
    return True


async def _token(
    reactor: ReactorBase,
    folder: IdentityFolder,
    foreign: ForeignIdentity,
    root: x509.Certificate,
    ws: Sequence[str],
    wall: Wall,
) -> Chain:
    _check_dates(foreign.leaf, wall())
    token, signing = folder.begin_presenting(root)
    request = ask_token(foreign, token, signing, cluster_of(root), wall())
    session = await _session(reactor, foreign, root, ws, wall)
    try:
        return read_chain((await session.request(m.MemberPresent(request=request), m.MemberEnrolled)).chain)
    finally:
        session.close("done", "the command is done")
        await session.gone()


async def _session(
    reactor: ReactorBase, foreign: ForeignIdentity, root: x509.Certificate, ws: Sequence[str], wall: Wall
) -> Session:
    """With the first address of the web server that answers. Raises UnreachableError, naming every one's fault."""
    me = Self(guest_name(foreign.leaf).uri(), cluster_of(root), uuid.uuid4().hex, 0, __version__)
    faults = []
    for address in ws:
        host, port = host_and_port(address)
        try:
            return await dial(reactor, host, port, me, PersonDoor(), guest_context(foreign, root, wall))
        except UnreachableError as error:
            faults.append(f"{address}: {error}" if address not in str(error) else str(error))
    raise UnreachableError(
        f"cannot reach the web server; {'; '.join(faults)}. Where it closed the door, its operator accepts no such "
        "certificate (yet, or any more): ask the operator, whose web server's log has the reason"
    )


def _check_dates(leaf: x509.Certificate, now: dt.datetime) -> None:
    start, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now >= end:
        raise RefusedError(
            "certificate-expired",
            f"the certificate of {subject_text(leaf)} expired at {end:%Y-%m-%d %H:%M}Z; get the next one from its CA "
            f"and put it in the same file, or run rjs present with the new file",
        )
    if now < start:
        raise RefusedError(
            "certificate-not-yet-valid",
            f"the certificate of {subject_text(leaf)} is valid from {start:%Y-%m-%d %H:%M}Z; is this clock right?",
        )
