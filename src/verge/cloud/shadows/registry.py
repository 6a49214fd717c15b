"""The shadow service put together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from verge.cloud import database, ports
from verge.cloud.http import routing
from verge.cloud.shadows import routes, service, store, topics


class Registry:
    """Implements `ports.Shadows`; everything it has accepted survives a kill.

    Call no method of it inside a transaction of the database: it asks the registry of things,
    which has a lock of its own.
    """

    def __init__(
        self,
        *,
        database: database.Database,
        things: ports.Things,
        bus: ports.Bus,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service.Service(
            kept=store.Store(database), things=things, bus=bus, clock=clock
        )
        self._topics = topics.Topics(service=self._service, bus=bus, clock=clock)
        self._clock = clock

    def start(self) -> None:
        """Answer devices."""
        self._topics.subscribe()

    def stop(self) -> None:
        """Nothing goes on between two requests, so there is nothing to end."""

    def routes(self) -> Sequence[routing.Route]:
        """Return the routes of `iot-data` that concern shadows."""
        return routes.of(self._service, self._clock)

    def update(self, thing: str, name: str | None, state: ports.Document) -> None:
        """Merge `{"desired": …}` or `{"reported": …}` and tell the device.

        Raises ShadowError; NotFoundError where the thing does not exist.
        """
        self._service.change(thing, name, state)

    def get(self, thing: str, name: str | None) -> ports.Document | None:
        """Return the whole document (`state`, `metadata`, `version`, `timestamp`) or None."""
        return self._service.find(thing, name)

    def on_update(self, changed: Callable[[str, str | None, ports.Document], None]) -> None:
        """Call back after each accepted update with thing, name and the whole document."""
        self._service.listeners.append(changed)
