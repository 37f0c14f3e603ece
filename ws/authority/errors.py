"""Why no certificate can be had from the authority."""

from __future__ import annotations

from rjs.errors import RefusedError


class CannotIssueError(RefusedError):
    """The web server cannot issue certificates now; nothing was wrong with the request."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "cannot-issue", f"the web server cannot issue certificates now ({why}); ask again later"
        )


class TooOftenError(RefusedError):
    """More certificates were asked for than an honest cluster needs."""

    def __init__(self, whom: str, seconds: float) -> None:
        super().__init__(
            "too-often", f"{whom} asked for too many certificates; ask again in {max(1, round(seconds))} s"
        )
