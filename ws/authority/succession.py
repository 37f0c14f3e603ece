"""How an authority's keys change places: the next ones beside those in use, and from one to the other in steps that a
crash at any instant leaves to be finished.

=================================  ==========================================================================
``intermediate-next.key``          the key that the operator is asked to certify; ``record-next.key`` likewise
``intermediate-next.pem``          its certificate: from here on it is certain that it takes over
``intermediate.key .pem``          in use; replaced by renaming the next ones, the key first
=================================  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509

from rjs.files import sync_folder
from rjs.identity.certificates import Identity
from rjs.identity.errors import IdentityError
from rjs.identity.keys import kept_key, load_chain, load_private, save_chain, spki_digest
from rjs.identity.paths import check_chain, read_chain
from rjs.identity.profiles import Kind
from rjs.identity.succession import ROWS, SuccessionRequest, ask_succession


def prepare(folder: Path) -> SuccessionRequest:
    """The request for the next certificates; its keys are durable on return, and the same however often asked."""
    record = Identity(load_private(folder / "record.key"), load_chain(folder / "record.pem"))
    return ask_succession(record, *(kept_key(folder / f"{stem}-next.key") for stem, _ in ROWS))


def take_over(folder: Path, encoded: Sequence[bytes], root: x509.Certificate) -> None:
    """Use the certificates that the operator made, DER in any order, durably. Repeated, it changes nothing.

    Raises IdentityError when one is missing, or is not of the key that asked; then nothing has changed.
    """
    found = read_chain(encoded)
    chosen = {stem: _chosen(folder, stem, kind, found, root) for stem, kind in ROWS}
    for stem, certificate in chosen.items():
        in_use = spki_digest(load_private(folder / f"{stem}.key")) == spki_digest(certificate)
        save_chain(folder / (f"{stem}.pem" if in_use else f"{stem}-next.pem"), [certificate, root])
    finish(folder)


def finish(folder: Path) -> None:
    """Have those take over that were certain to; what a crash interrupted is done again."""
    for stem, _ in ROWS:
        certificate, key = folder / f"{stem}-next.pem", folder / f"{stem}-next.key"
        if not certificate.exists():
            continue
        if key.exists():
            key.replace(folder / f"{stem}.key")
            sync_folder(folder)
        certificate.replace(folder / f"{stem}.pem")
        sync_folder(folder)


def _chosen(
    folder: Path, stem: str, kind: Kind, found: Sequence[x509.Certificate], root: x509.Certificate
) -> x509.Certificate:
    """The certificate of this kind, for the key that asked or, where it took over already, for that in use."""
    keys = [folder / f"{stem}-next.key", folder / f"{stem}.key"]
    ours = {spki_digest(load_private(key)) for key in keys if key.exists()}
    for each in found:
        if each != root and spki_digest(each) in ours and check_chain((each, root), root, now=None) is kind:
            return each
    raise IdentityError(
        "key_mismatch",
        f"there is no certificate of a {kind.value} for the key that asked; certify the request anew: rjs ws request",
    )
