"""Ends the registration of component versions: reads their artifacts, digests them."""

from __future__ import annotations

import base64
import logging
import sqlite3
import threading

from verge.cloud import errors, ports
from verge.cloud.greengrass import components, recipes
from verge.recipe import model

NOT_ACCESSIBLE = "Specified artifact resource cannot be accessed"

_log = logging.getLogger(__name__)


def inaccessible(recipe: model.Recipe, objects: ports.Objects) -> dict[str, str]:
    """Return the URIs of artifacts that are not in S3, each with what is wrong."""
    missing: dict[str, str] = {}
    for artifact in recipes.artifacts(recipe):
        location = recipes.s3_location(artifact)
        if location is None:
            continue
        try:
            objects.describe(*location)
        except errors.NotFoundError:
            missing[artifact.uri] = NOT_ACCESSIBLE
    return missing


class Worker:
    """A thread that takes every version from REQUESTED to DEPLOYABLE or FAILED.

    The list of versions to do is the store's, so nothing is lost with this process.
    """

    def __init__(self, *, store: components.Store, objects: ports.Objects) -> None:
        self._store = store
        self._objects = objects
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="greengrass digests", daemon=True)

    def start(self) -> None:
        """Begin with what an earlier process left."""
        self._wake.set()
        self._thread.start()

    def stop(self) -> None:
        """End after the version in work."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Tell it that there is a new version."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            for version in self._store.requested():
                if self._stopping:
                    return
                self._settle_safely(version)

    def _settle_safely(self, version: components.Version) -> None:
        """Go on to the next version where one cannot be settled; the next start tries it again."""
        try:
            self._settle(version)
        except (errors.CloudError, OSError, sqlite3.Error):
            _log.exception("Registration failed %s", version.label)

    def _settle(self, version: components.Version) -> None:
        digests: dict[str, str] = {}
        missing: dict[str, str] = {}
        for artifact in recipes.artifacts(version.recipe):
            location = recipes.s3_location(artifact)
            if location is None:
                continue
            try:
                digests[artifact.uri] = self._digest(location)
            except (errors.CloudError, OSError):
                missing[artifact.uri] = NOT_ACCESSIBLE
        self._store.settle(recipes.with_digests(version.recipe, digests), missing)
        _log.info("Registered %s errors=%d", version.label, len(missing))

    def _digest(self, location: tuple[str, str]) -> str:
        return base64.b64encode(self._objects.sha256(*location)).decode()
