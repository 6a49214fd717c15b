"""Status messages of core devices, checked (contract 5.9)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from verge.cloud import errors, ports

LIMIT = 128_000


class StatusError(errors.CloudError):
    """A message that is no status message."""


class _Details(msgspec.Struct, rename="camel"):
    status_codes: list[str] | None = None
    status_reason: str | None = None


class _Component(msgspec.Struct, rename="camel"):
    component_name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    version: str
    status: str
    is_root: bool = False
    fleet_config_arns: list[str] | None = None
    component_status_details: _Details | None = None


class _Deployment(msgspec.Struct, rename="camel"):
    # Lite sends an empty object where there was no deployment.
    status: str | None = None
    deployment_id: str | None = None
    fleet_configuration_arn_for_status: str | None = None
    unchanged_root_components: list[str] | None = None


class _Chunk(msgspec.Struct, rename="camel"):
    chunk_id: Annotated[int, msgspec.Meta(ge=1)]
    total_chunks: Annotated[int, msgspec.Meta(ge=1)]


class _Message(msgspec.Struct, rename="camel"):
    thing: str
    ggc_version: str
    overall_device_status: Literal["HEALTHY", "UNHEALTHY"]
    sequence_number: int
    timestamp: int
    platform: str | None = None
    architecture: str | None = None
    runtime: str | None = None
    message_type: Literal["COMPLETE", "PARTIAL"] = "PARTIAL"
    trigger: str | None = None
    components: list[_Component] | None = None
    deployment_information: _Deployment | None = None
    chunk_info: _Chunk | None = None


def parse(thing: str, payload: bytes) -> ports.Document:
    """Return the message of a thing as it was sent. Raises StatusError."""
    if len(payload) > LIMIT:
        raise StatusError(f"cannot take {len(payload)} bytes: a message has at most {LIMIT}")
    try:
        message = msgspec.json.decode(payload, type=_Message)
        whole: ports.Document = msgspec.json.decode(payload, type=dict)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StatusError(f"cannot read the message: {error}") from error
    if message.thing != thing:
        raise StatusError(f"cannot take a message about {message.thing[:128]} from {thing}")
    return whole
