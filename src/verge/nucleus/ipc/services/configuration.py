"""Reading, changing and following configuration (Greengrass contract 4.8).

No policy is asked: everything may be read, and a component changes only its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, host, rpc

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from verge.nucleus.ipc import streams

_COMPONENT = "componentName"
_KEY_PATH = "keyPath"


class GetConfiguration(msgspec.Struct):
    """The request of GetConfiguration; without a component it is the caller."""

    component: str | None = msgspec.field(name=_COMPONENT, default=None)
    key_path: list[str] | None = msgspec.field(name=_KEY_PATH, default=None)


class UpdateConfiguration(msgspec.Struct):
    """The request of UpdateConfiguration; the time in seconds since the epoch."""

    key_path: list[str] | None = msgspec.field(name=_KEY_PATH, default=None)
    timestamp: float | None = None
    value: Any = msgspec.field(name="valueToMerge", default=None)


class SubscribeToConfigurationUpdate(msgspec.Struct):
    """The request of SubscribeToConfigurationUpdate; without a component it is the caller."""

    component: str | None = msgspec.field(name=_COMPONENT, default=None)
    key_path: list[str] | None = msgspec.field(name=_KEY_PATH, default=None)


class ConfigurationService:
    """The configuration of all components, for components."""

    def __init__(self, configuration: host.Configuration) -> None:
        self._configuration = configuration

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        name = rpc.NAMESPACE
        yield dispatch.Unary(f"{name}GetConfiguration", GetConfiguration, self.get)
        yield dispatch.Unary(f"{name}UpdateConfiguration", UpdateConfiguration, self.update)
        yield dispatch.Streaming(
            f"{name}SubscribeToConfigurationUpdate",
            SubscribeToConfigurationUpdate,
            "ConfigurationUpdateEvents",
            self.subscribe,
        )

    def get(self, call: dispatch.Call, request: GetConfiguration) -> dict[str, Any]:
        """Return an object's content, or a leaf under its own name."""
        component = request.component or call.principal.name
        path = request.key_path or []
        try:
            value = self._configuration.get(component, path)
            if path and not isinstance(value, Mapping):
                value = {self._written(component, path): value}
        except KeyError as error:
            raise _key_not_found(component, path) from error
        return {_COMPONENT: component, "value": value}

    def update(
        self, call: dispatch.Call, request: UpdateConfiguration
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Merge into a container of the caller's own configuration; answer when it is durable."""
        timestamp = errors.required("timestamp", request.timestamp)
        value = errors.required("valueToMerge", request.value)
        if not isinstance(value, dict):
            raise errors.invalid_arguments(
                "valueToMerge must be an object that holds the keys; keyPath names its container"
            )
        path = request.key_path or []
        touched = path[:1] or list(value)
        if any(key.lower() == authorization.ACCESS_CONTROL.lower() for key in touched):
            raise errors.invalid_arguments("accessControl cannot be changed by a component")
        return self._merge(call.principal.name, path, value, timestamp)

    async def _merge(
        self, component: str, path: list[str], value: dict[str, Any], timestamp: float
    ) -> None:
        try:
            await self._configuration.merge(component, path, value, timestamp)
        except host.StaleWriteError as error:
            raise errors.OperationError(
                "FailedUpdateConditionCheckError",
                str(error) or "the present value is newer than the timestamp",
            ) from error
        except KeyError as error:
            raise _key_not_found(component, path) from error

    def subscribe(
        self,
        call: dispatch.Call,
        request: SubscribeToConfigurationUpdate,
        stream: streams.Stream,
    ) -> Callable[[], None]:
        """Send one event for every leaf that changes at or below the path."""
        component = request.component or call.principal.name
        path = request.key_path or []

        def changed(of: str, leaf: Sequence[str]) -> None:
            event = {_COMPONENT: of, _KEY_PATH: list(leaf)}
            stream.send(msgspec.json.encode({"configurationUpdateEvent": event}))

        try:
            return self._configuration.subscribe(component, path, changed)
        except KeyError as error:
            raise _key_not_found(component, path) from error

    def _written(self, component: str, path: list[str]) -> str:
        """Return the leaf's name as it is written in the configuration; any case finds it."""
        container = self._configuration.get(component, path[:-1])
        wanted = path[-1].lower()
        return next((key for key in container if key.lower() == wanted), path[-1])


def _key_not_found(component: str, path: Sequence[str]) -> errors.OperationError:
    return errors.not_found("Configuration", "/".join((component, *path)), "Key not found")
