"""Whether a break-in into the web server's process gives its token authority's keys away, in words. Pure."""

from __future__ import annotations

import attrs


@attrs.frozen
class Separation:
    """Whether the keys are out of the web server's reach, and a sentence that says why, and what would change it."""

    holds: bool
    sentence: str


def authority_separation(*, ws_is_root: bool, authority_user: str, apart: bool) -> Separation:
    """What holds where the authority's process runs as the account ``authority_user``, which is another than the web
    server's when ``apart``, and the web server as root or not."""
    if ws_is_root:
        return Separation(
            False,
            f"the web server's process runs as root: who breaks into it reads the token authority's keys, although "
            f"that runs as {authority_user}; its account of its own stops only who breaks into the authority",
        )
    if not apart:
        return Separation(
            False,
            f"the token authority runs as {authority_user}, the web server's own account: who breaks into the web "
            f"server reads its keys, and can issue tokens, never answers, bundles or invitations, until they are "
            f"replaced: rjs ws renew DIR --ca CADIR",
        )
    return Separation(
        True, f"the token authority runs as {authority_user}, whose keys the web server's account cannot read"
    )
