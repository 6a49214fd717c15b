"""The documents that say what the cloud wants of the device (Greengrass contract 3.2). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from verge.nucleus import logs
from verge.nucleus.deployment import failures
from verge.nucleus.deployment.documents import Channel, Fleet, is_component_name
from verge.nucleus.ipc import host
from verge.recipe import errors, versions

LARGE_CONFIGURATION = "LARGE_CONFIGURATION"

CAPABILITIES = frozenset(
    {LARGE_CONFIGURATION, "LINUX_RESOURCE_LIMITS", "SUB_DEPLOYMENTS", "NUCLEUS_RELIABILITY_V2"}
)
"""What documents may require of a device; a further one fails the deployment."""

MILLISECOND = 0.001

_ARN = re.compile(r"arn:[^:]+:greengrass:[^:]*:[^:]*:configuration:((?:thing|thinggroup)/.+):(\d+)")

log = logs.Logger("deployment")


class MalformedError(failures.DeploymentError):
    """A document that cannot be used, whatever happens."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot use the deployment document: {reason}", "DEPLOYMENT_DOCUMENT_NOT_VALID"
        )


class _Limits(msgspec.Struct):
    memory: int | None = None
    cpus: float | None = None


class _RunWith(msgspec.Struct, rename="camel"):
    posix_user: str | None = None
    system_resource_limits: _Limits | None = None


class _Update(msgspec.Struct):
    merge: dict[str, Any] | None = None
    reset: list[str] | None = None


class _Component(msgspec.Struct, rename="camel"):
    version: str
    configuration_update: _Update | None = None
    run_with: _RunWith | None = None


class _UpdatePolicy(msgspec.Struct):
    timeout: float | None = None
    action: str | None = None


class _ValidationPolicy(msgspec.Struct):
    timeout: float | None = None


class _Document(msgspec.Struct, rename="camel"):
    deployment_id: str
    configuration_arn: str
    creation_timestamp: float | None = None
    on_behalf_of: str | None = None
    components: dict[str, _Component] | None = None
    required_capabilities: list[str] | None = None
    failure_handling_policy: str | None = None
    component_update_policy: _UpdatePolicy | None = None
    configuration_validation_policy: _ValidationPolicy | None = None


@dataclass(frozen=True)
class Order:
    """A document as the nucleus understands it; `created` is seconds since the epoch."""

    fleet: Fleet
    request: host.LocalDeployment
    created: float

    @property
    def is_reference(self) -> bool:
        """Whether the real document is too large and has yet to be downloaded."""
        return LARGE_CONFIGURATION in self.fleet.capabilities


def parse(content: Any, channel: Channel, now: float) -> Order:
    """Return what a document asks for. Raises MalformedError, naming the place in it."""
    try:
        document = msgspec.convert(content, _Document)
    except msgspec.ValidationError as error:
        raise MalformedError(str(error).replace(" - at `$", " at `")) from error
    found = _ARN.fullmatch(document.configuration_arn)
    if not document.deployment_id or not found:
        raise MalformedError(
            f"its configurationArn {document.configuration_arn!r} names no thing or thing group"
            if document.deployment_id
            else "its deploymentId is empty"
        )
    if document.failure_handling_policy not in {None, "ROLLBACK", "DO_NOTHING"}:
        raise MalformedError(
            f"its failureHandlingPolicy is {document.failure_handling_policy!r}; should be "
            "ROLLBACK or DO_NOTHING"
        )
    components = document.components or {}
    fleet = Fleet(
        channel=channel,
        deployment_id=document.deployment_id,
        configuration_arn=document.configuration_arn,
        group=_behalf(document.on_behalf_of) or found[1],
        capabilities=document.required_capabilities or [],
        **_limits(document),
    )
    request = host.LocalDeployment(
        roots_to_add={name: _version(name, one) for name, one in components.items()},
        configuration={
            name: host.ConfigurationUpdate(
                one.configuration_update.merge or {}, one.configuration_update.reset or ()
            )
            for name, one in components.items()
            if one.configuration_update
        },
        run_with={name: _run_with(one.run_with) for name, one in components.items()},
        failure_handling_policy=document.failure_handling_policy or "ROLLBACK",
    )
    created = document.creation_timestamp
    return Order(fleet, request, now if created is None else created * MILLISECOND)


def unknown_capabilities(fleet: Fleet) -> list[str]:
    """Return what a deployment requires and this nucleus does not know."""
    return sorted(set(fleet.capabilities) - CAPABILITIES)


def _behalf(name: str | None) -> str:
    """Return the group that a subdeployment stands for."""
    if not name:
        return ""
    return name if name.startswith(("thing/", "thinggroup/")) else f"thinggroup/{name}"


def _limits(document: _Document) -> Mapping[str, Any]:
    update, validation = document.component_update_policy, document.configuration_validation_policy
    if update is None:
        log.warning("Document without update policy", deployment=document.deployment_id)
    action = (update and update.action) or "NOTIFY_COMPONENTS"
    if action not in {"NOTIFY_COMPONENTS", "SKIP_NOTIFY_COMPONENTS"}:
        raise MalformedError(f"its componentUpdatePolicy has the unknown action {action!r}")
    waits = (update.timeout if update and update.timeout is not None else 60.0) or 0.0
    found: dict[str, Any] = {"update_limit": waits if action == "NOTIFY_COMPONENTS" else None}
    if validation and validation.timeout is not None:
        found["validation_limit"] = validation.timeout
    return found


def _version(name: str, component: _Component) -> str:
    if not is_component_name(name):
        raise MalformedError(f"{name!r} is not a component name")
    try:
        return str(versions.Version.parse(component.version))
    except errors.RecipeError as error:
        raise MalformedError(f"the version of {name}: {error}") from error


def _run_with(given: _RunWith | None) -> host.RunWith:
    limits = (given and given.system_resource_limits) or _Limits()
    return host.RunWith((given and given.posix_user) or None, limits.memory, limits.cpus)
