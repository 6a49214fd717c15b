"""Component versions: registered once, never changed, digested in the background (contract 5.4)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from verge.cloud import database as db
from verge.cloud.greengrass import arns, faults, public, rank, recipes
from verge.recipe import loading, model, versions

REQUESTED = "REQUESTED"
DEPLOYABLE = "DEPLOYABLE"
FAILED = "FAILED"

NO_MESSAGE = "NONE"
"""What the service says where there is nothing to say."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A component version as registered.

    `state` is a word of the API, `errors` maps artifact URIs to what is wrong with them, `account`
    is "aws" for what AWS provides, `created` is in seconds since the epoch.
    """

    account: str
    recipe: model.Recipe
    state: str
    message: str = NO_MESSAGE
    errors: Mapping[str, str] = {}
    created: float = 0.0

    @property
    def name(self) -> str:
        """Return the component's name."""
        return self.recipe.name

    @property
    def version(self) -> str:
        """Return the version."""
        return self.recipe.version

    @property
    def label(self) -> str:
        """Return how messages name it."""
        return f"[{self.name} : {self.version}]"


class Store:
    """The component versions of the account and those of AWS."""

    def __init__(
        self,
        *,
        database: db.Database,
        names: arns.Names,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._names = names
        self._clock = clock
        self.generation = 0
        """Counts changes, for those who remember what they derived from the versions."""

    def add(self, recipe: model.Recipe, *, state: str) -> Version:
        """Register a version. Raises ConflictFault if it exists, in whatever state."""
        version = versions.Version.parse(recipe.version)
        with self._database.transaction():
            existing = self.find(recipe.name, recipe.version)
            if existing is not None:
                raise faults.ConflictFault(
                    f"Component {existing.label} for account [{existing.account}] already exists "
                    f"with state: [{existing.state}]",
                    self.arn(existing),
                    "componentVersion",
                )
            created = self._clock()
            self._database.execute(
                "INSERT INTO greengrass_components VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(recipe.name, recipe.version, rank.of(version), recipes.to_json(recipe)),
                    *(state, NO_MESSAGE, "{}", created),
                ),
            )
            self._add_artifacts(recipe)
        self.generation += 1
        return Version(account=self._names.account, recipe=recipe, state=state, created=created)

    def settle(self, recipe: model.Recipe, errors: Mapping[str, str]) -> None:
        """End the registration of a version: DEPLOYABLE, or FAILED if there are errors."""
        message = "the artifacts that errors names cannot be read" if errors else NO_MESSAGE
        self._database.execute(
            "UPDATE greengrass_components SET recipe = ?, state = ?, message = ?, errors = ?"
            " WHERE name = ? AND version = ? AND state = ?",
            (
                *(recipes.to_json(recipe), FAILED if errors else DEPLOYABLE, message),
                *(json.dumps(dict(errors)), recipe.name, recipe.version, REQUESTED),
            ),
        )
        self.generation += 1

    def remove(self, found: Version) -> None:
        """Remove a version."""
        self._database.execute(
            "DELETE FROM greengrass_components WHERE name = ? AND version = ?",
            (found.name, found.version),
        )
        self.generation += 1

    def find(self, name: str, version: str) -> Version | None:
        """Return a version of this account, else one of AWS, else None."""
        row = self._database.one(
            "SELECT * FROM greengrass_components WHERE name = ? AND version = ?", (name, version)
        )
        return self._read(row) if row else _provided(public.recipe(name, version))

    def requested(self) -> list[Version]:
        """Return the versions whose registration has not ended."""
        rows = self._database.all(
            "SELECT * FROM greengrass_components WHERE state = ? ORDER BY created", (REQUESTED,)
        )
        return list(map(self._read, rows))

    def deployable(self, name: str) -> list[str]:
        """Return the versions that can be deployed, newest first, this account's before AWS's."""
        rows = self._database.all(
            "SELECT version FROM greengrass_components WHERE name = ? AND state = ?"
            " ORDER BY rank DESC",
            (name, DEPLOYABLE),
        )
        own = [str(row["version"]) for row in rows]
        return [*own, *(each for each in public.newest_first(name) if each not in own)]

    def provided(self, name: str) -> Iterator[Version]:
        """Yield the versions of a component that AWS provides, newest first."""
        return (_public(recipe) for recipe in public.recipes(name))

    def provided_numbers(self, name: str) -> list[tuple[str, bytes]]:
        """Return the versions of a component that AWS provides with ranks, newest first."""
        return [
            (version, rank.of(versions.Version.parse(version)))
            for version in public.newest_first(name)
        ]

    def numbers(self, name: str, *, below: bytes | None, most: int) -> list[tuple[str, bytes]]:
        """Return versions of this account with their ranks, newest first, below a rank."""
        rows = self._database.all(
            "SELECT version, rank FROM greengrass_components WHERE name = ?"
            " AND (? IS NULL OR rank < ?) ORDER BY rank DESC LIMIT ?",
            (name, below, below, most),
        )
        return [(row["version"], row["rank"]) for row in rows]

    def latest(self, *, after: str, most: int) -> list[Version]:
        """Return the newest version of each component of this account, by name."""
        rows = self._database.all(
            "SELECT *, max(rank) FROM greengrass_components WHERE name > ?"
            " GROUP BY name ORDER BY name LIMIT ?",
            (after, most),
        )
        return list(map(self._read, rows))

    def owners(self, bucket: str, key: str) -> list[tuple[str, str]]:
        """Return names and versions of the components that an object is an artifact of."""
        rows = self._database.all(
            "SELECT name, version FROM greengrass_artifacts WHERE bucket = ? AND object = ?",
            (bucket, key),
        )
        return [(row["name"], row["version"]) for row in rows]

    def arn(self, found: Version) -> str:
        """Return the ARN of a version."""
        return self._names.version(found.name, found.version, account=found.account)

    def describe(self, found: Version) -> dict[str, Any]:
        """Return what operations say of a version."""
        return {
            "arn": self.arn(found),
            "componentName": found.name,
            "componentVersion": found.version,
            "creationTimestamp": found.created,
            "publisher": found.recipe.publisher,
            "description": found.recipe.description,
            "status": {
                "componentState": found.state,
                "message": found.message,
                "errors": dict(found.errors),
                "vendorGuidance": "ACTIVE",
            },
            "platforms": recipes.platforms(found.recipe),
        }

    def _add_artifacts(self, recipe: model.Recipe) -> None:
        located = {recipes.s3_location(artifact) for artifact in recipes.artifacts(recipe)}
        self._database.executemany(
            "INSERT INTO greengrass_artifacts VALUES (?, ?, ?, ?)",
            [(*place, recipe.name, recipe.version) for place in located if place is not None],
        )

    def _read(self, row: db.Row) -> Version:
        return Version(
            account=self._names.account,
            recipe=loading.parse_recipe(row["recipe"]),
            state=row["state"],
            message=row["message"],
            errors=json.loads(row["errors"]),
            created=row["created"],
        )


def _public(recipe: model.Recipe) -> Version:
    return Version(account=arns.PUBLIC, recipe=recipe, state=DEPLOYABLE, created=public.SINCE)


def _provided(recipe: model.Recipe | None) -> Version | None:
    return None if recipe is None else _public(recipe)
