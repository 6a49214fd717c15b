"""Recipes on their way from a component's folder to its build output and into a bundle.

Documents keep the order and the case of their keys, as GDK keeps them (Greengrass contract 6.4);
names of keys match in any case.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verge.fleet import archive, files, gdk
from verge.fleet.errors import FleetError, describe
from verge.fleet.project import Project
from verge.recipe import documents, loading, model, reading, versions
from verge.recipe import errors as recipe_errors

PLACEHOLDER = "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/"
UNRELEASED = "0.0.0"
"""Stands for the version of a component that gets it only when it is bundled or published."""


@dataclass(frozen=True)
class Source:
    """A recipe as it was read: `document` has the keys and the order of the file."""

    path: Path
    place: str
    document: dict[str, Any]
    recipe: model.Recipe

    def file_names(self) -> set[str]:
        """Return the file names of all artifacts with an `s3://` URI."""
        return {
            artifact.file_name
            for manifest in self.recipe.manifests
            for artifact in manifest.artifacts
            if artifact.scheme == "s3"
        }

    def archives(self) -> set[str]:
        """Return the names of the artifacts that devices unpack."""
        return {
            artifact.file_name
            for manifest in self.recipe.manifests
            for artifact in manifest.artifacts
            if artifact.unarchive is model.Unarchive.ZIP
        }


def load_source(project: Project, config: gdk.Config) -> Source:
    """Read and check the recipe of a component; name, version and publisher are the config's."""
    found = [name for name in gdk.RECIPE_NAMES if (config.folder / name).is_file()]
    if len(found) != 1:
        state = (
            "both recipe.json and recipe.yaml" if found else "neither recipe.json nor recipe.yaml"
        )
        raise FleetError(
            f"cannot build {config.name}: {project.relative(config.folder)} has {state}",
            "keep exactly one",
        )
    if config.version != gdk.NEXT_PATCH:
        try:
            versions.Version.parse(config.version)
        except recipe_errors.RecipeError as error:
            where = f"{config.place}: component/{config.name}/version"
            raise FleetError(f"{where}: {error.reason}, or {gdk.NEXT_PATCH}") from error
    path = config.folder / found[0]
    return read_source(path, project.relative(path), config)


def read_source(path: Path, place: str, config: gdk.Config) -> Source:
    """Read a recipe file and put in what `gdk-config.json` says about the component."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FleetError(f"cannot read {place}: {describe(error)}") from error
    _check_size(text, place)
    load = loading.load_json if path.suffix == ".json" else loading.load_yaml
    try:
        document = load(text, source=place)
        if not isinstance(document, dict):
            reading.read_recipe(document)
        set_key(document, "ComponentName", config.name)
        set_key(document, "ComponentVersion", config.version)
        set_key(document, "ComponentPublisher", config.author)
        recipe = reading.read_recipe(_versioned(document), strict=True)
    except recipe_errors.RecipeError as error:
        raise FleetError(str(error.located(source=place))) from error
    return Source(path, place, document, recipe)


def _versioned(document: dict[str, Any]) -> dict[str, Any]:
    released = dict(document)
    if document[_key(document, "ComponentVersion")] == gdk.NEXT_PATCH:
        set_key(released, "ComponentVersion", UNRELEASED)
    return released


def transform(source: Source, config: gdk.Config, produced: Collection[str]) -> bytes:
    """Return the recipe of the build output (Greengrass contract 6.4).

    `produced` holds the names of the files that the build gives; an artifact that is none of them
    and cannot be in a bucket already is refused.
    """
    document = copy.deepcopy(source.document)
    for where, artifact in artifacts(document):
        uri = artifact[_key(artifact, "Uri")]
        if not _is_s3(uri):
            continue
        name = uri.rpartition("/")[2]
        if name in produced:
            artifact[_key(artifact, "Uri")] = PLACEHOLDER + name
        elif not may_be_uploaded(uri):
            raise missing(f"{source.place}: {where}", config, name, produced)
    text = encode(document, source.path.suffix)
    _check_size(text, f"{source.place} as built")
    return text


def release(source: Source, config: gdk.Config, version: str, digests: Mapping[str, str]) -> bytes:
    """Return a built recipe as a cloud hands it out, in YAML (Greengrass contract 1.6, 6.5).

    `digests` maps the files of the build to the base64 of their SHA-256. An artifact with an
    `s3://` URI that is none of them is refused: no device without a cloud could fetch it.
    """
    document = _versioned_copy(source, version)
    for where, artifact in _in_buckets(document):
        name = file_of(artifact)
        if name not in digests:
            raise missing(f"{source.place}: {where}", config, name, digests)
        set_key(artifact, "Uri", f"s3://BUCKET_NAME/{config.name}/{version}/{name}")
        set_key(artifact, "Digest", digests[name])
        set_key(artifact, "Algorithm", "SHA-256")
    return encode(document, ".yaml")


def publication(
    source: Source, config: gdk.Config, version: str, bucket: str, produced: Collection[str]
) -> bytes:
    """Return a built recipe as it is given to a cloud (Greengrass contract 6.5).

    Artifacts of the build are addressed in the bucket; others are there already and stay.
    """
    document = _versioned_copy(source, version)
    for where, artifact in _in_buckets(document):
        name = file_of(artifact)
        if name in produced:
            set_key(artifact, "Uri", f"s3://{bucket}/{config.name}/{version}/{name}")
        elif not may_be_uploaded(artifact[_key(artifact, "Uri")]):
            raise missing(f"{source.place}: {where}", config, name, produced)
    return encode(document, source.path.suffix)


def _versioned_copy(source: Source, version: str) -> dict[str, Any]:
    document = copy.deepcopy(source.document)
    set_key(document, "ComponentVersion", version)
    return document


def _in_buckets(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return (
        (where, artifact)
        for where, artifact in artifacts(document)
        if _is_s3(artifact[_key(artifact, "Uri")])
    )


def file_of(artifact: dict[str, Any]) -> str:
    """Return the file name of an artifact: the last segment of its URI."""
    return str(artifact[_key(artifact, "Uri")]).rpartition("/")[2]


def missing(place: str, config: gdk.Config, name: str, produced: Collection[str]) -> FleetError:
    """Return the error of an artifact that a recipe names and the build does not give."""
    given = ", ".join(sorted(produced)) or "no file"
    return FleetError(
        f"{place}: cannot find the artifact {name}: the build of {config.name} gives {given}",
        f"correct the Uri in the recipe, or what builds it in {config.place}",
    )


def check_output(project: Project, config: gdk.Config) -> None:
    """Refuse what a custom build command left if recipe and artifacts do not fit together."""
    listing = config.output / "recipes"
    with files.explained("read", config.output):
        found = sorted(path for path in listing.iterdir() if path.suffix in loading.SUFFIXES)
        produced = {path.name for path in config.artifacts.iterdir() if path.is_file()}
    if len(found) != 1:
        raise FleetError(
            f"cannot build {config.name}: its command left {len(found)} recipes in "
            f"{project.relative(listing)}",
            "make it put exactly one recipe there",
        )
    source = read_source(found[0], project.relative(found[0]), config)
    for where, artifact in artifacts(source.document):
        uri = artifact[_key(artifact, "Uri")]
        name = uri.rpartition("/")[2]
        if _is_s3(uri) and name not in produced and not may_be_uploaded(uri):
            raise missing(f"{source.place}: {where}", config, name, produced)
    for name in sorted(source.archives() & produced):
        path = config.artifacts / name
        archive.check_zip(path, project.relative(path))


def artifacts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return every artifact of a checked document with its place in it."""
    for number, manifest in enumerate(document.get(_key(document, "Manifests")) or []):
        listed = manifest.get(_key(manifest, "Artifacts")) or []
        for index, artifact in enumerate(listed):
            yield f"Manifests/{number}/Artifacts/{index}", artifact


def _is_s3(uri: str) -> bool:
    return uri[:5].lower() == "s3://"


def may_be_uploaded(uri: str) -> bool:
    """Return whether the bucket of an `s3://` URI is a name that a bucket can have.

    Such an artifact was published by other means; placeholders such as BUCKET_NAME are no bucket.
    """
    bucket = uri.partition("://")[2].partition("/")[0]
    return 3 <= len(bucket) <= 63 and bucket == bucket.lower() and not set(bucket) & set("_{}")


def encode(document: dict[str, Any], suffix: str) -> bytes:
    """Return a document as text in the format of `suffix`, keys in their order."""
    if suffix == ".json":
        return (json.dumps(document, indent=4, ensure_ascii=False) + "\n").encode()
    return documents.dump_yaml(document).encode()


def set_key(mapping: dict[str, Any], name: str, value: object) -> None:
    """Set a key that may be written in another case."""
    mapping[_key(mapping, name)] = value


def _key(mapping: dict[str, Any], name: str) -> str:
    folded = name.casefold()
    return next((key for key in mapping if key.casefold() == folded), name)


def _check_size(text: bytes, place: str) -> None:
    if len(text) > gdk.RECIPE_LIMIT:
        raise FleetError(
            f"{place}: cannot use a recipe of {len(text)} bytes: {gdk.RECIPE_LIMIT} is the most"
        )
