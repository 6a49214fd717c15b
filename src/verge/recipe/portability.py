"""What in a recipe keeps Greengrass Lite from running what the classic nucleus runs.

The rules are what Lite 2.6 did when it was watched (greengrass-lite-observed, section 1). Some
make a deployment fail, others are worse: Lite cuts a script off at a brace it does not know, runs
what is left and reports success.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from verge.recipe import errors, interpolation, lifecycle, loading, model, pointer, versions

MAX_RECIPE_BYTES = 8196  # Lite reads no larger recipe

_STEP_KEYS = ("Script", "RequiresPrivilege", "Timeout", "Skipif", "Setenv")
_SYSTEM_VARIABLES = frozenset(
    {
        ("artifacts", "path"),
        ("artifacts", "decompressedPath"),
        ("work", "path"),
        ("kernel", "rootPath"),
        ("iot", "thingName"),
    }
)
_UNSUPPORTED_STEPS = {
    "bootstrap": "makes Lite reboot the device every time; use install",
    "startup": "fails on Lite under systemd 252 (Debian 12); use run",
    "shutdown": "is not executed by Lite; let the process end well on SIGTERM",
    "recover": "is not executed by Lite; let run clean up when it starts",
}


class Problem(msgspec.Struct, frozen=True):
    """One finding: the rule's name, where in which file, and one sentence on what to do."""

    rule: str
    path: str
    reason: str
    source: str = "recipe"

    def __str__(self) -> str:
        return ": ".join(part for part in (self.source, self.path, self.reason) if part)


def portability_problems(
    recipe: model.Recipe, *, size: int | None = None, source: str = "recipe"
) -> list[Problem]:
    """Return what keeps the recipe from running on classic and Lite alike, in document order.

    `size` is that of the recipe as it will be published, in bytes; without it, that of the
    recipe written by loading.dump_recipe.
    """
    length = len(loading.dump_recipe(recipe).encode()) if size is None else size
    checks: tuple[Iterator[Problem], ...] = (
        _check_recipe(recipe, length),
        _check_dependencies(recipe),
        _check_global_lifecycle(recipe),
        *(_check_manifest(recipe, index) for index in range(len(recipe.manifests))),
    )
    # Manifests may share a global lifecycle, whose findings are told once.
    found = dict.fromkeys(problem for check in checks for problem in check)
    return [msgspec.structs.replace(problem, source=source) for problem in found]


def _check_recipe(recipe: model.Recipe, size: int) -> Iterator[Problem]:
    if size > MAX_RECIPE_BYTES:
        reason = f"has {size} bytes and Lite reads {MAX_RECIPE_BYTES}; move scripts into artifacts"
        yield Problem("size", "", reason)
    if recipe.type != model.GENERIC:
        yield Problem("type", "ComponentType", f"must be {model.GENERIC}: Lite runs nothing else")
    if not recipe.manifests:
        yield Problem("manifest", "Manifests", "is empty, so no device can run the component")


def _check_dependencies(recipe: model.Recipe) -> Iterator[Problem]:
    for name, dependency in recipe.dependencies.items():
        if not versions.is_portable(dependency.requirement):
            path = f"ComponentDependencies/{name}/VersionRequirement"
            reason = (
                f"{dependency.requirement!r} is not for Lite; write comparators with full "
                "versions, as in '>=1.0.0 <2.0.0'"
            )
            yield Problem("requirement", path, reason)


def _check_global_lifecycle(recipe: model.Recipe) -> Iterator[Problem]:
    users = [m for m in recipe.manifests if not m.lifecycle]
    if not recipe.lifecycle or not users:
        return
    if not {"all", "linux"} & set(recipe.lifecycle) or any(m.selections is None for m in users):
        reason = (
            "must hold its steps under all or linux, with Selections in each manifest that uses "
            "them, for Lite; a Lifecycle in the manifest works everywhere"
        )
        yield Problem("global-lifecycle", "Lifecycle", reason)


def _check_manifest(recipe: model.Recipe, index: int) -> Iterator[Problem]:
    manifest, path = recipe.manifests[index], f"Manifests/{index}"
    yield from _check_platform(manifest, path)
    at = f"{path}/Lifecycle" if manifest.lifecycle else "Lifecycle"
    try:
        steps = lifecycle.select_lifecycle(recipe, manifest)
        parsed = lifecycle.parse_lifecycle(steps)
    except errors.StepError as error:
        yield Problem("lifecycle", error.located(path=at).path, error.reason)
        return
    except errors.RecipeError as error:
        yield Problem("lifecycle", error.path, error.reason)
        return
    if parsed.run is None and parsed.startup is None:
        reason = "has no run, so Lite fails the deployment; a library needs install and run: 'true'"
        yield Problem("run", at if manifest.lifecycle else path, reason)
    yield from _check_steps(steps, at)
    for place, text in _texts(steps, at):
        yield from _check_script(recipe, place, text)


def _check_platform(manifest: model.Manifest, path: str) -> Iterator[Problem]:
    at = f"{path}/Platform"
    if not manifest.platform:
        reason = "is missing, at which Lite aborts the recipe; write {os: linux, runtime: '*'}"
        yield Problem("runtime", at, reason)
    elif manifest.platform.get("runtime") not in {"*", "aws_nucleus_lite"}:
        yield Problem("runtime", f"{at}/runtime", "must be '*': Lite takes no other manifest")
    for key, template in manifest.platform.items():
        if template and template.startswith("/"):
            reason = f"is the regular expression {template}, which Lite does not know"
            yield Problem("regex", f"{at}/{key}", f"{reason}; write one manifest a value")


def _check_steps(steps: dict[str, Any], path: str) -> Iterator[Problem]:
    for name, step in steps.items():
        lower = name.lower()
        if lower not in {*lifecycle.STEPS, "setenv", "lifecycle"}:
            known = ", ".join(lifecycle.STEPS)
            yield Problem("step", f"{path}/{name}", f"is no lifecycle step; those are {known}")
        if lower in lifecycle.STEPS and name != lower:
            yield Problem("key-case", f"{path}/{name}", f"must be written {lower} for Lite")
        if lower in _UNSUPPORTED_STEPS:
            yield Problem("step", f"{path}/{name}", _UNSUPPORTED_STEPS[lower])
        if lower in lifecycle.STEPS and isinstance(step, dict):
            yield from _check_step(step, f"{path}/{name}")


def _check_step(step: dict[str, Any], path: str) -> Iterator[Problem]:
    known = {key.lower(): key for key in _STEP_KEYS}
    for key in step:
        right = known.get(key.lower())
        if right is not None and right != key:
            yield Problem("key-case", f"{path}/{key}", f"must be written {right} for Lite")
        if right == "Skipif":
            reason = "is not executed by Lite; test for it in the script"
            yield Problem("step", f"{path}/{key}", reason)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{path}/{key}")


def _check_script(recipe: model.Recipe, path: str, text: str) -> Iterator[Problem]:
    known = interpolation.placeholders(text)
    for placeholder, component, namespace, key in known:
        if component is not None:
            reason = (
                f"{placeholder} names another component, which Lite cannot look up; use "
                f"{{kernel:rootPath}}/work/{component}/… and let {component} fill it"
            )
            yield Problem("cross-component", path, reason)
        elif namespace == "configuration":
            yield from _check_default(recipe, path, placeholder, key)
        elif (namespace, key) not in _SYSTEM_VARIABLES:
            yield Problem("braces", path, _cut_off(placeholder))
    rest = text
    for placeholder, *_ in known:
        rest = rest.replace(placeholder, "", 1)
    if "{" in rest:
        begin = rest.index("{")
        yield Problem("braces", path, _cut_off(rest[max(begin - 1, 0) : begin + 20].split("\n")[0]))


def _check_default(
    recipe: model.Recipe, path: str, placeholder: str, key: str
) -> Iterator[Problem]:
    try:
        pointer.resolve(recipe.default_configuration, key)
    except pointer.PointerError:
        reason = f"{placeholder} has no value in DefaultConfiguration; give it one"
        yield Problem("default", path, f"{reason}, or Lite cuts the script off there")


def _cut_off(text: str) -> str:
    return f"Lite cuts the script off at {text!r}; write $NAME, or move the logic into an artifact"
