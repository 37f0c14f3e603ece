"""A job's token: key and certificate in memory only, renewed through the control channel for as long as the job runs.

Used through ``rjs.task``. Needs cryptography and pyOpenSSL: the job's own, else those of the compute server.
"""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import json
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import rjs.task

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from OpenSSL import SSL

Ask = Callable[[dict[str, Any], float], dict[str, Any]]

_PATIENCE = 40.0  # seconds for an answer: the compute server itself gives up before
_RENEW_AT = 2 / 3
_BACK = 600.0  # seconds that certificates are dated back
_RETRY_FIRST, _RETRY_MOST = 0.5, 15.0  # seconds between two tries to renew
_NOTE = Path(__file__).with_name("packages.json")


class _Installed:
    """Finds the compute server's own packages, those that it says and no others."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Python's door."""
        if path is not None or name not in self._folders:
            return None
        return PathFinder.find_spec(name, [self._folders[name]])


def needed(name: str) -> ModuleType:
    """The module ``name`` of a third-party package. Raises NoTokenError where there is none."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if _NOTE.exists() and not any(isinstance(each, _Installed) for each in sys.meta_path):
            sys.meta_path.append(
                _Installed(json.loads(_NOTE.read_bytes()))
            )  # last: the job's own count first
            return needed(name)
        raise rjs.task.NoTokenError("no-package", f"{name} is missing; pack the job with it") from None


class Held:
    """A key with its chain, leaf first, root last."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, chain: list[x509.Certificate]) -> None:
        self.key = key
        self.chain = chain

    def __repr__(self) -> str:
        return f"Held(until {self.not_after})"

    @property
    def not_after(self) -> dt.datetime:
        """Its end."""
        return self.chain[0].not_valid_after_utc

    @property
    def renew_at(self) -> dt.datetime:
        """Two thirds of its life."""
        issued = self.chain[0].not_valid_before_utc + dt.timedelta(seconds=_BACK)
        return issued + _RENEW_AT * (self.not_after - issued)


class Token:
    """The token of the attempt ``name``. Raises NoTokenError when the first one cannot be had."""

    def __init__(self, ask: Ask, name: str) -> None:
        self._ask = ask
        self.name = name
        self.cluster = self.cs = ""
        self._held = self._new()
        self.renewals = 0
        """How often it was renewed."""
        self.trouble = ""
        """Why it could not be renewed when that was last tried."""
        threading.Thread(target=self._keep, name="rjs job token", daemon=True).start()

    def __repr__(self) -> str:
        return f"Token({self.name!r}, {self._held!r})"

    @property
    def not_after(self) -> dt.datetime:
        """When it ends, unless it is renewed before."""
        return self._held.not_after

    def context(self) -> SSL.Context:
        """A TLS 1.3 client context with key and certificate, which believes this attempt's compute server alone."""
        ssl, crypto = needed("OpenSSL.SSL"), needed("OpenSSL.crypto")
        held = self._held
        context: SSL.Context = ssl.Context(ssl.TLS_METHOD)
        context.set_min_proto_version(ssl.TLS1_3_VERSION)
        context.use_privatekey(held.key)
        context.use_certificate(held.chain[0])
        for certificate in held.chain[1:-1]:
            context.add_extra_chain_cert(certificate)
        store = context.get_cert_store()
        assert store is not None
        store.add_cert(crypto.X509.from_cryptography(held.chain[-1]))
        context.set_verify(ssl.VERIFY_PEER | ssl.VERIFY_FAIL_IF_NO_PEER_CERT, self._is_ours)
        return context

    def _is_ours(self, connection: object, certificate: Any, error: int, depth: int, ok: int) -> bool:
        """OpenSSL's verify callback: at the other end is the compute server that runs this attempt."""
        if not ok or depth:
            return bool(ok)
        x509 = needed("cryptography.x509")
        names = (
            certificate.to_cryptography()
            .extensions.get_extension_for_class(x509.SubjectAlternativeName)
            .value
        )
        found: list[str] = names.get_values_for_type(x509.UniformResourceIdentifier)
        return found == [f"rjs://cs/{self.cs}"]

    def _new(self) -> Held:
        """Another key, certified. Raises NoTokenError."""
        x509, ec = needed("cryptography.x509"), needed("cryptography.hazmat.primitives.asymmetric.ec")
        hashes = needed("cryptography.hazmat.primitives.hashes")
        encoding = needed("cryptography.hazmat.primitives.serialization").Encoding.DER
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(self.name)])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "job")])
        request = (
            x509.CertificateSigningRequestBuilder().subject_name(subject).add_extension(names, critical=False)
        )
        encoded = base64.b64encode(request.sign(key, hashes.SHA256()).public_bytes(encoding)).decode()
        try:
            answer = self._ask({"ask": "token", "request": encoded}, _PATIENCE)
        except (OSError, ValueError) as error:
            raise rjs.task.NoTokenError("unreachable", str(error)) from error
        if "error" in answer:
            raise rjs.task.NoTokenError(str(answer["error"]), str(answer.get("sentence", "")))
        try:
            chain = [x509.load_der_x509_certificate(base64.b64decode(each)) for each in answer["chain"]]
            self.cluster, self.cs = answer["cluster"], answer["cs"]
        except (KeyError, TypeError, ValueError) as error:
            raise rjs.task.NoTokenError("malformed", f"the answer cannot be read: {error}") from error
        return Held(key, chain)

    def _keep(self) -> None:
        """Renew it at two thirds of its life; when that fails try again, until it is had."""
        pause, idle = _RETRY_FIRST, threading.Event()
        while True:
            now = dt.datetime.now(dt.timezone.utc)  # noqa: UP017 - as old as a job's Python may be
            idle.wait(max(0.0, (self._held.renew_at - now).total_seconds()))
            try:
                self._held = self._new()
            except rjs.task.NoTokenError as error:
                self.trouble = str(error)
                idle.wait(pause)
                pause = min(_RETRY_MOST, 2 * pause)
            else:
                self.renewals += 1
                self.trouble, pause = "", _RETRY_FIRST
