"""The certificate authority: made once, kept safe, and its server certificate kept current."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from tests.support import devices
from verge.cloud import errors, settings
from verge.cloud.identity import authority, certificates

NOW = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)


def make(
    state: Path, *addresses: str, now: dt.datetime = NOW, region: str = "eu-west-1"
) -> authority.Authority:
    """Return the authority of a state directory at some time."""
    chosen = settings.Settings(
        state=state, device_addresses=addresses or ("127.0.0.1",), region=region
    )
    return authority.Authority(settings=chosen, now=lambda: now)


def server_of(state: Path) -> x509.Certificate:
    """Return the server's certificate."""
    return x509.load_pem_x509_certificate((state / "server.pem").read_bytes())


def test_made_once(tmp_path: Path) -> None:
    """A second start finds what the first one made, byte for byte."""
    make(tmp_path)
    names = ("ca.pem", "ca.key", "server.pem")
    before = [(tmp_path / name).read_bytes() for name in names]
    make(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in names] == before


def test_modes(tmp_path: Path) -> None:
    """Keys are readable by their owner only, also after somebody opened them up."""
    make(tmp_path)
    (tmp_path / "ca.key").chmod(0o644)
    make(tmp_path)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "server.pem": 0o600}


def test_start_that_was_cut_off(tmp_path: Path) -> None:
    """A key without its certificate, as SIGKILL leaves it, is made anew."""
    make(tmp_path)
    (tmp_path / "ca.pem").unlink()
    made = make(tmp_path)
    assert devices.make_identity(made, tmp_path, "press-07").der


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("ca.key", None, id="key lost"),
        pytest.param("ca.key", b"garbage", id="key broken"),
        pytest.param("ca.pem", b"", id="certificate empty"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes | None) -> None:
    """An authority that cannot be used is never replaced silently: devices trust it."""
    make(tmp_path)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(errors.StateError, match=r"cannot use the certificate authority .*--reset"):
        make(tmp_path)


def test_files_of_two_authorities(tmp_path: Path) -> None:
    """A key and a certificate of different authorities are refused."""
    one, two = tmp_path / "one", tmp_path / "two"
    for state in (one, two):
        state.mkdir()
        make(state)
    (one / "ca.key").write_bytes((two / "ca.key").read_bytes())
    with pytest.raises(errors.StateError, match="do not belong together"):
        make(one)


def test_server_names(tmp_path: Path) -> None:
    """The server's certificate names all addresses, localhost and S3 in the region."""
    make(tmp_path, "10.89.7.1", "fd00::1", "cloud.example", region="eu-north-1")
    assert certificates.names_of(server_of(tmp_path)) == {
        "10.89.7.1",
        "fd00::1",
        "cloud.example",
        "127.0.0.1",
        "localhost",
        "s3.eu-north-1.amazonaws.com",
        "*.s3.eu-north-1.amazonaws.com",
    }


@pytest.mark.parametrize(
    ("later", "addresses", "changes"),
    [
        pytest.param(dt.timedelta(days=1), ("127.0.0.1",), False, id="next day"),
        pytest.param(dt.timedelta(days=366), ("127.0.0.1",), False, id="31 days left"),
        pytest.param(dt.timedelta(days=368), ("127.0.0.1",), True, id="29 days left"),
        pytest.param(dt.timedelta(days=-10), ("127.0.0.1",), True, id="clock set back"),
        pytest.param(dt.timedelta(0), ("10.0.0.1",), True, id="another address"),
        pytest.param(dt.timedelta(0), ("127.0.0.1", "10.0.0.1"), True, id="one more address"),
    ],
)
def test_server_certificate_renewal(
    tmp_path: Path, later: dt.timedelta, addresses: tuple[str, ...], changes: bool
) -> None:
    """The server's certificate is replaced when it nears its end or the addresses change."""
    make(tmp_path)
    ca, before = (tmp_path / "ca.pem").read_bytes(), server_of(tmp_path)
    make(tmp_path, *addresses, now=NOW + later)
    assert (server_of(tmp_path) != before) is changes
    assert (tmp_path / "ca.pem").read_bytes() == ca


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "key only"])
def test_broken_server_certificate(tmp_path: Path, content: bytes | None) -> None:
    """A server certificate that is broken is replaced."""
    make(tmp_path)
    file = tmp_path / "server.pem"
    file.write_bytes(file.read_bytes()[:200] if content is None else content)
    make(tmp_path)
    assert server_of(tmp_path).issuer == server_of(tmp_path).issuer
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)


def test_renewal_while_serving(tmp_path: Path) -> None:
    """TLS that is in use serves the renewed certificate from the next connection on."""
    clock = [NOW]
    chosen = settings.Settings(state=tmp_path)
    made = authority.Authority(settings=chosen, now=lambda: clock[0])
    server = made.context(ssl.CERT_NONE)
    assert shaken(server) == serialized(server_of(tmp_path))
    assert not made.renew()
    clock[0] += dt.timedelta(days=380)
    assert made.renew()
    assert shaken(server) == serialized(server_of(tmp_path))


def serialized(certificate: x509.Certificate) -> bytes:
    """Return a certificate as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def shaken(server: ssl.SSLContext) -> bytes | None:
    """Return the certificate that a handshake brings."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking, serving = client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for side in (asking, serving):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return asking.getpeercert(binary_form=True)


def test_made_keys(tmp_path: Path) -> None:
    """A key pair made here is RSA of 2048 bits, fits its certificate and is IoT Core's subject."""
    issued = make(tmp_path).make_keys()
    key = serialization.load_pem_private_key(issued.private_key.encode(), None)
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 2048
    assert key.public_key() == certificate.public_key()
    assert serialization.load_pem_public_key(issued.public_key.encode()) == key.public_key()
    assert certificate.subject == certificates.DEVICE_SUBJECT
    assert certificate.not_valid_after_utc == certificates.DEVICE_END


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=["P-256", "P-384"])
def test_signed_request(tmp_path: Path, curve: ec.EllipticCurve) -> None:
    """A request's subject and key are certified, for clients only, by the authority."""
    key = ec.generate_private_key(curve)
    made = make(tmp_path)
    issued = made.sign_request(devices.request(key, "press-07"))
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate(made.certificate.read_bytes())
    )
    (name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert (name.value, certificate.public_key()) == ("press-07", key.public_key())
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
    assert issued.private_key == ""


def _tampered(key: ec.EllipticCurvePrivateKey) -> str:
    lines = devices.request(key).splitlines()
    lines[1] = lines[1][:-2] + ("AA" if lines[1][-2:] != "AA" else "BB")
    return "\n".join(lines)


@pytest.mark.parametrize(
    "request_of",
    [
        pytest.param(lambda key: "", id="empty"),
        pytest.param(lambda key: "garbage", id="garbage"),
        pytest.param(lambda key: devices.request(key)[:200], id="truncated"),
        pytest.param(_tampered, id="tampered"),
        pytest.param(
            lambda key: devices.request(ec.generate_private_key(ec.SECP256K1())), id="odd curve"
        ),
        pytest.param(
            lambda key: devices.request(
                rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
            ),
            id="short RSA",
        ),
    ],
)
def test_refused_requests(tmp_path: Path, request_of: object) -> None:
    """A request that is broken, forged or weak is refused with a sentence."""
    assert callable(request_of)
    pem = request_of(ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(certificates.RequestError, match="cannot sign the request"):
        make(tmp_path).sign_request(pem)


def test_other_kinds_of_keys(tmp_path: Path) -> None:
    """Ed25519, which IoT Core does not know, is refused."""
    key = ed25519.Ed25519PrivateKey.generate()
    made = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    with pytest.raises(certificates.RequestError, match="neither RSA"):
        make(tmp_path).sign_request(made.public_bytes(serialization.Encoding.PEM).decode())


def test_no_room(tmp_path: Path) -> None:
    """A directory that cannot be written is named."""
    with pytest.raises(errors.StateError, match="cannot write"):
        make(tmp_path / "missing")
