"""The identifiers that RJS passes around, each a type of its own so that none is taken for another."""

from __future__ import annotations

from typing import NewType

BundleId = NewType("BundleId", str)
"""64 hex digits: SHA-256("rjs-bundle-1" ‖ SHA-256(MANIFEST.MF) ‖ SHA-256(signer's SPKI)). Also the job id."""

SpkiDigest = NewType("SpkiDigest", str)
"""64 hex digits: SHA-256 of a public key's DER SubjectPublicKeyInfo. What owners trust."""

ClusterId = NewType("ClusterId", str)
"""16 hex digits: the start of the organisation root's SpkiDigest."""

ServerId = NewType("ServerId", str)
"""The id part of a server's ``rjs://<role>/<id>`` name: 32 hex digits of a UUID."""

BootId = NewType("BootId", str)
"""32 hex digits, new at every start of a server process."""

UserName = NewType("UserName", str)
"""A person's account name: also the name of the home."""
