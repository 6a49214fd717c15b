"""States of components: reported by themselves, looked at and changed by others (contract 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, host, rpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator


class UpdateState(msgspec.Struct):
    """The request of UpdateState."""

    state: Literal["RUNNING", "ERRORED"] | None = None


class OneComponent(msgspec.Struct):
    """A request that names a component."""

    component: str | None = msgspec.field(name="componentName", default=None)


class LifecycleService:
    """The components, for themselves and for the command line."""

    def __init__(self, components: host.Components, authorizer: authorization.Authorizer) -> None:
        self._components = components
        self._authorizer = authorizer

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        name = rpc.NAMESPACE
        yield dispatch.Unary(f"{name}UpdateState", UpdateState, self.update_state)
        yield dispatch.Unary(f"{name}GetComponentDetails", OneComponent, self.details)
        yield dispatch.Unary(f"{name}ListComponents", dispatch.Nothing, self.list_all)
        yield dispatch.Unary(f"{name}RestartComponent", OneComponent, self.restart)
        yield dispatch.Unary(f"{name}StopComponent", OneComponent, self.stop)
        yield dispatch.Unary(f"{name}PauseComponent", OneComponent, self.pause)
        yield dispatch.Unary(f"{name}ResumeComponent", OneComponent, self.resume)

    def update_state(self, call: dispatch.Call, request: UpdateState) -> None:
        """Take the state that a component reports; no policy, since it changes only itself."""
        state = errors.required("state", request.state)
        try:
            self._components.report_state(call.principal.name, state)
        except host.UnknownComponentError as error:
            raise _unknown(call.principal.name) from error

    def details(self, call: dispatch.Call, request: OneComponent) -> dict[str, Any]:
        """Return one component."""
        self._allow(call, authorization.CLI, request.component)
        return {"componentDetails": _details(self._find(request))}

    def list_all(self, call: dispatch.Call, _request: dispatch.Nothing) -> dict[str, Any]:
        """Return all components."""
        self._allow(call, authorization.CLI, authorization.ANY)
        return {"components": [_details(each) for each in self._components.list()]}

    def restart(
        self, call: dispatch.Call, request: OneComponent
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Restart a component."""
        self._allow(call, authorization.CLI, request.component)
        name = errors.required("componentName", request.component)
        return _outcome(name, self._components.restart, "restartStatus")

    def stop(
        self, call: dispatch.Call, request: OneComponent
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Stop a component."""
        self._allow(call, authorization.CLI, request.component)
        name = errors.required("componentName", request.component)
        return _outcome(name, self._components.stop, "stopStatus")

    def pause(self, call: dispatch.Call, request: OneComponent) -> None:
        """Freeze a component."""
        self._allow(call, authorization.LIFECYCLE, request.component)
        _freeze(self._components.pause, request)

    def resume(self, call: dispatch.Call, request: OneComponent) -> None:
        """Let a frozen component go on."""
        self._allow(call, authorization.LIFECYCLE, request.component)
        _freeze(self._components.resume, request)

    def _allow(self, call: dispatch.Call, service: str, resource: str | None) -> None:
        self._authorizer.check(call.principal.name, service, call.operation, resource)

    def _find(self, request: OneComponent) -> host.ComponentDetails:
        name = errors.required("componentName", request.component)
        try:
            return self._components.details(name)
        except host.UnknownComponentError as error:
            raise _unknown(name) from error


async def _outcome(name: str, act: Callable[[str], Awaitable[None]], status: str) -> dict[str, Any]:
    try:
        await act(name)
    except host.UnknownComponentError as error:
        raise _unknown(name) from error
    except ValueError as error:
        return {status: "FAILED", "message": str(error)}
    return {status: "SUCCEEDED"}


def _freeze(act: Callable[[str], None], request: OneComponent) -> None:
    name = errors.required("componentName", request.component)
    try:
        act(name)
    except host.UnknownComponentError as error:
        raise _unknown(name) from error
    except host.UnsupportedError as error:
        raise errors.service_error(str(error)) from error
    except ValueError as error:
        raise errors.invalid_arguments(str(error)) from error


def _unknown(name: str) -> errors.OperationError:
    return errors.not_found("Component", name, f"Component {name} is not installed")


def _details(component: host.ComponentDetails) -> dict[str, Any]:
    """Return the fields of contract 4.8 and three of ours; clients ignore what they don't know."""
    return {
        "componentName": component.name,
        "version": component.version,
        "state": component.state,
        "configuration": component.configuration,
        "statusReason": component.status_reason,
        "isRoot": bool(component.groups),
        "groups": component.groups,
    }
