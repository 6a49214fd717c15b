"""Which device sends a request, and whether its policies allow what it asks for."""

from __future__ import annotations

from werkzeug.wrappers import Request, Response

from verge.cloud import errors, ports, settings
from verge.cloud.http import answers
from verge.cloud.identity import policies


class RefusalError(errors.CloudError):
    """A request that is refused, with the answer."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self._status, self._code = status, code

    def response(self) -> Response:
        """Return the answer."""
        return answers.error(self._status, self._code, str(self))


class Guard:
    """Knows devices by their client certificates, at each request anew."""

    def __init__(self, *, settings: settings.Settings, things: ports.Things) -> None:
        self._things = things
        self._region, self._account = settings.region, settings.account

    def device(self, request: Request) -> ports.Device:
        """Return who sends the request. Raises RefusalError."""
        certificate = request.environ.get("verge.peer_certificate")
        device = None if certificate is None else self._things.authenticate(certificate)
        if device is None:
            raise denied(
                "cannot serve this client: it shows no certificate of a device; attach an ACTIVE "
                "one to a thing"
            )
        return device

    def require_self(self, device: ports.Device, thing: str) -> None:
        """Raise RefusalError unless the device speaks of itself."""
        if thing != device.thing:
            raise denied(f"cannot serve {device.thing} what belongs to {thing}")

    def require(self, device: ports.Device, action: str, resource: str) -> None:
        """Raise RefusalError unless policies of the device allow the action on the resource."""
        if not self.allows(device, action, resource):
            raise denied(
                f"cannot serve {device.thing}: no policy of its certificate allows {action} on "
                f"{resource}"
            )

    def allows(self, device: ports.Device, action: str, resource: str) -> bool:
        """Whether policies of the device allow the action on the resource (ARN)."""
        rules = policies.Rules(self._things.policies_of(device), policies.variables(device))
        return rules.allow(action, resource)

    def arn(self, service: str, resource: str) -> str:
        """Return the ARN of a resource of this account."""
        return f"arn:aws:{service}:{self._region}:{self._account}:{resource}"


def denied(message: str) -> RefusalError:
    """Return the refusal that all others end in who may not."""
    return RefusalError(403, "AccessDeniedException", message)
