"""Deployments as they are asked for and as they are remembered (contract 3.8 and 3.10)."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import msgspec

from verge.nucleus import paths
from verge.nucleus.ipc import host
from verge.recipe import errors, versions

LOCAL_GROUP = "LOCAL_DEPLOYMENT"

_COMPONENT_NAME = re.compile(r"[a-zA-Z0-9\-_.]{1,128}")


class Status(StrEnum):
    """What became of a deployment."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    REJECTED = "REJECTED"
    """Of the cloud's only: the document cannot be used, or is older than what was done."""
    CANCELED = "CANCELED"


class Phase(StrEnum):
    """How far a deployment has got, as the next nucleus needs to know it."""

    QUEUED = "QUEUED"
    PREPARING = "PREPARING"
    """Nothing of the device has changed."""
    BOOTSTRAPPING = "BOOTSTRAPPING"
    """The target is fixed and kept, bootstrap steps run; the device state is the former one."""
    ACTIVATED = "ACTIVATED"
    """The device state is the new one; its health is not known."""
    ROLLING_BACK = "ROLLING_BACK"
    """The device state is the former one again; its health is not known."""
    DONE = "DONE"


class Detail(StrEnum):
    """The detailed status of a deployment that has ended."""

    SUCCESSFUL = "SUCCESSFUL"
    NO_STATE_CHANGE = "FAILED_NO_STATE_CHANGE"
    ROLLBACK_NOT_REQUESTED = "FAILED_ROLLBACK_NOT_REQUESTED"
    ROLLBACK_COMPLETE = "FAILED_ROLLBACK_COMPLETE"
    UNABLE_TO_ROLLBACK = "FAILED_UNABLE_TO_ROLLBACK"
    REJECTED = "REJECTED"


class Channel(StrEnum):
    """How a deployment of the cloud reached the device (contract 5.8)."""

    JOB = "JOB"
    SHADOW = "SHADOW"


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment of the cloud has besides (contract 3.2)."""

    channel: Channel
    deployment_id: str
    configuration_arn: str = ""
    group: str = ""
    """`thing/NAME` or `thinggroup/NAME`: whose roots it replaces, all of them."""
    job_id: str = ""
    queued_at: float = 0.0
    """When the job was queued for this device, which tells two runs of one job apart."""
    capabilities: list[str] = []
    validation_limit: float = 30.0
    update_limit: float | None = 60.0
    """Seconds that components may take; None: they are not told of the update."""


class ComponentFault(msgspec.Struct, frozen=True):
    """A component that made a deployment fail, with its last lines of output."""

    component: str
    version: str
    code: str
    reason: str
    lines: tuple[str, ...] = ()


class Record(msgspec.Struct, kw_only=True):
    """A deployment and everything known about it. `created` is seconds since the epoch."""

    id: str
    created: float
    request: host.LocalDeployment
    fleet: Fleet | None = None
    reported: str = ""
    """The last status that the cloud has taken note of."""
    status: Status = Status.QUEUED
    attempts: int = 0
    """How often its preparation was begun."""
    cancel_requested: bool = False
    bootstrapped: list[str] = []
    """The components whose bootstrap step is done."""
    bytes_copied: int = 0
    """Bytes of artifacts that were copied into the store."""
    bytes_fetched: int = 0
    """Bytes of artifacts that came over the network."""
    detail: Detail | None = None
    error_stack: list[str] = []
    error_types: list[str] = []
    failure_cause: str | None = None
    faults: list[ComponentFault] = []

    @property
    def unreported(self) -> bool:
        """Whether the cloud has yet to be told."""
        return (
            bool(self.fleet) and self.status is not Status.QUEUED and self.reported != self.status
        )

    @property
    def origin(self) -> str:
        """Return the group whose roots it replaces."""
        return self.fleet.group if self.fleet else group_of(self.request)

    def as_status(self) -> host.DeploymentStatus:
        """Return what clients may know."""
        return host.DeploymentStatus(
            deployment_id=self.id,
            # Clients of IPC know no REJECTED (contract 3.8).
            status=Status.FAILED if self.status is Status.REJECTED else self.status,
            created=self.created,
            detailed_status=self.detail,
            error_stack=tuple(self.error_stack),
            error_types=tuple(self.error_types),
            failure_cause=self.failure_cause,
        )


def is_component_name(name: str) -> bool:
    """Return whether a component may have this name."""
    return _COMPONENT_NAME.fullmatch(name) is not None


def group_of(request: host.LocalDeployment) -> str:
    """Return the group whose roots a deployment replaces."""
    return f"thinggroup/{request.group_name}" if request.group_name else LOCAL_GROUP


def check(request: host.LocalDeployment, where: paths.Paths) -> None:
    """Refuse a request that can never work. Raises InvalidDeploymentError."""
    if request.group_name and ":" in request.group_name:
        raise host.InvalidDeploymentError(
            "group_name", f"cannot use the group name {request.group_name!r}: it holds a colon"
        )
    _check_directory("recipe_directory", request.recipe_directory)
    artifacts = _check_directory("artifact_directory", request.artifact_directory)
    if artifacts and where.packages.resolve().is_relative_to(artifacts):
        raise host.InvalidDeploymentError(
            "artifact_directory",
            f"cannot take artifacts from {artifacts}: it contains the nucleus's own store",
        )
    for name in [*request.roots_to_add, *request.roots_to_remove, *request.configuration]:
        if not is_component_name(name):
            raise host.InvalidDeploymentError(
                "roots_to_add", f"cannot deploy {name!r}: not a component name"
            )
    for name, requirement in request.roots_to_add.items():
        try:
            versions.Requirement.parse(requirement)
        except errors.RecipeError as error:
            raise host.InvalidDeploymentError(
                "roots_to_add", f"cannot deploy {name}: {error}"
            ) from error


def _check_directory(argument: str, text: str | None) -> Path | None:
    if text is None:
        return None
    directory = Path(text)
    what = argument.replace("_", " ")
    if not directory.is_absolute():
        raise host.InvalidDeploymentError(
            argument, f"cannot use the {what} {text}: give its absolute path"
        )
    if not directory.is_dir():
        raise host.InvalidDeploymentError(
            argument, f"cannot use the {what} {text}: there is no such directory"
        )
    return directory.resolve()
