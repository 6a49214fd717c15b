"""Secrets for components (Greengrass contract 4.8, 4.9). No value is ever logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, rpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verge.nucleus.ipc import host


class GetSecretValue(msgspec.Struct, rename="camel"):
    """The request of GetSecretValue. `refresh` changes nothing: every read is of the store."""

    secret_id: str | None = None
    version_id: str | None = None
    version_stage: str | None = None
    refresh: bool | None = None


class SecretService:
    """The secrets of the device."""

    def __init__(self, store: host.Secrets, authorizer: authorization.Authorizer) -> None:
        self._store = store
        self._authorizer = authorizer

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        yield dispatch.Unary(f"{rpc.NAMESPACE}GetSecretValue", GetSecretValue, self.get)

    def get(self, call: dispatch.Call, request: GetSecretValue) -> dict[str, Any]:
        """Return one version of a secret.

        Policies name ARNs, so the secret is found first; whoever may not read it learns nothing,
        whether there is one or not.
        """
        wanted = request.secret_id
        found = self._store.find(wanted) if wanted else None
        self._authorizer.check(
            call.principal.name,
            authorization.SECRETS,
            call.operation,
            found.arn if found else wanted,
        )
        if not wanted:
            raise errors.invalid_arguments("secretId is required")
        if request.version_id and request.version_stage:
            raise errors.invalid_arguments("give versionId or versionStage, not both")
        version = found.find(request.version_id, request.version_stage) if found else None
        if found is None or version is None:
            what = request.version_id or request.version_stage or "a current version"
            raise errors.not_found(
                "Secret", wanted, f"Secret {wanted} is not on this device, or has no {what}"
            )
        value: dict[str, Any] = (
            {"secretBinary": version.binary}
            if version.text is None
            else {"secretString": version.text}
        )
        return {
            "secretId": found.arn,
            "versionId": version.id,
            "versionStage": version.stages,
            "secretValue": value,
        }
