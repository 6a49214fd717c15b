"""Role aliases with the limits that IoT Core has; moto keeps them without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from werkzeug.wrappers import Request, Response

from verge.cloud.http import answers, routing
from verge.cloud.identity import registry

SHORTEST, LONGEST = 900, 43_200
"""Seconds for which credentials can be valid (CredentialDurationSeconds of botocore's model)."""


class RoleAliases:
    """CreateRoleAlias and UpdateRoleAlias."""

    def __init__(self, known: registry.Registry) -> None:
        self._registry = known

    def routes(self) -> Sequence[routing.Route]:
        """Return what is checked here."""
        return tuple(
            routing.Route.of(method, "/role-aliases/{alias}", self._check)
            for method in ("POST", "PUT")
        )

    def _check(self, request: Request, _: Mapping[str, str]) -> Response:
        body = request.get_json(force=True, silent=True)
        seconds = body.get("credentialDurationSeconds") if isinstance(body, dict) else None
        if seconds is not None and not _valid(seconds):
            return answers.error(
                400,
                "InvalidRequestException",
                f"cannot use credentialDurationSeconds {seconds!r:.40}: give {SHORTEST} to "
                f"{LONGEST}",
            )
        return self._registry.handle(request)


def _valid(seconds: object) -> bool:
    return (
        isinstance(seconds, int)
        and not isinstance(seconds, bool)
        and SHORTEST <= seconds <= LONGEST
    )
