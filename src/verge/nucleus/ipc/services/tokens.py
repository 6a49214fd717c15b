"""Tokens and passwords: who somebody is (Greengrass contract 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, rpc

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from verge.nucleus.ipc import host

STREAM_MANAGER = "aws.greengrass.StreamManager"


class ValidateAuthorizationToken(msgspec.Struct):
    """The request of ValidateAuthorizationToken."""

    token: str | None = None


class TokenService:
    """Whether a token is somebody's, and passwords for people."""

    def __init__(
        self,
        components: host.Components,
        passwords: host.DebugPasswords,
        authorizer: authorization.Authorizer,
    ) -> None:
        self._components = components
        self._passwords = passwords
        self._authorizer = authorizer

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        name = rpc.NAMESPACE
        yield dispatch.Unary(
            f"{name}ValidateAuthorizationToken", ValidateAuthorizationToken, self.validate
        )
        yield dispatch.Unary(
            f"{name}CreateDebugPassword", dispatch.Nothing, self.create_debug_password
        )

    def validate(self, call: dispatch.Call, request: ValidateAuthorizationToken) -> dict[str, Any]:
        """Tell the stream manager, and nobody else, whether a token belongs to a component."""
        if call.principal.name != STREAM_MANAGER:
            raise errors.unauthorized(
                f"Principal {call.principal.name} is not authorized to perform {call.operation}"
            )
        token: str = errors.required("token", request.token)
        if not token or self._components.component_of_token(token) is None:
            raise errors.OperationError("InvalidTokenError", "the token belongs to nobody here")
        return {"isValid": True}

    def create_debug_password(
        self, call: dispatch.Call, _request: dispatch.Nothing
    ) -> Coroutine[Any, Any, dispatch.Fields]:
        """Return a new password for the debug console.

        The console speaks plain HTTP on loopback, so there are no certificates to name.
        """
        self._authorizer.check(
            call.principal.name, authorization.CLI, call.operation, authorization.ANY
        )
        return self._create()

    async def _create(self) -> dict[str, Any]:
        made = await self._passwords.create()
        return {
            "username": made.user,
            "password": made.password,
            "passwordExpiration": made.expires,
        }
