"""A server's token certificate while the server runs: looked at again and again, and renewed when it is due.

It knows no role: how a certificate is had is the server's to say. What dials and what listens asks ``identity`` for
each new connection; connections that are open stay as they are until they hand over.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from rjs.background import Timer, Timers
from rjs.errors import RjsError, UnreachableError
from rjs.identity.certificates import Identity
from rjs.identity.folder import IdentityFolder
from rjs.identity.lifetimes import check_renewable, renew_at, what_then
from rjs.identity.paths import read_chain
from rjs.limits import RENEWAL_LOOK, RENEWAL_LOOK_FIRST, RENEWAL_PATIENCE
from rjs.wall_time import Wall, utc_now
from rjs.wire import messages as m
from rjs.wire.session import Session

_log = Logger("rjs.renewal")


async def renew_over(
    timers: Timers, session: Session, folder: IdentityFolder, wall: Wall = utc_now
) -> Identity:
    """Ask over ``session`` for the next certificate of the member whose ``folder`` this is, and keep it there.

    Raises RjsError and OSError; the certificate that was there stays in use then.
    """
    check_renewable(folder.token().chain, wall())
    request = m.MemberRenew(request=folder.ask_renewal(wall()))
    asked = Deferred.fromCoroutine(session.request(request, m.MemberRenewed))
    asked.addTimeout(RENEWAL_PATIENCE, timers)  # type: ignore[arg-type]  # callLater is all that it needs
    try:
        renewed = await asked
    except TimeoutError:
        raise UnreachableError(f"no reply to the renewal within {RENEWAL_PATIENCE:.0f} s") from None
    return folder.keep_token(read_chain(renewed.chain), wall())


class TokenKeeper:
    """The certificate of one server. ``trouble`` says why it could not be renewed when it was due, or is empty."""

    def __init__(
        self,
        identity: Identity,
        renew: Callable[[], Awaitable[Identity]],
        timers: Timers,
        wall: Wall = utc_now,
    ) -> None:
        self.identity = identity
        self.trouble = ""
        self.renewed: Callable[[Identity], object] = lambda identity: None
        """Called with each new identity, after it is in use."""
        self._renew = renew
        self._timers = timers
        self._wall = wall
        self._failures = 0
        self._nap: Deferred[None] | None = None

    @property
    def not_after(self) -> dt.datetime:
        """When the certificate in use ends."""
        return self.identity.chain[0].not_valid_after_utc

    @property
    def expired(self) -> bool:
        """Whether it has ended: whoever is shown it lets us renew it and nothing else."""
        return self._wall() >= self.not_after

    async def run(self) -> None:
        """Look, and look again. Never returns; cancel it to stop."""
        while True:
            await self.look()
            self._nap = Deferred()
            timer: Timer = self._timers.callLater(self._pause(), self.poke)
            try:
                await self._nap
            finally:
                self._nap = None
                if timer.active():
                    timer.cancel()

    def poke(self) -> None:
        """Look now: what renewing needs may have come."""
        nap, self._nap = self._nap, None
        if nap is not None:
            nap.callback(None)

    async def look(self) -> None:
        """Renew if it is due. What goes wrong is told and tried again: a server lives with its old certificate."""
        if self._wall() < renew_at(self.identity.chain[0]):
            return
        try:
            identity = await self._renew()
        except (RjsError, OSError) as error:
            self._failures += 1
            if str(error) != self.trouble:
                _log.warn("our certificate, valid until {until}, was not renewed: {error}",
                          until=self.not_after, error=error)  # fmt: skip
            self.trouble = str(error)
            return
        self.identity, self.trouble, self._failures = identity, "", 0
        _log.info("renewed our certificate: valid until {until}", until=self.not_after)
        self.renewed(identity)

    def document(self) -> dict[str, Any]:
        """What the server's status says of it. Times in seconds."""
        return {
            "until": self.not_after.isoformat(timespec="seconds"),
            "seconds_left": round((self.not_after - self._wall()).total_seconds()),
            "renewal_in": round((renew_at(self.identity.chain[0]) - self._wall()).total_seconds()),
            "then": what_then(self.identity.chain[0], self._wall()),
            "trouble": self.trouble,
        }

    def _pause(self) -> float:
        """Until it is due, looking in between because clocks are set; after failures doubling, with jitter so that a
        whole cluster does not ask in the same second."""
        if self._failures:
            doubled = RENEWAL_LOOK_FIRST * 2.0 ** min(self._failures - 1, 16)
            return min(RENEWAL_LOOK, doubled) * (0.5 + random.random())  # noqa: S311 - jitter, not a secret
        due = (renew_at(self.identity.chain[0]) - self._wall()).total_seconds()
        return min(RENEWAL_LOOK, max(RENEWAL_LOOK_FIRST, due))
