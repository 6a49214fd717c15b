"""Which version of a component a device gets: ResolveComponentCandidates (contract 5.7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from verge.cloud.greengrass import components, faults, recipes
from verge.recipe import errors, platforms, versions

RESOURCE = "component"


def resolve(
    store: components.Store, candidate: Mapping[str, Any], attributes: Mapping[str, str]
) -> dict[str, Any]:
    """Return the highest DEPLOYABLE version that all requirements and the platform allow.

    `candidate` is one of `componentCandidates`; `attributes` are the platform's. Raises
    NotFoundFault with the fragments that nuclei look for ("no usable version", "claim platform"),
    ConflictFault where requirements exclude one another, and ValidationFault.
    """
    name = candidate.get("componentName")
    if name is None:
        raise faults.invalid("componentName", "each candidate must have a componentName")
    wanted = _requirements(candidate)
    deployable = store.deployable(name)
    fitting = [version for version in deployable if _allows(wanted.values(), version)]
    if not fitting:
        raise _refusal(name, wanted, deployable)
    for version in fitting:
        found = store.find(name, version)
        if found is not None and _claims(found, attributes):
            return _answer(store, found)
    claimed = " ".join(f"{key}={value}" for key, value in sorted(attributes.items())) or "none"
    raise faults.NotFoundFault(
        f"The component {name} has versions that satisfy {_text(wanted)} but none of them claim "
        f"platform [{claimed}] compatibility; add a manifest for it",
        name,
        RESOURCE,
    )


def _requirements(candidate: Mapping[str, Any]) -> dict[str, versions.Requirement]:
    given = candidate.get("versionRequirements", {})
    try:
        parsed = {who: versions.Requirement.parse(text) for who, text in given.items()}
        if not parsed and (exact := candidate.get("componentVersion")):
            parsed = {"componentVersion": versions.Requirement.parse(exact)}
    except errors.RequirementError as error:
        raise faults.invalid("versionRequirements", str(error)) from None
    return parsed


def _allows(wanted: Iterable[versions.Requirement], version: str) -> bool:
    return all(requirement.allows(version) for requirement in wanted)


def _refusal(
    name: str,
    wanted: Mapping[str, versions.Requirement],
    deployable: Sequence[str],
) -> faults.Fault:
    each_alone = all(
        any(requirement.allows(version) for version in deployable)
        for requirement in wanted.values()
    )
    if len(wanted) > 1 and each_alone and deployable:
        return faults.ConflictFault(
            f"The requirements on the component {name} exclude one another: there is no usable "
            f"version for {_text(wanted)}; change one of them",
            name,
            RESOURCE,
        )
    return faults.NotFoundFault(
        f"The component {name} has no usable version that satisfies {_text(wanted)}; publish one "
        "or change the requirement",
        name,
        RESOURCE,
    )


def _claims(version: components.Version, attributes: Mapping[str, str]) -> bool:
    try:
        return platforms.select_manifest(version.recipe, attributes) is not None
    except errors.RecipeError:
        return False  # a regular expression that cannot be read claims no platform


def _answer(store: components.Store, version: components.Version) -> dict[str, Any]:
    return {
        "arn": store.arn(version),
        "componentName": version.name,
        "componentVersion": version.version,
        "recipe": recipes.to_json(version.recipe).encode(),
        "vendorGuidance": "ACTIVE",
    }


def _text(wanted: Mapping[str, versions.Requirement]) -> str:
    return ", ".join(f"{who}: {requirement}" for who, requirement in wanted.items()) or "*"
