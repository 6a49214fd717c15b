"""The certificate authority of a local cloud: its files, the server's certificate, TLS."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from verge.cloud import errors
from verge.cloud import settings as configuration
from verge.cloud.identity import certificates

RENEW_BEFORE = dt.timedelta(days=30)
"""A server certificate with less time left than this is replaced."""
RSA_BITS = 2048  # as IoT Core makes key pairs

_log = logging.getLogger(__name__)


class Issued(NamedTuple):
    """A device certificate and, if it was made here, its RSA key pair; all PEM."""

    certificate: str
    public_key: str = ""
    private_key: str = ""


class Authority:
    """Signs the certificates of devices and of the server; made once, kept in the state directory.

    Anyone who reads `ca.key` can be any device: it is readable by its owner only.
    """

    def __init__(
        self,
        *,
        settings: configuration.Settings,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Load the authority, or make it; renew the server's certificate. Raises StateError."""
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._contexts: list[ssl.SSLContext] = []
        self._ca, self._key = self._load_or_make()
        self.renew()

    @property
    def certificate(self) -> Path:
        """The certificate that devices are to trust, PEM."""
        return self._settings.ca_certificate

    @property
    def server_names(self) -> frozenset[str]:
        """What the server is called: its addresses, `localhost`, and S3's names in the region."""
        region = self._settings.region
        return frozenset(
            (
                *self._settings.device_addresses,
                "127.0.0.1",
                "localhost",
                f"s3.{region}.amazonaws.com",
                f"*.s3.{region}.amazonaws.com",
            )
        )

    def sign_request(self, request: str) -> Issued:
        """Sign a certificate signing request in PEM. Raises certificates.RequestError."""
        subject, key = certificates.read_request(request.encode())
        return Issued(self._sign(subject, key))

    def make_keys(self) -> Issued:
        """Make a key pair and a certificate for it."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        certificate = self._sign(certificates.DEVICE_SUBJECT, key.public_key())
        return Issued(certificate, public.decode(), certificates.key_pem(key).decode())

    def context(self, verify: ssl.VerifyMode) -> ssl.SSLContext:
        """Return the server's side of TLS; only certificates that this authority signed pass.

        `verify` says whether clients must, may or need not show one. The context takes over
        renewed server certificates by itself.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.certificate)
        context.verify_mode = verify
        # A resumed session would bring a certificate that was verified some other day.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
        with self._lock:
            self._load_server(context)
            self._contexts.append(context)
        return context

    def renew(self) -> bool:
        """Replace the server's certificate if it ends soon or the names changed; say whether."""
        with self._lock:
            if self._is_server_current():
                return False
            key = certificates.make_key()
            names = sorted(self.server_names)
            server = certificates.make_server(key, names, self._ca, self._key, self._now())
            # One file, so that key and certificate always fit each other.
            _write(self._server_file, certificates.key_pem(key) + certificates.pem(server))
            _log.info("Server certificate issued names=%s", ",".join(names))
            for context in self._contexts:
                self._load_server(context)
            return True

    @property
    def _key_file(self) -> Path:
        return self._settings.state / "ca.key"

    @property
    def _server_file(self) -> Path:
        return self._settings.state / "server.pem"

    def _load_server(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._server_file)

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
        made = certificates.make_device(subject, key, self._ca, self._key, self._now())
        return certificates.pem(made).decode()

    def _load_or_make(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        if not self.certificate.exists():
            # A key alone is left by a start that was cut off; nobody has seen its certificate.
            key = certificates.make_key()
            ca = certificates.make_ca(key, self._now())
            _write(self._key_file, certificates.key_pem(key))
            _write(self.certificate, certificates.pem(ca), mode=0o644)
            return ca, key
        try:
            ca = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            loaded = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
        except (OSError, ValueError) as error:
            raise self._unusable(str(error)) from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey) or (
            loaded.public_key() != ca.public_key()
        ):
            raise self._unusable("key and certificate do not belong together")
        self._key_file.chmod(0o600)
        return ca, loaded

    def _unusable(self, reason: str) -> errors.StateError:
        return errors.StateError(
            f"cannot use the certificate authority in {self._settings.state}: {reason}; restore "
            f"{self._key_file.name} and {self.certificate.name}, or begin anew with "
            "`./inv cloud --reset`, after which every device needs a new certificate"
        )

    def _is_server_current(self) -> bool:
        with contextlib.suppress(OSError, ValueError, x509.ExtensionNotFound):
            content = self._server_file.read_bytes()
            server = x509.load_pem_x509_certificate(content)
            key = serialization.load_pem_private_key(content, None)
            server.verify_directly_issued_by(self._ca)
            return (
                key.public_key() == server.public_key()
                and certificates.names_of(server) == self.server_names
                and server.not_valid_before_utc <= self._now()
                and server.not_valid_after_utc - self._now() > RENEW_BEFORE
            )
        return False


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file at once and for good; nobody else can ever have read it with mode 0600."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123  # a descriptor, not a path
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise errors.StateError(
            f"cannot write {path}: {error.strerror}; free space or mend its permissions"
        ) from error
