"""Bundles: signed JARs, written by one signer and read by one strict verifier, the only gate."""

__all__: list[str] = []
