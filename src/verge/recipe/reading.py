"""Plain documents to the recipe model, with every rule checked (contract 1.1, 1.2 and 1.6)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NoReturn, TypeVar

from verge.recipe import errors, lifecycle, model, platforms, semver, versions

MAX_NAME = 128
SCHEMES = ("s3", "greengrass", "docker")

_NAME = re.compile(r"[a-zA-Z0-9_.-]+")
_RECIPE_KEYS = (
    "RecipeFormatVersion",
    "ComponentName",
    "ComponentVersion",
    "ComponentType",
    "ComponentSource",
    "ComponentDescription",
    "ComponentPublisher",
    "ComponentConfiguration",
    "ComponentDependencies",
    "Manifests",
    "Lifecycle",
)
_MANIFEST_KEYS = ("Name", "Platform", "Lifecycle", "Selections", "Artifacts")
_ARTIFACT_KEYS = ("Uri", "Unarchive", "Permission", "Digest", "Algorithm")

_Choice = TypeVar("_Choice", bound=StrEnum)


def read_recipe(document: Any, *, strict: bool = False) -> model.Recipe:
    """Return the recipe in a document; a RecipeError names the path of the first mistake.

    Modelled keys and fixed words match in any case (contract 1.1). `strict` is for building:
    unknown keys, unknown artifact schemes, broken regular expressions, broken lifecycle steps and
    artifacts that would share a file on the device are refused, which a device tolerates.
    """
    fields = _Fields(document, "", _RECIPE_KEYS, strict=strict)
    if fields.text("RecipeFormatVersion", required=True) != model.FORMAT_VERSION:
        fields.fail("RecipeFormatVersion", f"must be {model.FORMAT_VERSION}")
    configuration = fields.child("ComponentConfiguration", ("DefaultConfiguration",))
    recipe = model.Recipe(
        name=_read_name(fields),
        version=_read_version(fields),
        type=_read_type(fields),
        source=fields.text("ComponentSource"),
        description=fields.text("ComponentDescription"),
        publisher=fields.text("ComponentPublisher"),
        default_configuration=configuration.mapping("DefaultConfiguration"),
        dependencies=_read_dependencies(fields),
        manifests=tuple(_read_manifest(item) for item in fields.items("Manifests", _MANIFEST_KEYS)),
        lifecycle=fields.mapping("Lifecycle"),
    )
    if strict:
        _refuse_broken_steps(recipe)
    return recipe


class _Fields:
    """The values of one mapping by canonical key, with the place for messages."""

    def __init__(self, value: Any, path: str, known: tuple[str, ...], *, strict: bool) -> None:
        if not isinstance(value, dict):
            raise errors.RecipeError("must be a mapping", path=path)
        self.path = path
        self.strict = strict
        self._values: dict[str, Any] = {}
        canonical = {key.lower(): key for key in known}
        for key, item in value.items():
            name = canonical.get(key.lower())
            if name is None:
                if strict:
                    self.fail(key, f"is not a known key; known here are {', '.join(known)}")
            elif name in self._values:
                self.fail(key, f"is there twice, as {name} in another case")
            else:
                self._values[name] = item

    def fail(self, key: str, reason: str) -> NoReturn:
        raise errors.RecipeError(reason, path=self.at(key))

    def at(self, key: str) -> str:
        return f"{self.path}/{key}" if self.path else key

    def text(self, key: str, *, required: bool = False) -> str | None:
        value = self._values.get(key)
        if value is None:
            return self.fail(key, "is missing") if required else None
        if not isinstance(value, str):
            self.fail(
                key,
                f"must be text; put quotes around {value}" if _is_scalar(value) else "must be text",
            )
        return value

    def choice(self, key: str, kind: type[_Choice], default: _Choice) -> _Choice:
        text = self.text(key)
        if text is None:
            return default
        try:
            return kind(text.upper())
        except ValueError:
            self.fail(key, f"must be {_either(kind)}")

    def mapping(self, key: str) -> dict[str, Any]:
        value = self._values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(key, "must be a mapping")
        return value

    def child(self, key: str, known: tuple[str, ...]) -> _Fields:
        return _Fields(self.mapping(key), self.at(key), known, strict=self.strict)

    def list(self, key: str) -> list[Any] | None:
        value = self._values.get(key)
        if value is not None and not isinstance(value, list):
            self.fail(key, "must be a list")
        return value

    def items(self, key: str, known: tuple[str, ...]) -> Iterable[_Fields]:
        path = self.at(key)
        for index, item in enumerate(self.list(key) or ()):
            yield _Fields(item, f"{path}/{index}", known, strict=self.strict)


def _read_name(fields: _Fields) -> str:
    name = fields.text("ComponentName", required=True) or ""
    check_name(name, fields.at("ComponentName"))
    return name


def check_name(name: str, path: str = "") -> None:
    """Refuse what cannot name a component; `.` and `..` would also lead out of its directory."""
    if len(name) > MAX_NAME:
        raise errors.RecipeError(f"must have {MAX_NAME} characters at most", path=path)
    if _NAME.fullmatch(name) is None or name in {".", ".."}:
        reason = "must be made of letters, digits, '-', '_' and '.'"
        raise errors.RecipeError(reason, path=path)


def _read_version(fields: _Fields) -> str:
    text = fields.text("ComponentVersion", required=True) or ""
    try:
        return str(semver.Version.parse(text))
    except errors.RequirementError as error:
        raise error.located(path=fields.at("ComponentVersion")) from None


def _read_type(fields: _Fields) -> str:
    text = fields.text("ComponentType")
    if text is None:
        return model.GENERIC
    if text.lower() not in model.COMPONENT_TYPES:
        fields.fail("ComponentType", f"must be one of {', '.join(model.COMPONENT_TYPES)}")
    return text.lower()


def _read_dependencies(fields: _Fields) -> dict[str, model.Dependency]:
    dependencies = {}
    for name, value in fields.mapping("ComponentDependencies").items():
        path = fields.at(f"ComponentDependencies/{name}")
        check_name(name, path)
        one = _Fields(value, path, ("VersionRequirement", "DependencyType"), strict=fields.strict)
        requirement = one.text("VersionRequirement", required=True) or ""
        try:
            versions.Requirement.parse(requirement)
        except errors.RequirementError as error:
            raise error.located(path=one.at("VersionRequirement")) from None
        kind = one.choice("DependencyType", model.DependencyType, model.DependencyType.HARD)
        dependencies[name] = model.Dependency(requirement, kind)
    return dependencies


def _read_manifest(fields: _Fields) -> model.Manifest:
    artifacts = tuple(_read_artifact(item) for item in fields.items("Artifacts", _ARTIFACT_KEYS))
    if fields.strict:
        _refuse_collisions(fields, artifacts)
    selections = fields.list("Selections")
    if any(not isinstance(item, str) for item in selections or ()):
        fields.fail("Selections", "must be a list of text")
    return model.Manifest(
        name=fields.text("Name"),
        platform=_read_platform(fields),
        lifecycle=fields.mapping("Lifecycle"),
        selections=None if selections is None else tuple(selections),
        artifacts=artifacts,
    )


def _refuse_broken_steps(recipe: model.Recipe) -> None:
    for index, manifest in enumerate(recipe.manifests):
        path = f"Manifests/{index}/Lifecycle" if manifest.lifecycle else "Lifecycle"
        selected = lifecycle.select_lifecycle(recipe, manifest)
        try:
            lifecycle.parse_lifecycle(selected)
        except errors.StepError as error:
            raise error.located(path=path) from None


def _read_platform(fields: _Fields) -> dict[str, str | None]:
    platform = fields.mapping("Platform")
    for key, template in platform.items():
        if template is not None and not isinstance(template, str):
            fields.fail(f"Platform/{key}", "must be text")
        if fields.strict and template and template.startswith("/"):
            try:
                platforms.expression(key, template)
            except errors.RecipeError as error:
                raise error.located(path=fields.path) from None
    return platform


def _read_artifact(fields: _Fields) -> model.Artifact:
    permission = fields.child("Permission", ("Read", "Execute"))
    artifact = model.Artifact(
        uri=fields.text("Uri", required=True) or "",
        unarchive=fields.choice("Unarchive", model.Unarchive, model.Unarchive.NONE),
        permission=model.Permission(
            read=permission.choice("Read", model.Access, model.Access.OWNER),
            execute=permission.choice("Execute", model.Access, model.Access.NONE),
        ),
        digest=fields.text("Digest"),
        algorithm=fields.text("Algorithm"),
    )
    if fields.strict and artifact.scheme not in SCHEMES:
        fields.fail("Uri", f"must begin with one of {', '.join(f'{s}:' for s in SCHEMES)}")
    if artifact.scheme != "docker" and not _is_file_name(artifact.file_name):
        fields.fail("Uri", "must end in a file name")
    return artifact


def _is_file_name(name: str) -> bool:
    return name not in {"", ".", ".."} and not set(name) & {"\\", "\0"}


def _refuse_collisions(fields: _Fields, artifacts: Iterable[model.Artifact]) -> None:
    seen: dict[str, int] = {}
    for index, artifact in enumerate(artifacts):
        if artifact.scheme == "docker":
            continue
        first = seen.setdefault(artifact.file_name, index)
        if first != index:
            reason = f"ends in {artifact.file_name} as Artifacts/{first}/Uri does; rename one"
            fields.fail(f"Artifacts/{index}/Uri", reason)


def _either(kind: type[StrEnum]) -> str:
    *first, last = (member.value for member in kind)
    return f"{', '.join(first)} or {last}"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | bool)
