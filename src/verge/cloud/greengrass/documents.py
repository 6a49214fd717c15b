"""The body of CreateDeployment to the document that devices get (contract 3.1 and 3.2)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from verge.cloud.greengrass import arns, faults

SCHEMA_DATE = "2021-05-17"
LARGE = "LARGE_CONFIGURATION"
RESOURCE_LIMITS = "LINUX_RESOURCE_LIMITS"
SUBDEPLOYMENT = "SUB_DEPLOYMENTS"
LIMITS = {arns.THING: 7 * 1024, arns.THING_GROUP: 31 * 1024}
"""Bytes of a document as the shadow and the job carry it; either holds a KiB more."""
MAX_BYTES = 10 * 1024 * 1024
"""Bytes of a document that devices fetch."""

Document = dict[str, Any]
POLICIES: Mapping[str, Any] = {
    "failureHandlingPolicy": "ROLLBACK",
    "componentUpdatePolicy": {"timeoutInSeconds": 60, "action": "NOTIFY_COMPONENTS"},
    "configurationValidationPolicy": {"timeoutInSeconds": 30},
}


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """Which revision a document is; `created` in seconds since the epoch."""

    deployment_id: str
    configuration_arn: str
    created: float


def policies(given: Mapping[str, Any]) -> Document:
    """Return deployment policies with the defaults of the service filled in."""
    return {
        name: {**default, **given.get(name, {})}
        if isinstance(default, dict)
        else given.get(name, default)
        for name, default in POLICIES.items()
    }


def build(request: Mapping[str, Any], revision: Revision) -> Document:
    """Return the whole document for a request whose policies are filled in."""
    components = request.get("components", {})
    given = request["deploymentPolicies"]
    update = given["componentUpdatePolicy"]
    parent = request.get("parentTargetArn")
    document: Document = {
        "schemaDate": SCHEMA_DATE,
        "deploymentId": revision.deployment_id,
        "deploymentName": request.get("deploymentName"),
        "configurationArn": revision.configuration_arn,
        "creationTimestamp": round(revision.created * 1000),
        "components": {name: _component(spec) for name, spec in components.items()},
        "requiredCapabilities": _capabilities(components, parent),
        "failureHandlingPolicy": given["failureHandlingPolicy"],
        "componentUpdatePolicy": {
            "timeout": update["timeoutInSeconds"],
            "action": update["action"],
        },
        "configurationValidationPolicy": {
            "timeout": given["configurationValidationPolicy"]["timeoutInSeconds"]
        },
    }
    if parent is not None:
        target = arns.Target.parse(parent)
        document |= {"parentTargetArn": parent, "onBehalfOf": target and target.name}
    return {key: value for key, value in document.items() if value is not None}


def reference(document: Document, kind: str) -> Document | None:
    """Return what stands for a document that is too large to be sent; None if it is not.

    Raises ValidationFault for one that is too large to be fetched.
    """
    content = encode(document)
    if len(content) > MAX_BYTES:
        raise faults.invalid(
            "components",
            f"the deployment document has {len(content)} bytes; {MAX_BYTES} is the most",
        )
    # A shadow holds it as a text, in which each quotation mark takes two bytes.
    carried = content if kind == arns.THING_GROUP else encode(content.decode())
    if len(carried) <= LIMITS[kind]:
        return None
    capabilities = [*document["requiredCapabilities"], LARGE]
    return {**document, "components": {}, "requiredCapabilities": capabilities}


def encode(document: Document | str) -> bytes:
    """Return the bytes of a document, or of one that is a text already, as they are sent."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _component(spec: Mapping[str, Any]) -> Document:
    update = spec.get("configurationUpdate", {})
    changes: Document = {}
    if "merge" in update:
        changes["merge"] = json.loads(update["merge"])
    if update.get("reset"):
        changes["reset"] = update["reset"]
    return {
        "version": spec["componentVersion"],
        **({"configurationUpdate": changes} if changes else {}),
        # Always there: what it leaves out is taken back on the device (contract 3.2).
        "runWith": spec.get("runWith", {}),
    }


def _capabilities(components: Mapping[str, Any], parent: str | None) -> list[str]:
    limited = any("systemResourceLimits" in c.get("runWith", {}) for c in components.values())
    return [
        *([RESOURCE_LIMITS] if limited else []),
        *([SUBDEPLOYMENT] if parent is not None else []),
    ]
