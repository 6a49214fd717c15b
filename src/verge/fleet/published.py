"""Compare what is published with what was built."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

from verge.fleet import recipes
from verge.recipe import model, reading, versions


def newest(texts: Iterable[str]) -> str | None:
    """Return the highest of these versions; None if there is none."""
    found = sorted((versions.Version.parse(text) for text in texts), reverse=True)
    return str(found[0]) if found else None


def has_digests(recipe: bytes, digests: Mapping[str, str]) -> bool:
    """Return whether a published recipe (JSON) states these digests of its artifacts."""
    return all(
        artifact.digest == digests[artifact.file_name]
        for manifest in reading.read_recipe(json.loads(recipe)).manifests
        for artifact in manifest.artifacts
        if artifact.scheme == "s3" and artifact.file_name in digests
    )


def is_same(
    recipe: bytes, source: recipes.Source, version: str, digests: Mapping[str, str]
) -> bool:
    """Return whether a published recipe (JSON) says what a build says, whoever published it.

    The cloud writes keys and defaults in its own way and another tool may use another bucket, so
    meanings are compared, and artifacts by their names and digests.
    """
    theirs = _plain(reading.read_recipe(json.loads(recipe)), {})
    ours = _plain(msgspec.structs.replace(source.recipe, version=version), digests)
    return theirs == ours


def _plain(recipe: model.Recipe, digests: Mapping[str, str]) -> model.Recipe:
    return msgspec.structs.replace(
        recipe,
        manifests=tuple(
            msgspec.structs.replace(
                manifest,
                artifacts=tuple(_artifact(item, digests) for item in manifest.artifacts),
            )
            for manifest in recipe.manifests
        ),
    )


def _artifact(item: model.Artifact, digests: Mapping[str, str]) -> model.Artifact:
    if item.scheme != "s3":
        return msgspec.structs.replace(item, digest=None, algorithm=None)
    digest = digests.get(item.file_name, item.digest)
    return msgspec.structs.replace(item, uri=item.file_name, digest=digest, algorithm=None)
