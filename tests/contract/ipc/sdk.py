"""The unmodified AWS IoT device SDK, its two clients behind one face."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any, Protocol

from awsiot.greengrasscoreipc import client as v1
from awsiot.greengrasscoreipc import clientv2 as v2
from awsiot.greengrasscoreipc import connect, model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TIMEOUT = 10.0


class Stream:
    """The events of a subscription, in order; `closed` and errors are marked."""

    def __init__(self) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.errors: queue.Queue[Exception] = queue.Queue()
        self.ended: queue.Queue[None] = queue.Queue()
        self.end: Callable[[], None] = lambda: None

    def next(self) -> Any:
        """Return the next event."""
        return self.events.get(timeout=TIMEOUT)

    def failed(self, error: Exception) -> bool:
        self.errors.put(error)
        return True


class Sdk(Protocol):
    """A connected client."""

    def call(self, operation: str, **fields: Any) -> Any:
        """Call an operation by its Python name and return the response."""

    def subscribe(self, operation: str, **fields: Any) -> Stream:
        """Subscribe and return the stream once the response is there."""

    def close(self) -> None:
        """Close the connection."""


class Connect(Protocol):
    """Connects a client as a component."""

    def __call__(self, name: str = ...) -> Sdk:
        """Return a client, closed after the test."""


def _camel(name: str) -> str:
    # The SDK writes IoTCore where Python names say iot_core.
    return "".join(part.capitalize() for part in name.split("_")).replace("IotCore", "IoTCore")


class V1:
    """The first client: an operation is an object."""

    def __init__(self, path: Path, token: str) -> None:
        self._client = connect(ipc_socket=str(path), authtoken=token, timeout=TIMEOUT)

    def call(self, operation: str, **fields: Any) -> Any:
        request = getattr(model, f"{_camel(operation)}Request")(**fields)
        running = getattr(self._client, f"new_{operation}")()
        running.activate(request)
        return running.get_response().result(TIMEOUT)

    def subscribe(self, operation: str, **fields: Any) -> Stream:
        stream = Stream()
        base = getattr(v1, f"{_camel(operation)}StreamHandler")

        class Handler(base):  # type: ignore[misc, valid-type]  # the SDK is not typed
            def on_stream_event(self, event: Any) -> None:
                stream.events.put(event)

            def on_stream_error(self, error: Exception) -> bool:
                return stream.failed(error)

            def on_stream_closed(self) -> None:
                stream.ended.put(None)

        running = getattr(self._client, f"new_{operation}")(Handler())
        running.activate(getattr(model, f"{_camel(operation)}Request")(**fields))
        running.get_response().result(TIMEOUT)
        stream.end = lambda: running.close().result(TIMEOUT)
        return stream

    def close(self) -> None:
        self._client.close().result(TIMEOUT)


class V2:
    """The second client: an operation is a method. Events in order need `executor=None`."""

    def __init__(self, path: Path, token: str) -> None:
        connection = connect(ipc_socket=str(path), authtoken=token, timeout=TIMEOUT)
        self._client = v2.GreengrassCoreIPCClientV2(client=connection, executor=None)

    def call(self, operation: str, **fields: Any) -> Any:
        return getattr(self._client, operation)(**fields)

    def subscribe(self, operation: str, **fields: Any) -> Stream:
        stream = Stream()
        _, running = getattr(self._client, operation)(
            **fields,
            on_stream_event=stream.events.put,
            on_stream_error=stream.failed,
            on_stream_closed=lambda: stream.ended.put(None),
        )
        stream.end = lambda: running.close().result(TIMEOUT)
        return stream

    def close(self) -> None:
        self._client.close().result(TIMEOUT)


def json_message(value: Any) -> Any:
    """Return a message of a JSON document."""
    return model.PublishMessage(json_message=model.JsonMessage(message=value))


def binary_message(value: bytes) -> Any:
    """Return a message of bytes."""
    return model.PublishMessage(binary_message=model.BinaryMessage(message=value))
