"""Which deployments of the cloud the device carries out (Greengrass contract 3.2 and 3.4)."""

from __future__ import annotations

from typing import Any

import msgspec

from verge.nucleus.deployment import device_documents, failures, groups
from verge.nucleus.deployment.documents import Fleet, Record


class StaleError(failures.DeploymentError):
    """A document is older than what the device has carried out for its group."""

    def __init__(self, group: str) -> None:
        super().__init__(
            f"cannot deploy: a newer deployment of {group} has succeeded on this device already",
            "REJECTED_STALE_DEPLOYMENT",
        )


def check(record: Record, known: groups.Groups) -> None:
    """Refuse what the device must not carry out. Raises StaleError or DeploymentError."""
    given = record.fleet
    if given is None:
        return
    if unknown := device_documents.unknown_capabilities(given):
        raise failures.DeploymentError(
            f"cannot deploy: this nucleus lacks the required capabilities {', '.join(unknown)}",
            "NUCLEUS_MISSING_REQUIRED_CAPABILITIES",
        )
    if record.created < known.last(given.group):
        raise StaleError(given.group)


def is_reference(given: Fleet) -> bool:
    """Return whether the document that came stands for one that was too large to send."""
    return device_documents.LARGE_CONFIGURATION in given.capabilities


def replace(record: Record, content: Any, now: float) -> None:
    """Put the real document in place of the reference to it. Raises MalformedError."""
    assert record.fleet  # noqa: S101 - there is a reference only where there is a fleet
    order = device_documents.parse(content, record.fleet.channel, now)
    if order.fleet.configuration_arn != record.fleet.configuration_arn:
        raise device_documents.MalformedError(
            f"it is about {order.fleet.configuration_arn}, not {record.fleet.configuration_arn}"
        )
    capabilities = [
        name for name in order.fleet.capabilities if name != device_documents.LARGE_CONFIGURATION
    ]
    record.request, record.created = order.request, order.created
    record.fleet = msgspec.structs.replace(
        order.fleet,
        deployment_id=record.fleet.deployment_id,
        job_id=record.fleet.job_id,
        queued_at=record.fleet.queued_at,
        capabilities=capabilities,
    )
