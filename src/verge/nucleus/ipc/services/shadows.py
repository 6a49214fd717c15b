"""Shadows of things for components (Greengrass contract 4.8, 4.9)."""

from __future__ import annotations

import base64
import binascii
import contextlib
import time
from typing import TYPE_CHECKING, Any

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, rpc
from verge.nucleus.shadows import documents, shadows

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from verge.nucleus.ipc import host

_PAGE = 25
_LONGEST_PAGE = 100


class OneShadow(msgspec.Struct, rename="camel"):
    """The request of GetThingShadow and of DeleteThingShadow; no name means the classic one."""

    thing_name: str | None = None
    shadow_name: str | None = None


class UpdateThingShadow(OneShadow):
    """The request of UpdateThingShadow; the payload is base64 on the wire."""

    payload: bytes | None = None


class ListNamedShadowsForThing(msgspec.Struct, rename="camel"):
    """The request of ListNamedShadowsForThing."""

    thing_name: str | None = None
    next_token: str | None = None
    page_size: int | None = None


class ShadowService:
    """Shadows, and the local topics that tell of them."""

    def __init__(
        self,
        store: host.Shadows,
        authorizer: authorization.Authorizer,
        deliver: Callable[[str, bytes], None],
    ) -> None:
        self._store = store
        self._authorizer = authorizer
        store.publish = deliver

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        name = rpc.NAMESPACE
        yield dispatch.Unary(f"{name}GetThingShadow", OneShadow, self.get)
        yield dispatch.Unary(f"{name}UpdateThingShadow", UpdateThingShadow, self.update)
        yield dispatch.Unary(f"{name}DeleteThingShadow", OneShadow, self.delete)
        yield dispatch.Unary(
            f"{name}ListNamedShadowsForThing", ListNamedShadowsForThing, self.list_names
        )

    def get(self, call: dispatch.Call, request: OneShadow) -> dict[str, Any]:
        """Return a shadow."""
        thing, name = self._admit(call, request)
        with _explained(request):
            return {"payload": self._store.get(thing, name)}

    def update(
        self, call: dispatch.Call, request: UpdateThingShadow
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Merge an update into a shadow, which is made if there is none."""
        thing, name = self._admit(call, request)
        payload: bytes = errors.required("payload", request.payload)
        return _answer(request, self._store.update(thing, name, payload))

    def delete(
        self, call: dispatch.Call, request: OneShadow
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Remove a shadow."""
        thing, name = self._admit(call, request)
        return _answer(request, self._store.delete(thing, name))

    def list_names(self, call: dispatch.Call, request: ListNamedShadowsForThing) -> dict[str, Any]:
        """Return one page of the names of a thing's named shadows."""
        self._check(call, request.thing_name)
        thing: str = errors.required("thingName", request.thing_name)
        most = _PAGE if request.page_size is None else request.page_size
        if not 1 <= most <= _LONGEST_PAGE:
            raise errors.invalid_arguments(f"pageSize must be 1 to {_LONGEST_PAGE}")
        try:
            found = self._store.names(thing, _read_token(request.next_token), most + 1)
        except documents.RequestError as error:
            raise errors.invalid_arguments(str(error)) from error
        fields: dict[str, Any] = {"results": list(found[:most]), "timestamp": time.time()}
        if len(found) > most:
            fields["nextToken"] = base64.urlsafe_b64encode(found[most - 1].encode()).decode()
        return fields

    def _admit(self, call: dispatch.Call, request: OneShadow) -> tuple[str, str]:
        thing, name = request.thing_name, request.shadow_name or ""
        self._check(call, None if thing is None else shadows.Key(thing, name).prefix)
        return errors.required("thingName", thing), name

    def _check(self, call: dispatch.Call, resource: str | None) -> None:
        self._authorizer.check(call.principal.name, authorization.SHADOWS, call.operation, resource)


async def _answer(request: OneShadow, write: Coroutine[Any, Any, bytes]) -> dict[str, Any]:
    with _explained(request):
        return {"payload": await write}


@contextlib.contextmanager
def _explained(request: OneShadow) -> Iterator[None]:
    try:
        yield
    except documents.RequestError as error:
        if error.code == 404:
            name = request.shadow_name or request.thing_name or ""
            raise errors.not_found("Shadow", name, str(error)) from error
        if error.code == 409:
            raise errors.OperationError("ConflictError", str(error)) from error
        raise errors.invalid_arguments(str(error)) from error


def _read_token(token: str | None) -> str:
    try:
        return base64.b64decode(token, b"-_", validate=True).decode() if token else ""
    except (binascii.Error, ValueError) as error:
        raise errors.invalid_arguments("nextToken is not of a former answer") from error
