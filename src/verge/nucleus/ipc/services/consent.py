"""What components say to a deployment before it changes them (Greengrass contract 3.7, 4.8).

No policy is asked: everyone speaks for itself only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from verge.nucleus.ipc import dispatch, errors, host, rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from verge.nucleus.ipc import streams


class Report(msgspec.Struct, rename="camel"):
    """Whether a component accepts the configuration that a deployment proposes."""

    status: Literal["ACCEPTED", "REJECTED"] | None = None
    deployment_id: str | None = None
    message: str | None = None


class SendConfigurationValidityReport(msgspec.Struct):
    """The request of SendConfigurationValidityReport."""

    report: Report | None = msgspec.field(name="configurationValidityReport", default=None)


class DeferComponentUpdate(msgspec.Struct, rename="camel"):
    """The request of DeferComponentUpdate; the time in milliseconds."""

    deployment_id: str | None = None
    message: str | None = None
    recheck_after_ms: int | None = None


class ConsentService:
    """Validation of configurations and notification of updates."""

    def __init__(self, nucleus: host.Host) -> None:
        self._components = nucleus.components
        self._validation = nucleus.validation
        self._updates = nucleus.updates

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        name = rpc.NAMESPACE
        yield dispatch.Streaming(
            f"{name}SubscribeToValidateConfigurationUpdates",
            dispatch.Nothing,
            "ValidateConfigurationUpdateEvents",
            self.subscribe_to_validation,
        )
        yield dispatch.Unary(
            f"{name}SendConfigurationValidityReport", SendConfigurationValidityReport, self.report
        )
        yield dispatch.Streaming(
            f"{name}SubscribeToComponentUpdates",
            dispatch.Nothing,
            "ComponentUpdatePolicyEvents",
            self.subscribe_to_updates,
        )
        yield dispatch.Unary(f"{name}DeferComponentUpdate", DeferComponentUpdate, self.defer)

    def subscribe_to_validation(
        self, call: dispatch.Call, _request: dispatch.Nothing, stream: streams.Stream
    ) -> Callable[[], None]:
        """Send every proposed configuration of the caller."""

        def ask(deployment: str, configuration: Mapping[str, Any]) -> None:
            event = {"configuration": configuration, "deploymentId": deployment}
            stream.send(msgspec.json.encode({"validateConfigurationUpdateEvent": event}))

        return self._validation.subscribe(call.principal.name, ask)

    def report(self, call: dispatch.Call, request: SendConfigurationValidityReport) -> None:
        """Take the answer of the caller."""
        report: Report = errors.required("configurationValidityReport", request.report)
        status = errors.required("configurationValidityReport.status", report.status)
        deployment = _filled("configurationValidityReport.deploymentId", report.deployment_id)
        try:
            self._validation.report(
                call.principal.name,
                deployment,
                accepted=status == "ACCEPTED",
                message=report.message or "",
            )
        except host.UnknownRequestError as error:
            raise errors.invalid_arguments(str(error)) from error

    def subscribe_to_updates(
        self, call: dispatch.Call, _request: dispatch.Nothing, stream: streams.Stream
    ) -> Callable[[], None]:
        """Send an event before and after every update."""
        name = call.principal.name
        try:
            self._components.details(name)
        except host.UnknownComponentError as error:
            raise errors.not_found("Component", name, f"{name} is no component") from error

        def tell(event: host.PreUpdate | host.PostUpdate) -> None:
            stream.send(msgspec.json.encode(_update_event(event)))

        return self._updates.subscribe(name, tell)

    def defer(self, call: dispatch.Call, request: DeferComponentUpdate) -> None:
        """Take the answer of the caller; one without a time counts as none (contract 3.7)."""
        deployment = _filled("deploymentId", request.deployment_id)
        if request.recheck_after_ms is not None and request.recheck_after_ms < 0:
            raise errors.invalid_arguments("recheckAfterMs must not be negative")
        try:
            self._updates.defer(call.principal.name, deployment, request.recheck_after_ms)
        except host.NotSubscribedError as error:
            raise errors.invalid_arguments(str(error)) from error
        except host.UnknownRequestError as error:
            raise errors.service_error(str(error)) from error


def _filled(field: str, value: str | None) -> str:
    if not value:
        raise errors.invalid_arguments(f"{field} is required")
    return value


def _update_event(event: host.PreUpdate | host.PostUpdate) -> dict[str, Any]:
    if isinstance(event, host.PreUpdate):
        fields = {"deploymentId": event.deployment_id, "isGgcRestarting": event.restarting}
        return {"preUpdateEvent": fields}
    return {"postUpdateEvent": {"deploymentId": event.deployment_id}}
