"""Recipes as CreateComponentVersion takes them and as devices get them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from verge.cloud.greengrass import faults
from verge.recipe import documents, errors, loading, model

MAX_BYTES = 16_000
"""Bytes of a recipe that the service takes."""
ALGORITHM = "SHA-256"

_TOP_LEVEL = frozenset(
    {
        *("recipeformatversion", "componentname", "componentversion", "componenttype"),
        *("componentsource", "componentdescription", "componentpublisher"),
        *("componentconfiguration", "componentdependencies", "manifests", "lifecycle"),
    }
)


def parse(content: bytes) -> model.Recipe:
    """Return the recipe in a blob of JSON or YAML. Raises ValidationFault.

    Refused beyond what a device refuses: keys at the top that the published schema does not know
    (contract 1.1), no manifest, unknown artifact schemes and more than MAX_BYTES.
    """
    if len(content) > MAX_BYTES:
        raise faults.invalid(
            "inlineRecipe", f"the recipe has {len(content)} bytes; {MAX_BYTES} is the most"
        )
    try:
        recipe = loading.parse_recipe(content)
        _check_keys(content)
    except errors.RecipeError as error:
        raise faults.invalid("inlineRecipe", str(error)) from None
    if not recipe.manifests:
        raise faults.invalid("inlineRecipe", "recipe: Manifests: must have at least one manifest")
    for artifact in artifacts(recipe):
        _check_uri(artifact)
    return recipe


def artifacts(recipe: model.Recipe) -> Iterator[model.Artifact]:
    """Yield the artifacts of all manifests."""
    return (artifact for manifest in recipe.manifests for artifact in manifest.artifacts)


def s3_location(artifact: model.Artifact) -> tuple[str, str] | None:
    """Return bucket and key of an artifact in S3, None for one that lies elsewhere."""
    if artifact.scheme != "s3":
        return None
    bucket, _, key = artifact.uri[len("s3://") :].partition("/")
    return bucket, key


def with_digests(recipe: model.Recipe, digests: Mapping[str, str]) -> model.Recipe:
    """Return the recipe with digests (base64, by URI) for its artifacts and no others."""

    def digested(artifact: model.Artifact) -> model.Artifact:
        digest = digests.get(artifact.uri)
        return msgspec.structs.replace(
            artifact, digest=digest, algorithm=None if digest is None else ALGORITHM
        )

    manifests = tuple(
        msgspec.structs.replace(manifest, artifacts=tuple(map(digested, manifest.artifacts)))
        for manifest in recipe.manifests
    )
    return msgspec.structs.replace(recipe, manifests=manifests)


def to_json(recipe: model.Recipe) -> str:
    """Return the recipe as JSON in canonical case, as it is stored and sent to devices."""
    return json.dumps(loading.to_document(recipe), ensure_ascii=False, separators=(",", ":"))


def platforms(recipe: model.Recipe) -> list[dict[str, Any]]:
    """Return `platforms` of DescribeComponent: name and attributes of each manifest's platform."""
    return [_platform(manifest) for manifest in recipe.manifests]


def _platform(manifest: model.Manifest) -> dict[str, Any]:
    attributes = {key: value or "*" for key, value in manifest.platform.items()}
    friendly = " ".join(attributes[key] for key in ("os", "architecture") if key in attributes)
    return {"name": manifest.name or friendly or "all", "attributes": attributes}


def _check_keys(content: bytes) -> None:
    text = documents.decode(content, "recipe")
    load = documents.load_json if text.lstrip().startswith("{") else documents.load_yaml
    for key in load(text):
        if key.lower() not in _TOP_LEVEL:
            raise errors.RecipeError("is not a key of a recipe", path=key, source="recipe")


def _check_uri(artifact: model.Artifact) -> None:
    parts = urlsplit(artifact.uri) if artifact.scheme == "s3" else None
    known = artifact.scheme in {"greengrass", "docker"} and artifact.uri.partition(":")[2]
    if not known and not (parts and parts.netloc and parts.path.strip("/")):
        raise faults.invalid(
            "inlineRecipe",
            f"the artifact URI {artifact.uri} is none of s3://BUCKET/KEY, greengrass:NAME and "
            "docker:IMAGE",
        )
