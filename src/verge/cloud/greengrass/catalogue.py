"""The operations on components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verge.cloud import database as db
from verge.cloud import errors, ports
from verge.cloud.greengrass import (
    arns,
    components,
    digests,
    faults,
    idempotency,
    pages,
    public,
    recipes,
    resolution,
    tags,
)
from verge.recipe import documents, loading

Params = Mapping[str, Any]
Result = dict[str, Any]

URL_SECONDS = 3600
RESOURCE = "componentVersion"


class Catalogue:
    """Registers, shows and resolves component versions. All raise Fault."""

    def __init__(
        self,
        *,
        database: db.Database,
        names: arns.Names,
        store: components.Store,
        worker: digests.Worker,
        objects: ports.Objects,
        tokens: idempotency.Tokens,
        tagged: tags.Tags,
    ) -> None:
        self._database = database
        self._names = names
        self._store = store
        self._worker = worker
        self._objects = objects
        self._tokens = tokens
        self._tags = tagged

    def create(self, params: Params) -> Result:
        """Register a version; what its artifacts are is found out in the background."""
        _require_one_source(params)
        recipe = recipes.parse(params["inlineRecipe"])
        if missing := digests.inaccessible(recipe, self._objects):
            listed = ", ".join(f"{uri} = {reason}" for uri, reason in missing.items())
            raise faults.invalid(
                "inlineRecipe", f"Encountered following errors in Artifacts: {{{listed}}}"
            )
        with self._database.transaction():
            version = self._store.add(recipe, state=components.REQUESTED)
            described = self._store.describe(version)
            result = {
                key: described[key]
                for key in ("arn", "componentName", "componentVersion", "creationTimestamp")
            }
            result["status"] = described["status"]
            self._tokens.keep("CreateComponentVersion", params.get("clientToken"), result)
            self._tags.add(self._store.arn(version), params.get("tags", {}))
        self._worker.wake()
        return result

    def describe(self, params: Params) -> Result:
        """Return what is known of a version, less the recipe."""
        found = self.require(params["arn"])
        return {**self._store.describe(found), "tags": self._tags.of(params["arn"]) or None}

    def get(self, params: Params) -> Result:
        """Return the recipe of a version, with digests."""
        found = self.require(params["arn"])
        wanted = params.get("recipeOutputFormat", "JSON")
        as_yaml = wanted == "YAML"
        text = (
            documents.dump_yaml(loading.to_document(found.recipe))
            if as_yaml
            else recipes.to_json(found.recipe)
        )
        return {
            "recipeOutputFormat": wanted,
            "recipe": text.encode(),
            "tags": self._tags.of(params["arn"]) or None,
        }

    def artifact_url(self, params: Params, host: str) -> Result:
        """Return a URL that reads an artifact for URL_SECONDS from `host` ("https://NAME:PORT").

        `artifactName` is the artifact's URI after its scheme, or its file name.
        """
        found = self.require(params["arn"])
        name = params["artifactName"]
        for artifact in recipes.artifacts(found.recipe):
            path = artifact.uri.partition(":")[2].lstrip("/")
            location = recipes.s3_location(artifact)
            if location is not None and name in {path, artifact.file_name}:
                try:
                    url = self._objects.presigned_url(*location, host=host, seconds=URL_SECONDS)
                except errors.NotFoundError:
                    break
                return {"preSignedUrl": url}
        raise faults.NotFoundFault(
            f"cannot find the artifact {name} of {found.label}", name, "artifact"
        )

    def delete(self, params: Params) -> Result:
        """Remove a version; deployments that name it fail from now on."""
        found = self.require(params["arn"])
        if found.account == arns.PUBLIC:
            raise faults.AccessFault(f"cannot delete {params['arn']}: it is AWS's")
        if found.state == components.REQUESTED:
            raise faults.ConflictFault(
                f"cannot delete {found.label} while it is {found.state}", params["arn"], RESOURCE
            )
        with self._database.transaction():
            self._store.remove(found)
            self._tags.forget(params["arn"])
        return {}

    def list_components(self, params: Params) -> Result:
        """Return a page of components, by name, each with its newest version."""
        page = pages.Page.of("ListComponents", params)
        after = str(page.after or "")
        if params.get("scope", "PRIVATE") == "PUBLIC":
            newest = [next(self._store.provided(name)) for name in public.names() if name > after]
        else:
            newest = self._store.latest(after=after, most=page.fetch)
        shown, token = page.cut(newest, lambda version: version.name)
        return {"components": list(map(self._latest, shown)), "nextToken": token}

    def list_versions(self, params: Params) -> Result:
        """Return a page of a component's versions, newest first; none for an unknown one."""
        component = self._component(params["arn"])
        page = pages.Page.of("ListComponentVersions", params)
        rows = self._numbers(component, page)
        shown, token = page.cut(rows, lambda row: row[1])
        listed = [
            {
                "componentName": component.name,
                "componentVersion": version,
                "arn": self._names.version(component.name, version, account=component.account),
            }
            for version, _ in shown
        ]
        return {"componentVersions": listed, "nextToken": token}

    def resolve(self, params: Params) -> Result:
        """Return the version that a device gets of each candidate."""
        attributes = params.get("platform", {}).get("attributes", {})
        return {
            "resolvedComponentVersions": [
                resolution.resolve(self._store, candidate, attributes)
                for candidate in params.get("componentCandidates", ())
            ]
        }

    def require(self, arn: str) -> components.Version:
        """Return the version that an ARN names."""
        named = self._component(arn)
        found = None if named.version is None else self._store.find(named.name, named.version)
        if found is None or self._store.arn(found) != arn:
            raise faults.NotFoundFault(f"cannot find the component version {arn}", arn, RESOURCE)
        return found

    def _component(self, arn: str) -> arns.Component:
        named = arns.Component.parse(arn)
        if named is None:
            raise faults.invalid("arn", f"{arn} is the ARN of no component")
        if named.account not in {arns.PUBLIC, self._names.account}:
            raise faults.AccessFault(f"cannot read {arn}: it belongs to another account")
        return named

    def _numbers(self, component: arns.Component, page: pages.Page) -> list[tuple[str, str]]:
        """Return versions with the key of their place, the rank in hexadecimal."""
        if component.account == arns.PUBLIC:
            ranked = self._store.provided_numbers(component.name)
        else:
            below = None if page.after is None else _rank(str(page.after))
            ranked = self._store.numbers(component.name, below=below, most=page.fetch)
        keyed = [(version, place.hex()) for version, place in ranked]
        return [row for row in keyed if page.after is None or row[1] < str(page.after)]

    def _latest(self, version: components.Version) -> Result:
        described = self._store.describe(version)
        latest = ("arn", "componentVersion", "creationTimestamp")
        return {
            "arn": self._names.component(version.name, account=version.account),
            "componentName": version.name,
            "latestVersion": {
                **{key: described[key] for key in latest},
                "description": version.recipe.description or None,
                "publisher": version.recipe.publisher or None,
                "platforms": described["platforms"],
            },
        }


def _rank(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise faults.invalid("nextToken", "the nextToken is not one that this list gave") from None


def _require_one_source(params: Params) -> None:
    if ("inlineRecipe" in params) == ("lambdaFunction" in params):
        raise faults.invalid(
            "inlineRecipe", "exactly one of inlineRecipe and lambdaFunction must be given"
        )
    if "lambdaFunction" in params:
        raise faults.invalid(
            "lambdaFunction",
            "the local cloud imports no Lambda functions; give the component a recipe",
        )
