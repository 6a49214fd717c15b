"""What the local cloud is started with."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses, ports and names; a port of 0 means one that is free.

    `api_*` is plain HTTP for tools, on loopback. The other ports are TLS, for devices, on each of
    `device_addresses`. `https_port` is 443 where AWS's own nuclei need it and None elsewhere: it
    serves the same as `device_port`.
    """

    state: Path
    """The directory that holds everything; it can be deleted while nothing runs."""
    region: str = "eu-west-1"
    account: str = "123456789012"
    api_address: str = "127.0.0.1"
    api_port: int = 4566
    device_addresses: tuple[str, ...] = ("127.0.0.1",)
    """Addresses that may appear only later, such as that of a bridge without devices."""
    device_port: int = 8443
    """Data plane, credentials and S3 for devices."""
    https_port: int | None = None
    mqtt_port: int = 8883

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.state / "cloud.db"

    @property
    def ca_certificate(self) -> Path:
        """The certificate that devices trust, PEM."""
        return self.state / "ca.pem"

    @property
    def endpoints(self) -> Path:
        """The JSON file that says where everything listens; written when all of it does."""
        return self.state / "endpoints.json"


class Endpoints(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a running cloud is reached: the contents of `endpoints.json`.

    `device_port`, `https_port` and `mqtt_port` are open on each of `device_addresses`.
    """

    pid: int
    api: str
    """The `AWS_ENDPOINT_URL`, such as "http://127.0.0.1:4566"."""
    region: str
    account: str
    device_addresses: tuple[str, ...]
    device_port: int
    mqtt_port: int
    ca_certificate: str
    https_port: int | None = None
