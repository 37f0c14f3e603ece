"""Being certified again: whoever dies at whatever step, the authority has a key that fits its certificate."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from rjs.errors import RefusedError
from rjs.identity.accepted_file import ACCEPTED_CAS, kept_acceptance
from rjs.identity.authority import TokenAuthority
from rjs.identity.ca import OperatorFolder
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.foreign_testing import ForeignCa
from rjs.identity.keys import Chain, load_chain, load_private, new_key
from rjs.identity.names import RjsName, Role
from rjs.identity.operator_acceptance import accept, stated
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.identity.requests import make_request, request_der
from rjs.identity.revocation import read_revocations, sign_revocations
from rjs.identity.succession import ask_succession, certify_successors, check_succession_request
from rjs.identity.testing import WS_ADDRESS
from ws.authority.log import History
from ws.authority.messages import Own
from ws.authority.rates import Rates
from ws.authority.register import Register
from ws.authority.rules import Authority
from ws.authority.succession import finish, prepare, take_over

YEAR = dt.timedelta(days=365)
KilledAt = Callable[[int, Callable[[], object]], bool]


class Office:
    """A founded web server's authority folder and its operator."""

    def __init__(self, path: Path, now: dt.datetime) -> None:
        self.now = now
        self.operator = OperatorFolder.create(path / "ca", "Institute", now)
        identity = IdentityFolder(path / "ws")
        identity.found(self.operator, "web server", [WS_ADDRESS], now)
        self.folder = identity.authority

    def certified(self, now: dt.datetime) -> tuple[bytes, ...]:
        chain = certify_successors(self.operator, prepare(self.folder), now)
        return tuple(each.public_bytes(Encoding.DER) for each in chain)

    def tokens(self) -> TokenAuthority:
        """As the process opens it; raises when key and certificate do not fit."""
        finish(self.folder)
        return TokenAuthority.open(self.folder)

    def record(self) -> Identity:
        return Identity(load_private(self.folder / "record.key"), load_chain(self.folder / "record.pem"))


@pytest.fixture
def office(tmp_path: Path, now: dt.datetime) -> Office:
    return Office(tmp_path, now)


def test_the_new_ones_take_over_and_the_old_ones_count(office: Office) -> None:
    """After it the authority issues for another year; tokens and lists from before are read as before."""
    later = office.now + YEAR - dt.timedelta(days=1)
    old, record = office.tokens(), office.record()
    name = RjsName(Role.USER, "ada")
    token: Chain = old.issue(new_key().public_key(), name, "ada", later)
    take_over(office.folder, office.certified(later), office.operator.root)
    assert office.tokens().not_after > later + YEAR - dt.timedelta(days=2)
    assert office.record().chain[0] != record.chain[0]
    assert check_chain(token, office.operator.root, later) is Kind.TOKEN
    before = sign_revocations(record, 5, [], later)
    assert read_revocations(before.signed, office.operator.root).number == 5
    register = Register(office.record(), (), before)
    assert register.renew(None, later + YEAR / 2).number == 6


def test_killed_at_any_step(office: Office, killed_at: KilledAt) -> None:
    """After a death at each change of the disk the authority opens, and the same certificates finish it."""
    for step in count(1):
        encoded = office.certified(office.now)
        killed = killed_at(step, partial(take_over, office.folder, encoded, office.operator.root))
        office.tokens(), office.record()
        take_over(office.folder, encoded, office.operator.root)
        assert office.tokens().chain[0].public_bytes(Encoding.DER) in encoded
        assert office.record().chain[0].public_bytes(Encoding.DER) in encoded
        assert not list(office.folder.glob("*-next.*"))
        if not killed:
            break
    assert step > 8


def test_killed_while_finishing(office: Office, killed_at: KilledAt) -> None:
    """A death during the repair of a death leaves nothing worse."""
    for step in count(1):
        encoded = office.certified(office.now)
        assert killed_at(7, partial(take_over, office.folder, encoded, office.operator.root))
        killed = killed_at(step, lambda: finish(office.folder))
        office.tokens(), office.record()
        take_over(office.folder, encoded, office.operator.root)
        if not killed:
            break


def test_killed_while_asking(office: Office, killed_at: KilledAt) -> None:
    """The authority goes on with what it has, and asks again for the same keys as soon as they are made."""
    for step in count(1):
        killed = killed_at(step, lambda: prepare(office.folder))
        office.tokens()
        if not killed:
            break
    first, second = (check_succession_request(prepare(office.folder), office.operator.root) for _ in range(2))
    assert first == second


def test_a_strangers_certificates_take_over_nothing(office: Office, tmp_path: Path) -> None:
    """Of another organisation, for other keys, or half of them: refused, and nothing has changed."""
    prepare(office.folder)
    before = {path: path.read_bytes() for path in office.folder.iterdir()}
    other = Office(tmp_path / "other", office.now)
    good = office.certified(office.now)
    for encoded in (other.certified(office.now), good[:1], good[1:], ()):
        with pytest.raises(RefusedError, match=r"identity\.key_mismatch"):
            take_over(office.folder, encoded, office.operator.root)
    assert {path: path.read_bytes() for path in office.folder.iterdir()} == before


def test_the_operator_certifies_for_no_stranger(office: Office, tmp_path: Path) -> None:
    """A request counts when the record key of a web server founded here made it, whole."""
    other = Office(tmp_path / "other", office.now)
    request = prepare(office.folder)
    forged = msgspec.structs.replace(prepare(other.folder), chain=request.chain)
    intermediate = office.tokens()._identity
    cases = {
        "other_root": prepare(other.folder),
        "proof": forged,
        "kind": ask_succession(intermediate, new_key(), new_key()),
    }
    for code, each in cases.items():
        with pytest.raises(RefusedError, match=rf"identity\.{code}"):
            certify_successors(office.operator, each, office.now)
    same = new_key()
    with pytest.raises(RefusedError, match="shared_key"):
        certify_successors(office.operator, ask_succession(office.record(), same, same), office.now)


def test_after_the_year_it_says_what_to_do_and_can_be_certified(office: Office) -> None:
    """Nothing is issued by what has ended; the refusal names the commands, and they work then too."""
    late = office.now + YEAR + dt.timedelta(days=1)
    own = RjsName(Role.WS, "a" * 32)
    authority = Authority(office.tokens(), own, "x", 3600, History(), Rates(0.0))
    asked = Own(1, request_der(make_request(new_key(), own.uri(), "x")))
    with pytest.raises(RefusedError, match="rjs ws renew DIR --ca CADIR"):
        authority.decide(asked, late, 0.0)
    with pytest.raises(RefusedError, match="rjs ws request DIR"):
        Register(office.record(), ()).renew(None, late)
    take_over(office.folder, office.certified(late), office.operator.root)
    authority.tokens = office.tokens()
    assert authority.decide(asked, late, 0.0).chain
    assert Register(office.record(), ()).renew(None, late).number == 1


def test_a_statement_is_whole_wherever_the_operator_dies(office: Office, killed_at: KilledAt) -> None:
    """``rjs ca accept`` killed at any change of the disk: the statement before, or the new one; numbers only rise."""
    numbers = []
    for step in count(1):
        ca = ForeignCa(office.now, f"CA {step % 10}").accepted(domain=f"u{step}.example.org")
        killed = killed_at(step, partial(accept, office.operator, ca, office.now))
        kept = kept_acceptance(office.operator.path / ACCEPTED_CAS, office.operator.root)
        numbers.append(0 if kept is None else kept.number)
        if not killed:
            break
    newest = stated(office.operator)
    assert newest is not None and newest.said.cas[-1] == ca
    assert numbers == sorted(numbers) and len(numbers) > 3
