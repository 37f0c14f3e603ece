"""The token authority: issues the short-lived certificates by which everybody calls. Held by the web server.

What its intermediate cannot do is fixed by its certificate, not by this code: it has no usage for answers or code,
so whoever steals it can delay work and never forge any.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Self

from rjs.identity.certificates import Identity, Issuer, Subject, mint
from rjs.identity.errors import IdentityError
from rjs.identity.keys import Chain, PrivateKey, PublicKey, load_chain, load_private, new_key
from rjs.identity.names import RjsName, Role, check_common_name
from rjs.identity.paths import check_chain
from rjs.identity.profiles import Kind
from rjs.limits import TOKEN_LIFETIME


class TokenAuthority:
    """Issues token certificates with the intermediate's ``key``; ``chain`` is (intermediate, root)."""

    def __init__(self, key: PrivateKey, chain: Chain) -> None:
        self._identity = Identity(key, chain)
        if check_chain(chain, chain[-1], now=None) is not Kind.TOKEN_INTERMEDIATE:
            raise IdentityError(
                "kind", "this key is not that of a token intermediate; only such a key issues tokens"
            )

    @classmethod
    def open(cls, path: Path) -> Self:
        """The authority whose ``intermediate.key`` and ``intermediate.pem`` lie in the folder ``path``."""
        return cls(load_private(path / "intermediate.key"), load_chain(path / "intermediate.pem"))

    @property
    def not_after(self) -> dt.datetime:
        """When the operator must have certified the intermediate again."""
        return self._identity.chain[0].not_valid_after_utc

    def issue(self, public_key: PublicKey, name: RjsName, common_name: str, now: dt.datetime) -> Chain:
        """A token certificate for 48 hours with its chain: (leaf, intermediate, root).

        Whether ``public_key`` may have that name is the caller's decision. Raises IdentityError when the name is not
        one that calls, or the intermediate has ended.
        """
        if name.role is Role.INVITATION:
            raise IdentityError(
                "name", "the token authority makes no invitations; the operator's folder does"
            )
        subject = Subject(
            public_key, check_common_name(common_name), TOKEN_LIFETIME, name.uri(), unit=name.role.value
        )
        issuer = Issuer(self._identity.key, self._identity.chain[0])
        return (mint(Kind.TOKEN, subject, issuer, now), *self._identity.chain)

    def own_identity(self, name: RjsName, common_name: str, now: dt.datetime) -> Identity:
        """A fresh key with a token certificate for the authority's own web server; it lives in memory only."""
        key = new_key()
        return Identity(key, self.issue(key.public_key(), name, common_name, now))
