"""Who is let in, and whether they may stay: answers of the registry, which may take a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from verge.cloud import ports
from verge.cloud import settings as configuration
from verge.cloud.broker import authorization


class Admitted:
    """A connection that was let in; its permissions change when policies do."""

    def __init__(
        self,
        *,
        certificate: bytes,
        device: ports.Device,
        client_id: str,
        permissions: authorization.Permissions,
        cut: Callable[[], None],
    ) -> None:
        self.certificate = certificate
        self.device = device
        self.client_id = client_id
        self.permissions = permissions
        self.cut = cut


class Admission:
    """Asks the registry; its methods may be called from any thread."""

    def __init__(self, *, settings: configuration.Settings, things: ports.Things) -> None:
        self._settings = settings
        self._things = things

    def authenticate(self, certificate: bytes) -> ports.Device | None:
        """Return whom a certificate (DER) stands for."""
        return self._things.authenticate(certificate)

    def judge(
        self, connections: Iterable[Admitted]
    ) -> list[tuple[Admitted, authorization.Permissions | None]]:
        """Return the permissions of each connection now; None for one that has to go."""
        judged: list[tuple[Admitted, authorization.Permissions | None]] = []
        for each in connections:
            permissions = None
            if self._things.authenticate(each.certificate) == each.device:
                permissions = self.permissions(each.device, each.client_id)
            allowed = permissions is not None and permissions.connect()
            judged.append((each, permissions if allowed else None))
        return judged

    def permissions(self, device: ports.Device, client_id: str) -> authorization.Permissions:
        """Return what a device may do under a client id."""
        return authorization.Permissions(
            settings=self._settings,
            device=device,
            client_id=client_id,
            documents=self._things.policies_of(device),
        )
