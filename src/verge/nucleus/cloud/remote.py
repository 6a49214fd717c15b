"""Implements `deployment.remote.Cloud`: patience, and Greengrass's codes for what goes wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from verge.nucleus import logs, threads
from verge.nucleus.cloud import artifacts, backoff, data_plane, downloads, errors
from verge.nucleus.deployment import failures, remote
from verge.nucleus.store import composition
from verge.recipe import model

NO_VERSION = "no usable version"
WRONG_PLATFORM = "claim platform"
"""What the cloud says of a component that exists, in its answers 404 (contract 3.5)."""

IMPATIENT_ATTEMPTS = 2
"""Attempts where something on the device would do, too."""

DOCUMENT_ATTEMPTS = 10
"""Attempts to get a large document that is not there yet (contract 5.7)."""

Result = TypeVar("Result")

log = logs.Logger("cloud")


class Remote:
    """The cloud as deployments see it; works in their threads."""

    def __init__(
        self,
        plane: data_plane.DataPlane,
        downloader: downloads.Downloader,
        waits: Callable[[], backoff.Backoff] = backoff.Backoff,
    ) -> None:
        self._plane = plane
        self._downloader = downloader
        self._waits = waits
        self._arns: dict[tuple[str, str], str] = {}
        self._attributes: Mapping[str, str] = {}

    def thing_groups(self, stop: threads.Stop) -> frozenset[str]:
        """Return the groups that the device is in. Raises OfflineError or DeploymentError."""
        try:
            return self._try(self._plane.thing_groups, stop, attempts=IMPATIENT_ATTEMPTS)
        except errors.CloudError as error:
            raise failures.DeploymentError(
                str(error), "ACCESS_DENIED", "PERMISSION_ERROR"
            ) from error

    def resolve(
        self,
        component: str,
        requirements: Mapping[str, str],
        local: str | None,
        attributes: Mapping[str, str],
        stop: threads.Stop,
        *,
        patient: bool,
    ) -> str | None:
        """Return the recipe that the cloud chooses, None if no version fits."""
        self._attributes = attributes
        try:
            found = self._try(
                lambda: self._plane.resolve(component, requirements, local, attributes),
                stop,
                attempts=None if patient else IMPATIENT_ATTEMPTS,
            )
        except errors.RefusedError as error:
            self._refused(component, error)
            return None
        except errors.CloudError as error:
            raise _bad_answer(error) from error
        self._arns[component, found.version] = found.arn
        return found.recipe

    def _refused(self, component: str, error: errors.RefusedError) -> None:
        if error.status == 404 and WRONG_PLATFORM in error.text:
            raise failures.DeploymentError(
                f"cannot deploy {component} to this device: {error.text}",
                "CURRENT_PLATFORM_NOT_SUPPORTED",
                "COMPONENT_RECIPE_ERROR",
            ) from error
        if error.status in {404, 409}:  # nothing fits, or nothing ever can
            log.warning("No version in the cloud", component=component, reason=error.text)
            return
        if error.status == 403:
            raise failures.DeploymentError(
                str(error),
                "RESOLVE_COMPONENT_CANDIDATES_ACCESS_DENIED",
                "PERMISSION_ERROR",
                within="ACCESS_DENIED",
            ) from error
        raise _bad_answer(error) from error

    def document(self, deployment: str, stop: threads.Stop) -> dict[str, Any]:
        """Return a large device document, waiting for it. Raises DeploymentError."""
        left = DOCUMENT_ATTEMPTS
        waits = self._waits()
        while True:
            try:
                return self._try(lambda: self._plane.configuration(deployment), stop)
            except errors.CloudError as error:
                left -= 1
                gone = isinstance(error, errors.RefusedError) and error.status == 404
                if not gone or not left:
                    denied = isinstance(error, errors.RefusedError) and error.status == 403
                    raise failures.DeploymentError(
                        str(error),
                        "GET_DEPLOYMENT_CONFIGURATION_ACCESS_DENIED"
                        if denied
                        else "DEPLOYMENT_DOCUMENT_NOT_VALID",
                        "PERMISSION_ERROR" if denied else "CLOUD_SERVICE_ERROR",
                    ) from error
            stop.pause(waits.wait())

    def fetch(
        self,
        wanted: Sequence[tuple[model.Recipe, composition.Package]],
        check_space: Callable[[Sequence[composition.Package]], None],
        stop: threads.Stop,
    ) -> tuple[list[composition.Package], int]:
        """Return the packages with their files, and the bytes that came over the network.

        Raises DeploymentError, StoreError (also for a digest that is wrong) or StoppedError.
        """
        count = downloads.Fetched()
        try:
            parts = [(package, self._wanted(recipe, package, stop)) for recipe, package in wanted]
            check_space([self._sized(package, each, stop) for package, each in parts])
            files = [self._filled(package, each, stop, count) for package, each in parts]
        except errors.RefusedError as error:
            raise _not_downloaded(error) from error
        except errors.CloudError as error:
            raise failures.DeploymentError(
                str(error), "ARTIFACT_DOWNLOAD_ERROR", "CLOUD_SERVICE_ERROR"
            ) from error
        return files, count.bytes

    def clear(self) -> None:
        """Remove what was downloaded."""
        self._downloader.clear()

    def _wanted(
        self, recipe: model.Recipe, package: composition.Package, stop: threads.Stop
    ) -> list[artifacts.Wanted]:
        arn = ""
        if any(source.artifact.scheme == "greengrass" for source in package.sources):
            arn = self._arn(recipe, stop)
        return [
            artifacts.Wanted(recipe.name, recipe.version, arn, source.artifact.uri, source.sha256)
            for source in package.sources
        ]

    def _arn(self, recipe: model.Recipe, stop: threads.Stop) -> str:
        """Return the cloud's name of a version, also where it was chosen without the cloud."""
        key = (recipe.name, recipe.version)
        if key not in self._arns:
            exact = {recipe.name: f"={recipe.version}"}
            found = self._try(
                lambda: self._plane.resolve(recipe.name, exact, None, self._attributes), stop
            )
            self._arns[key] = found.arn
        return self._arns[key]

    def _sized(
        self, package: composition.Package, wanted: Sequence[artifacts.Wanted], stop: threads.Stop
    ) -> composition.Package:
        return dataclasses.replace(
            package,
            sources=tuple(
                dataclasses.replace(source, expected=self._downloader.remaining(each, stop))
                for source, each in zip(package.sources, wanted, strict=True)
            ),
        )

    def _filled(
        self,
        package: composition.Package,
        wanted: Sequence[artifacts.Wanted],
        stop: threads.Stop,
        count: downloads.Fetched,
    ) -> composition.Package:
        return dataclasses.replace(
            package,
            sources=tuple(
                dataclasses.replace(
                    source, file=self._downloader.fetch(each, stop, count), verified=True
                )
                for source, each in zip(package.sources, wanted, strict=True)
            ),
        )

    def _try(
        self, work: Callable[[], Result], stop: threads.Stop, *, attempts: int | None = None
    ) -> Result:
        """Repeat what cannot reach the cloud, for ever or so often. Raises OfflineError."""
        waits = self._waits()
        reason = ""
        while True:
            stop.check()
            try:
                return work()
            except errors.UnreachableError as error:
                if attempts is not None:
                    attempts -= 1
                    if not attempts:
                        raise remote.OfflineError(str(error)) from error
                if str(error) != reason:
                    reason = str(error)
                    log.warning("Deployment waits for the cloud", reason=reason)
            stop.pause(waits.wait())


def _bad_answer(error: errors.CloudError) -> failures.DeploymentError:
    return failures.DeploymentError(
        str(error), "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE", "CLOUD_SERVICE_ERROR"
    )


def _not_downloaded(error: errors.RefusedError) -> failures.DeploymentError:
    codes = {
        403: ("S3_GET_OBJECT_ACCESS_DENIED", "PERMISSION_ERROR"),
        404: ("S3_GET_OBJECT_RESOURCE_NOT_FOUND", "REQUEST_ERROR"),
    }
    code, kind = codes.get(error.status, ("S3_GET_OBJECT_ERROR", "CLOUD_SERVICE_ERROR"))
    return failures.DeploymentError(str(error), code, kind, within="ARTIFACT_DOWNLOAD_ERROR")
