"""S3 on disk: objects are ours, the settings of buckets are moto's."""

from __future__ import annotations

from verge.cloud import database, ports, settings
from verge.cloud.aws import backend, permissions
from verge.cloud.objects import (
    access,
    files,
    keys,
    multipart,
    reading,
    service,
    store,
    uploads,
    writing,
)

SCHEMA = store.SCHEMA + ";" + keys.SCHEMA


class Storage:
    """The parts put together: `files` for the other parts of the cloud, `service` for HTTP."""

    def __init__(
        self,
        *,
        database: database.Database,
        backend: backend.Backend,
        sessions: ports.Sessions,
        settings: settings.Settings,
    ) -> None:
        self._database = database
        self._backend = backend
        self._settings = settings
        self._store = store.Store(rows=database, directory=settings.state / "objects")
        self._keys = keys.Keys(rows=database, sessions=sessions, backend=backend)
        self.files = files.Files(objects=self._store, keys=self._keys, region=settings.region)

    def service(self, core_devices: ports.CoreDevices) -> service.Service:
        """Return S3 over HTTP; core devices say who may read what."""
        writes = writing.Writing(objects=self._store)
        return service.Service(
            objects=self._store,
            reading=reading.Reading(rows=self._database, objects=self._store),
            writing=writes,
            multipart=multipart.Multipart(
                objects=self._store,
                uploads=uploads.Uploads(rows=self._database, objects=self._store),
                writing=writes,
            ),
            access=access.Access(
                keys=self._keys,
                permissions=permissions.Permissions(backend=self._backend),
                core_devices=core_devices,
            ),
            backend=self._backend,
            region=self._settings.region,
        )


__all__ = ["SCHEMA", "Storage"]
