"""Whether the authority's keys are out of the web server's reach."""

from __future__ import annotations

import pytest

from rjs.authority_separation import authority_separation


@pytest.mark.parametrize(
    ("ws_is_root", "apart", "holds", "words"),
    [
        (True, True, False, "runs as root"),
        (True, False, False, "runs as root"),
        (False, False, False, "the web server's own account"),
        (False, True, True, "cannot read"),
    ],
)
def test_it_holds_between_two_accounts_that_are_not_root(
    ws_is_root: bool, apart: bool, holds: bool, words: str
) -> None:
    """An account of its own helps only against a web server that is not root, and the sentence says so."""
    found = authority_separation(ws_is_root=ws_is_root, authority_user="rjs-authority", apart=apart)
    assert found.holds is holds
    assert words in found.sentence and "rjs-authority" in found.sentence
