"""RJS: what all roles share. Bundles, identity, the wire, leases and the command line."""

__all__ = ["__version__"]

__version__ = "0.1.0"
