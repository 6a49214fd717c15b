"""Component versions as the cloud knows them (Greengrass contract 5.4)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from verge.fleet import aws
from verge.fleet.errors import FleetError

DEPLOYABLE = "DEPLOYABLE"
FAILED = "FAILED"
CONTENT_TAG = "verge:content"
"""Tag of a component version: SHA-256 (hex) of recipe and artifacts as they were built."""

REGISTRATION_SECONDS = 300.0
"""How long the cloud may take to read the artifacts of a version."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


@dataclass(frozen=True)
class Version:
    """A version of a component in the cloud."""

    arn: str
    name: str
    version: str
    state: str
    """REQUESTED, INITIATED, DEPLOYABLE, FAILED or DEPRECATED."""
    message: str = ""
    problems: dict[str, str] = field(default_factory=dict)
    """What is wrong, by the URI of the artifact."""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> str | None:
        """The content it was published with, or None if another tool published it."""
        return self.tags.get(CONTENT_TAG)


class Registry:
    """The component versions of an account."""

    def __init__(self, account: aws.Account, sleep: Callable[[float], None] = time.sleep) -> None:
        self._account = account
        self._sleep = sleep

    @property
    def _client(self) -> Any:
        return self._account.client("greengrassv2")

    def versions(self, name: str) -> list[str]:
        """Return the versions of a component, newest first; none if it has never been published."""
        arn = self._account.arn("greengrass", f"components:{name}")
        return [str(item["componentVersion"]) for item in self._listed(arn)]

    def _listed(self, arn: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_component_versions").paginate(arn=arn)
        try:
            with aws.explained():
                for page in pages:
                    yield from page["componentVersions"]
        except aws.CloudError as error:
            if not error.not_found:
                raise

    def describe(self, name: str, version: str) -> Version | None:
        """Return what the cloud says of a version; None if there is none."""
        arn = self._arn(name, version)
        try:
            with aws.explained():
                answer = self._client.describe_component(arn=arn)
        except aws.CloudError as error:
            if error.not_found:
                return None
            raise
        status = answer.get("status") or {}
        return Version(
            arn=arn,
            name=name,
            version=version,
            state=str(status.get("componentState", "")),
            message=str(status.get("message") or ""),
            problems={str(key): str(text) for key, text in (status.get("errors") or {}).items()},
            tags=dict(answer.get("tags") or {}),
        )

    def recipe(self, name: str, version: str) -> bytes:
        """Return the recipe that the cloud hands out, as JSON, digests included."""
        with aws.explained():
            answer = self._client.get_component(
                arn=self._arn(name, version), recipeOutputFormat="JSON"
            )
        return bytes(answer["recipe"])

    def create(self, recipe: bytes, content: str) -> None:
        """Register a version. Raises CloudError; `.conflict` if the version exists."""
        with aws.explained():
            self._client.create_component_version(inlineRecipe=recipe, tags={CONTENT_TAG: content})

    def delete(self, name: str, version: str) -> None:
        """Remove a version, so that its number can be used again."""
        with aws.explained():
            self._client.delete_component(arn=self._arn(name, version))

    def wait(self, name: str, version: str) -> Version:
        """Return a version once the cloud has decided on it: DEPLOYABLE or FAILED."""
        pause, waited = _FIRST_PAUSE, 0.0
        while waited < REGISTRATION_SECONDS:
            found = self.describe(name, version)
            if found is None:
                raise FleetError(
                    f"cannot publish {name} {version}: it was deleted from the cloud meanwhile",
                    "repeat the command",
                )
            if found.state not in ("REQUESTED", "INITIATED"):
                return found
            self._sleep(pause)
            waited, pause = waited + pause, min(pause * 1.5, _LONGEST_PAUSE)
        raise FleetError(
            f"cannot publish {name} {version}: the cloud has not made it deployable within "
            f"{REGISTRATION_SECONDS:.0f} s",
            "repeat the command, which goes on waiting",
        )

    def _arn(self, name: str, version: str) -> str:
        return self._account.arn("greengrass", f"components:{name}:versions:{version}")
