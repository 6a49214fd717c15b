"""The recipe model to a plain document, as Greengrass spells it (contract 1.1 and 1.2)."""

from __future__ import annotations

from typing import Any

from verge.recipe import model


def to_document(recipe: model.Recipe) -> dict[str, Any]:
    """Return the recipe as a document in canonical UpperCamelCase; defaults are left out.

    `DependencyType: HARD` is such a default: Greengrass Lite starts a dependent of a component
    without a process only if the type is not written.
    """
    dependencies = {name: _write_dependency(d) for name, d in recipe.dependencies.items()}
    configuration = recipe.default_configuration
    return {
        "RecipeFormatVersion": model.FORMAT_VERSION,
        "ComponentName": recipe.name,
        "ComponentVersion": recipe.version,
        **_present(
            ComponentType=None if recipe.type == model.GENERIC else recipe.type,
            ComponentSource=recipe.source,
            ComponentDescription=recipe.description,
            ComponentPublisher=recipe.publisher,
            ComponentConfiguration={"DefaultConfiguration": configuration} if configuration else {},
            ComponentDependencies=dependencies,
        ),
        "Manifests": [_write_manifest(manifest) for manifest in recipe.manifests],
        **_present(Lifecycle=recipe.lifecycle),
    }


def _write_dependency(dependency: model.Dependency) -> dict[str, str]:
    soft = dependency.type is model.DependencyType.SOFT
    return {
        "VersionRequirement": dependency.requirement,
        **({"DependencyType": dependency.type.value} if soft else {}),
    }


def _write_manifest(manifest: model.Manifest) -> dict[str, Any]:
    selections = None if manifest.selections is None else list(manifest.selections)
    document = _present(
        Name=manifest.name,
        Platform=manifest.platform,
        Lifecycle=manifest.lifecycle,
        Artifacts=[_write_artifact(artifact) for artifact in manifest.artifacts],
    )
    return document if selections is None else {**document, "Selections": selections}


def _write_artifact(artifact: model.Artifact) -> dict[str, Any]:
    permission, default = artifact.permission, model.Permission()
    zipped = artifact.unarchive is not model.Unarchive.NONE
    return _present(
        Uri=artifact.uri,
        Unarchive=artifact.unarchive.value if zipped else None,
        Permission={}
        if permission == default
        else {"Read": permission.read.value, "Execute": permission.execute.value},
        Digest=artifact.digest,
        Algorithm=artifact.algorithm,
    )


def _present(**values: Any) -> dict[str, Any]:
    """Return the values that say something: neither None nor an empty list or mapping."""
    return {
        key: value for key, value in values.items() if value is not None and value not in ([], {})
    }
