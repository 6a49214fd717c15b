"""X.509 certificates as the local cloud makes them; nothing here touches files."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence

from cryptography import exceptions, x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from verge.cloud import errors

SERVER_LIFETIME = dt.timedelta(days=397)  # the longest that strict TLS clients accept
CA_LIFETIME = dt.timedelta(days=30 * 365)
DEVICE_END = dt.datetime(2049, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""When the certificates of IoT Core end."""
CLOCK_SKEW = dt.timedelta(days=1)  # devices whose clocks are late must not refuse them
MIN_RSA_BITS = 2048
DEVICE_SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")])
"""The subject of certificates whose key pair is made here, as in IoT Core."""

_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


class RequestError(errors.CloudError):
    """A certificate signing request that cannot be signed."""


def make_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def make_ca(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    """Return a self-signed certificate that may sign others, but no further authorities."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "Verge local cloud CA"),
            # Two clouds must not look alike to whoever trusts both.
            x509.NameAttribute(NameOID.SERIAL_NUMBER, f"{x509.random_serial_number():x}"[:16]),
        ]
    )
    usage = _usage(key_cert_sign=True, crl_sign=True)
    return (
        _builder(name, name, key.public_key(), now, now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def make_server(
    key: ec.EllipticCurvePrivateKey,
    names: Sequence[str],
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
) -> x509.Certificate:
    """Return a certificate for a server that is reached by these names and addresses."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Verge local cloud")])
    end = min(now + SERVER_LIFETIME, ca.not_valid_after_utc)
    alternatives = x509.SubjectAlternativeName([general_name(name) for name in names])
    return _sign(
        _builder(subject, ca.subject, key.public_key(), now, end)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False),
        key.public_key(),
        ca,
        ca_key,
    )


def make_device(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: dt.datetime,
) -> x509.Certificate:
    """Return a certificate for a device.

    It serves clients only: whatever name the subject claims, no device can pass for a server.
    """
    end = min(DEVICE_END, ca.not_valid_after_utc)
    return _sign(
        _builder(subject, ca.subject, public_key, now, end).add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        ),
        public_key,
        ca,
        ca_key,
    )


def read_request(
    pem: bytes,
) -> tuple[x509.Name, ec.EllipticCurvePublicKey | rsa.RSAPublicKey]:
    """Return subject and key of a certificate signing request. Raises RequestError."""
    try:
        request = x509.load_pem_x509_csr(pem)
        key, valid = request.public_key(), request.is_signature_valid
        subject = request.subject
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise RequestError(
            f"cannot sign the request: it is no certificate signing request in PEM ({error}); "
            "make one with `openssl req -new`"
        ) from None
    if not valid:
        raise RequestError("cannot sign the request: its signature is not that of its own key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return subject, key
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS:
        return subject, key
    raise RequestError(
        "cannot sign the request: its key is neither RSA of 2048 bits or more nor on one of the "
        "curves P-256, P-384 and P-521"
    )


def general_name(name: str) -> x509.GeneralName:
    """Return an IP address or a DNS name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """Return the names and addresses that a server certificate is for."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return frozenset(str(name.value) for name in names)


def pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return a private key as PEM in the form OpenSSL has always read, as IoT Core sends it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    now: dt.datetime,
    end: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(end)
    )


def _sign(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
