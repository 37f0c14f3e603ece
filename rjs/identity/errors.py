"""The one error of this package: an identity, a certificate or a folder of keys is not what it must be."""

from __future__ import annotations

from rjs.errors import RefusedError

_SENTENCE = 500  # characters


class IdentityError(RefusedError):
    """A key, certificate, name, invitation or enrolment was refused. Codes start with ``identity.``.

    Sentences quote what a stranger sent, so they are cut to a length that a log can bear.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(f"identity.{code}", sentence[:_SENTENCE])
