"""Local deployments (Greengrass contract 3.10)."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, host, rpc

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

PLAN = "verge.nucleus#PlanLocalDeployment"

_ERRORS = {
    "recipe_directory": "InvalidRecipeDirectoryPathError",
    "artifact_directory": "InvalidArtifactsDirectoryPathError",
}


class Limits(msgspec.Struct):
    """Resource limits of a component: kilobytes, and cores."""

    memory: int | None = None
    cpus: float | None = None


class RunWith(msgspec.Struct):
    """Whom a component runs as, and within what."""

    posix_user: str | None = msgspec.field(name="posixUser", default=None)
    limits: Limits | None = msgspec.field(name="systemResourceLimits", default=None)


class CreateLocalDeployment(msgspec.Struct, rename="camel"):
    """The request of CreateLocalDeployment and of our PlanLocalDeployment."""

    group_name: str | None = None
    root_component_versions_to_add: dict[str, str] | None = None
    root_components_to_remove: list[str] | None = None
    component_to_configuration: dict[str, dict[str, Any]] | None = None
    component_to_run_with_info: dict[str, RunWith] | None = None
    recipe_directory_path: str | None = None
    artifacts_directory_path: str | None = None
    failure_handling_policy: Literal["ROLLBACK", "DO_NOTHING"] | None = None


class OneDeployment(msgspec.Struct):
    """A request that names a deployment."""

    deployment: str | None = msgspec.field(name="deploymentId", default=None)


class DeploymentService:
    """Local deployments, for the command line and whoever has a policy."""

    def __init__(self, deployments: host.Deployments, authorizer: authorization.Authorizer) -> None:
        self._deployments = deployments
        self._authorizer = authorizer

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        name = rpc.NAMESPACE
        yield dispatch.Unary(f"{name}CreateLocalDeployment", CreateLocalDeployment, self.create)
        yield dispatch.Unary(f"{name}GetLocalDeploymentStatus", OneDeployment, self.status)
        yield dispatch.Unary(f"{name}ListLocalDeployments", dispatch.Nothing, self.list_all)
        yield dispatch.Unary(f"{name}CancelLocalDeployment", OneDeployment, self.cancel)
        yield dispatch.Unary(PLAN, CreateLocalDeployment, self.plan)

    def create(self, call: dispatch.Call, request: CreateLocalDeployment) -> dict[str, Any]:
        """Queue a deployment and return its id."""
        self._allow(call)
        try:
            return {"deploymentId": self._deployments.submit(_deployment(request))}
        except host.InvalidDeploymentError as error:
            raise _invalid(error) from error

    def plan(
        self, call: dispatch.Call, request: CreateLocalDeployment
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Return what a deployment would change."""
        if not call.principal.is_cli:
            raise errors.unauthorized(
                f"Principal {call.principal.name} is not authorized to perform {PLAN}"
            )
        return self._plan(_deployment(request))

    async def _plan(self, deployment: host.LocalDeployment) -> dict[str, Any]:
        try:
            return {"changes": list(await self._deployments.plan(deployment))}
        except host.InvalidDeploymentError as error:
            raise _invalid(error) from error

    def status(self, call: dispatch.Call, request: OneDeployment) -> dict[str, Any]:
        """Return one deployment."""
        self._allow(call)
        deployment = _id(request)
        try:
            return {"deployment": _status(self._deployments.status(deployment))}
        except host.UnknownDeploymentError as error:
            raise _unknown(deployment) from error

    def list_all(self, call: dispatch.Call, _request: dispatch.Nothing) -> dict[str, Any]:
        """Return the known deployments, newest first."""
        self._allow(call)
        return {"localDeployments": [_status(each) for each in self._deployments.list()]}

    def cancel(self, call: dispatch.Call, request: OneDeployment) -> dict[str, Any]:
        """Ask to cancel a deployment."""
        self._allow(call)
        deployment = _id(request)
        try:
            return {"message": self._deployments.cancel(deployment)}
        except host.UnknownDeploymentError as error:
            raise _unknown(deployment) from error

    def _allow(self, call: dispatch.Call) -> None:
        name = call.principal.name
        self._authorizer.check(name, authorization.CLI, call.operation, authorization.ANY)


def _deployment(request: CreateLocalDeployment) -> host.LocalDeployment:
    if ":" in (request.group_name or ""):
        raise errors.invalid_arguments("groupName must not contain a colon")
    return host.LocalDeployment(
        group_name=request.group_name or None,
        recipe_directory=request.recipe_directory_path or None,
        artifact_directory=request.artifacts_directory_path or None,
        roots_to_add=request.root_component_versions_to_add or {},
        roots_to_remove=request.root_components_to_remove or (),
        configuration={
            name: _configuration_update(name, update)
            for name, update in (request.component_to_configuration or {}).items()
        },
        run_with={
            name: _run_with(written)
            for name, written in (request.component_to_run_with_info or {}).items()
        },
        failure_handling_policy=request.failure_handling_policy or "DO_NOTHING",
    )


def _configuration_update(name: str, written: dict[str, Any]) -> host.ConfigurationUpdate:
    """Return an update from `{"MERGE": {}, "RESET": []}`, its keys in either case (3.9)."""
    keys = {key.upper(): value for key, value in written.items()}
    if unknown := keys.keys() - {"MERGE", "RESET"}:
        raise errors.invalid_arguments(
            f"componentToConfiguration of {name}: {min(unknown)} is neither MERGE nor RESET"
        )
    merge, reset = keys.get("MERGE") or {}, keys.get("RESET") or []
    if not isinstance(merge, dict) or not isinstance(reset, list):
        raise errors.invalid_arguments(
            f"componentToConfiguration of {name}: MERGE must be an object, RESET a list"
        )
    if not all(isinstance(pointer, str) for pointer in reset):
        raise errors.invalid_arguments(
            f"componentToConfiguration of {name}: RESET must hold JSON pointers"
        )
    return host.ConfigurationUpdate(merge=merge, reset=reset)


def _run_with(written: RunWith) -> host.RunWith:
    limits = written.limits or Limits()
    return host.RunWith(
        posix_user=written.posix_user, memory_kilobytes=limits.memory, cpus=limits.cpus
    )


def _id(request: OneDeployment) -> str:
    deployment: str = errors.required("deploymentId", request.deployment)
    try:
        return str(uuid.UUID(deployment))
    except ValueError as error:
        raise errors.invalid_arguments(f"deploymentId {deployment!r} is no UUID") from error


def _invalid(error: host.InvalidDeploymentError) -> errors.OperationError:
    return errors.OperationError(_ERRORS.get(error.argument, "InvalidArgumentsError"), str(error))


def _unknown(deployment: str) -> errors.OperationError:
    return errors.not_found(
        "LocalDeployment", deployment, f"Local deployment {deployment} is not known"
    )


def _status(deployment: host.DeploymentStatus) -> dict[str, Any]:
    created = dt.datetime.fromtimestamp(deployment.created, dt.UTC)
    fields: dict[str, Any] = {
        "deploymentId": deployment.deployment_id,
        "status": deployment.status,
        "createdOn": created.strftime("%d-%m-%Y %H:%M:%S UTC"),
    }
    details = {
        "detailedDeploymentStatus": deployment.detailed_status,
        "deploymentErrorStack": list(deployment.error_stack),
        "deploymentErrorTypes": list(deployment.error_types),
        "deploymentFailureCause": deployment.failure_cause,
    }
    if told := {key: value for key, value in details.items() if value}:
        fields["deploymentStatusDetails"] = told
    return fields
