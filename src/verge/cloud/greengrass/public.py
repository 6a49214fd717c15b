"""The components that AWS provides and that every nucleus has built in.

Their recipes say what a deployment needs to know: the type and the platforms. What they do is
inside the nucleus.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from verge.recipe import model, versions

NUCLEUS = "aws.greengrass.Nucleus"
NUCLEUS_LITE = "aws.greengrass.NucleusLite"
TOKEN_EXCHANGE = "aws.greengrass.TokenExchangeService"  # noqa: S105 - a component, no secret
CLI = "aws.greengrass.Cli"
SINCE = 1_607_990_400.0
"""When all of them count as made, in seconds since the epoch: 15 December 2020."""

_CLASSIC = (
    *("2.0.5", "2.1.0", "2.2.0", "2.3.0", "2.4.0", "2.5.6", "2.6.0", "2.7.0", "2.8.1", "2.9.6"),
    *("2.10.3", "2.11.3", "2.12.6", "2.13.0", "2.14.3", "2.15.0", "2.16.0", "2.17.0", "2.18.0"),
)
_LITE = ("2.0.2", "2.1.0", "2.2.2", "2.3.0", "2.4.0", "2.5.0", "2.6.0")
_VERSIONS = {
    NUCLEUS: _CLASSIC,
    NUCLEUS_LITE: _LITE,
    TOKEN_EXCHANGE: ("2.0.3",),
    CLI: _CLASSIC,
}
_TYPES = {NUCLEUS: "aws.greengrass.nucleus", NUCLEUS_LITE: "aws.greengrass.nucleus"}
_DESCRIPTIONS = {
    NUCLEUS: "The nucleus: runs components and applies deployments.",
    NUCLEUS_LITE: "The nucleus for devices with little memory.",
    TOKEN_EXCHANGE: "Gives components credentials of the device's role.",
    CLI: "Local deployments and logs from the command line of a device.",
}


def names() -> tuple[str, ...]:
    """Return the names, sorted."""
    return tuple(sorted(_VERSIONS))


@cache
def newest_first(name: str) -> tuple[str, ...]:
    """Return the versions of a component; none if AWS provides none of that name."""
    parsed = sorted(map(versions.Version.parse, _VERSIONS.get(name, ())), reverse=True)
    return tuple(str(version) for version in parsed)


@cache
def recipe(name: str, version: str) -> model.Recipe | None:
    """Return the recipe of a version."""
    if version not in _VERSIONS.get(name, ()):
        return None
    return model.Recipe(
        name=name,
        version=version,
        type=_TYPES.get(name, "aws.greengrass.plugin"),
        description=_DESCRIPTIONS[name],
        publisher="AWS",
        manifests=(model.Manifest(platform=_platform(name), selections=None),),
    )


def recipes(name: str) -> Iterator[model.Recipe]:
    """Return the recipes of a component, newest first."""
    return (found for version in newest_first(name) if (found := recipe(name, version)))


def _platform(name: str) -> dict[str, str | None]:
    return {"os": "linux", "runtime": "aws_nucleus_lite" if name == NUCLEUS_LITE else "*"}
