"""The object identifiers of our own extended key usages; the meaning of each is in ``docs/identity.md``."""

from __future__ import annotations

from cryptography.x509 import ObjectIdentifier

ANSWER_EKU = ObjectIdentifier("1.3.6.1.4.1.59999.1.1")
"""May sign answers. The only usage of an answer key, so that an answer can never pass as a job or a caller."""

ENROLMENT_EKU = ObjectIdentifier("1.3.6.1.4.1.59999.1.2")
"""Marks the enrolment CA: may certify the one-time keys that invitations carry."""

RECORD_EKU = ObjectIdentifier("1.3.6.1.4.1.59999.1.3")
"""May sign what the cluster goes by: lists of what is revoked. The only usage of a record key."""

ACCEPTANCE_EKU = ObjectIdentifier("1.3.6.1.4.1.59999.1.5")
"""May say which other CAs this cluster accepts. The only usage of the one-time key that the operator does it with."""

READER_EKU = ObjectIdentifier("1.3.6.1.4.1.59999.1.4")
"""May open what is sealed for it. The only usage of an encryption key, which signs nothing that counts."""
