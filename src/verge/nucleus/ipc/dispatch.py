"""From the name of an operation to its handler, and from what that returns to an answer.

A unary handler takes a Call and the request and returns the response's fields (None: no fields),
or a coroutine that does, if it takes time. A streaming handler takes a Call, the request and a
Stream and returns what to call when the stream ends; the events it sends later follow the
response, never precede it; a handler that has an event at once answers first. Handlers raise
errors.OperationError.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from verge.nucleus import errors as nucleus_errors
from verge.nucleus.ipc import errors, nesting, rpc, streams

if TYPE_CHECKING:
    from verge.nucleus.ipc import connection, framing, principals

Fields = dict[str, Any] | None
Request = TypeVar("Request", bound=msgspec.Struct)

_EMPTY = b"{}"

logger = logging.getLogger(__name__)


class Nothing(msgspec.Struct):
    """A request without fields."""


class Call:
    """One request that is being served."""

    __slots__ = ("_number", "_operation", "answered", "member")

    def __init__(self, member: connection.Connection, number: int, operation: Operation) -> None:
        self.member = member
        self._number = number
        self._operation = operation
        self.answered = False

    @property
    def principal(self) -> principals.Principal:
        """Who asks."""
        return self.member.principal

    @property
    def operation(self) -> str:
        """The full name of the operation."""
        return self._operation.name

    def answer(self, fields: Fields = None) -> None:
        """Send the response now, before what the handler still does."""
        payload = msgspec.json.encode(fields) if fields else _EMPTY
        if not streams.fits(payload):
            raise errors.service_error(f"cannot answer {self.operation}: the answer is too long")
        self.answered = True
        self.member.send(self._operation.response.message(self._number, payload))

    def fail(self, error: errors.OperationError) -> None:
        """Send an error."""
        send_error(self.member, self._number, error)


class _Operation(Generic[Request]):
    """An operation: how its requests are read and its responses look."""

    flags = 0

    def __init__(self, name: str, request: type[Request]) -> None:
        self.name = name
        self.response = rpc.Template(
            rpc.MessageType.APPLICATION_MESSAGE, self.flags, f"{name}Response"
        )
        self._decode = msgspec.json.Decoder(request).decode

    def read(self, payload: framing.Payload) -> Request:
        """Return the request. Raises OperationError if it is malformed."""
        try:
            if not payload.isascii():
                payload.decode()  # JSON that passes unread to others must be text, too
            request = self._decode(payload or _EMPTY)
        except msgspec.ValidationError as error:
            raise errors.invalid_arguments(f"cannot read the request: {error}") from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise errors.service_error(f"cannot read the request: {error}") from error
        if nesting.is_deep(payload):
            raise errors.invalid_arguments("the request is nested too deeply")
        return request


class Unary(_Operation[Request]):
    """An operation with one response."""

    flags = rpc.Flag.TERMINATE_STREAM

    def __init__(
        self,
        name: str,
        request: type[Request],
        handle: Callable[[Call, Request], Fields | Coroutine[Any, Any, Fields]],
    ) -> None:
        super().__init__(name, request)
        self._handle = handle

    def serve(self, call: Call, number: int, payload: framing.Payload) -> None:
        """Handle the request and answer."""
        result = self._handle(call, self.read(payload))
        if call.answered:
            return
        if result is None or isinstance(result, dict):
            call.answer(result)
        else:
            call.member.call_started()
            call.member.owner.spawn(_finish(call, result), name=f"{self.name} {number}")


class Streaming(_Operation[Request]):
    """An operation with a response and then events of the shape `event`."""

    def __init__(
        self,
        name: str,
        request: type[Request],
        event: str,
        handle: Callable[[Call, Request, streams.Stream], Callable[[], None]],
    ) -> None:
        super().__init__(name, request)
        self._event = rpc.Template(rpc.MessageType.APPLICATION_MESSAGE, 0, rpc.NAMESPACE + event)
        self._handle = handle

    def serve(self, call: Call, number: int, payload: framing.Payload) -> None:
        """Handle the request, answer and keep the stream open."""
        most = call.member.owner.limits
        if len(payload) > most.subscription_request:
            raise errors.invalid_arguments("the request is too long for a subscription")
        if call.principal.streams >= most.principal_streams:
            raise errors.service_error(f"more than {most.principal_streams} open streams")
        stream = streams.Stream(call.member, number, self._event)
        on_close = self._handle(call, self.read(payload), stream)
        if not call.answered:
            call.answer()
        stream.open(on_close)


Operation = Unary[Any] | Streaming[Any]


def serve(member: connection.Connection, number: int, name: str, payload: framing.Payload) -> None:
    """Serve the request that opens a stream, whatever comes of it."""
    operation = member.owner.operations.get(name)
    if operation is None:
        send_error(member, number, errors.not_supported(name))
        return
    try:
        operation.serve(Call(member, number, operation), number, payload)
    except errors.OperationError as error:
        send_error(member, number, error)
    except Exception as error:  # noqa: BLE001  # one handler's defect must not end a connection
        send_error(member, number, _unexpected(name, error))


async def _finish(call: Call, result: Coroutine[Any, Any, Fields]) -> None:
    try:
        call.answer(await result)
    except errors.OperationError as error:
        call.fail(error)
    except Exception as error:  # noqa: BLE001  # as above
        call.fail(_unexpected(call.operation, error))
    finally:
        call.member.call_finished()


def send_error(member: connection.Connection, number: int, error: errors.OperationError) -> None:
    """Send an error and end its stream."""
    member.send(
        rpc.Template(
            rpc.MessageType.APPLICATION_ERROR, rpc.Flag.TERMINATE_STREAM, error.model
        ).message(number, error.body())
    )


def _unexpected(name: str, error: Exception) -> errors.OperationError:
    if isinstance(error, nucleus_errors.NucleusError):  # it says itself what is wrong
        logger.error("Operation failed operation=%s reason=%s", name, error)
        return errors.service_error(str(error))
    logger.error("Operation failed unexpectedly operation=%s", name, exc_info=error)
    return errors.service_error(f"internal error: {error!r}")
