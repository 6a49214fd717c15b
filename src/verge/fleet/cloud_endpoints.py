"""Where a running local cloud is reached: what it wrote into `.verge/cloud/endpoints.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from verge.fleet import project
from verge.fleet.errors import FleetError, describe


class Endpoints(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The addresses of a running local cloud.

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


def state_dir(where: project.Project) -> Path:
    """Return the directory that the local cloud keeps everything in."""
    return where.state_dir / "cloud"


def read_endpoints(where: project.Project) -> Endpoints:
    """Return the endpoints of the local cloud. Raises FleetError if it has written none."""
    path = state_dir(where) / "endpoints.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Endpoints)
    except FileNotFoundError:
        raise FleetError(
            "cannot reach the local cloud: it does not run", "`./inv cloud` starts it"
        ) from None
    except OSError as error:
        raise FleetError(f"cannot read {where.relative(path)}: {describe(error)}") from error
    except msgspec.DecodeError as error:
        raise FleetError(
            f"cannot read {where.relative(path)}: {error}", "`./inv cloud` starts it anew"
        ) from error
