"""The lifecycle a manifest gets, and its steps (contract 1.7)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec

from verge.recipe import errors, model

STEPS = ("bootstrap", "install", "startup", "run", "shutdown", "recover", "uninstall")
DEFAULT_TIMEOUTS: dict[str, float | None] = {  # seconds
    "bootstrap": 120.0,
    "install": 120.0,
    "startup": 120.0,
    "run": None,
    "shutdown": 15.0,
    "recover": 60.0,
    "uninstall": 120.0,
}
DEFAULT_ERROR_RESET = 3600.0  # seconds; the error window of contract 2.4

_SKIPIF = re.compile(
    r"\s*(?P<not>!?)\s*(?P<kind>onpath|exists)\s+(?P<what>\S.*?)\s*", re.IGNORECASE
)


class SkipifKind(StrEnum):
    """What a step can be skipped for: a program on PATH or a file."""

    ON_PATH = "onpath"
    EXISTS = "exists"


class Skipif(msgspec.Struct, frozen=True):
    """Skip the step if `argument` is there, or if it is not where `negated`."""

    kind: SkipifKind
    argument: str
    negated: bool = False


class Step(msgspec.Struct, frozen=True):
    """One step: a shell script and how to run it. `timeout` is in seconds, None for no limit."""

    script: str
    requires_privilege: bool = False
    timeout: float | None = None
    skipif: Skipif | None = None
    setenv: dict[str, str] = {}


class Lifecycle(msgspec.Struct, frozen=True):
    """The steps of a component; None where it has none. `error_reset` is in seconds."""

    setenv: dict[str, str] = {}
    bootstrap: Step | None = None
    install: Step | None = None
    startup: Step | None = None
    run: Step | None = None
    shutdown: Step | None = None
    recover: Step | None = None
    uninstall: Step | None = None
    error_reset: float = DEFAULT_ERROR_RESET


def select_lifecycle(recipe: model.Recipe, manifest: model.Manifest) -> dict[str, Any]:
    """Return the manifest's own lifecycle, or what its selections leave of the global one."""
    if manifest.lifecycle:
        return manifest.lifecycle
    keywords = {"all"}
    for one in recipe.manifests:
        keywords.update(one.selections or ())
    selections = manifest.selections or model.DEFAULT_SELECTIONS
    selected = _select(recipe.lifecycle, keywords, selections)
    if selected is None:
        return {}
    if not isinstance(selected, dict):
        raise errors.RecipeError("must hold steps below its selections", path="Lifecycle")
    return selected


def _select(value: Any, keywords: set[str], selections: Sequence[str]) -> Any:
    """Replace each level that has keywords by the selected value; None where there is none."""
    if not isinstance(value, dict):
        return value
    if keywords.isdisjoint(value):
        kept = {key: _select(item, keywords, selections) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None}
    for selection in (*selections, "all"):
        if selection in value:
            return _select(value[selection], keywords, selections)
    return None


def parse_lifecycle(lifecycle: Mapping[str, Any]) -> Lifecycle:
    """Return the typed steps of a selected lifecycle; keys match in any case.

    Raises StepError, which names the step, for a step that cannot be used.
    """
    fields = _lower_keys(lifecycle)
    settings = fields.get("lifecycle")
    reset = _lower_keys(settings).get("errorresettime") if isinstance(settings, dict) else None
    steps = {name: _step(name, fields.get(name)) for name in STEPS}
    return Lifecycle(
        setenv=_setenv("setenv", fields.get("setenv")),
        error_reset=_seconds("lifecycle", "errorResetTime", reset) or DEFAULT_ERROR_RESET,
        **steps,
    )


def parse_skipif(text: str) -> Skipif:
    """Return the condition `[!] onpath <program>` or `[!] exists <file>`."""
    match = _SKIPIF.fullmatch(text)
    if match is None:
        raise errors.RecipeError(f"must be 'onpath <program>' or 'exists <file>', not {text!r}")
    kind = SkipifKind(match["kind"].lower())
    return Skipif(kind, match["what"], negated=bool(match["not"]))


def _lower_keys(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {str(key).lower(): value for key, value in mapping.items()}


def _fail(step: str, key: str, reason: str) -> errors.StepError:
    return errors.StepError(reason, step=step, path="/".join(p for p in (step, key) if p))


def _step(name: str, value: Any) -> Step | None:
    default = DEFAULT_TIMEOUTS[name]
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return Step(_script(name, "", value), timeout=default)
    if not isinstance(value, Mapping):
        raise _fail(name, "", "must be a script or a mapping with the key Script")
    fields = _lower_keys(value)
    script = fields.get("script")
    if not isinstance(script, str):
        raise _fail(name, "Script", "is missing; a step in map form needs it as text")
    timeout = _seconds(name, "Timeout", fields.get("timeout"))
    return Step(
        _script(name, "Script", script),
        requires_privilege=_flag(name, "RequiresPrivilege", fields.get("requiresprivilege")),
        timeout=default if timeout is None else timeout,
        skipif=_skipif(name, fields.get("skipif")),
        setenv=_setenv(name, fields.get("setenv")),
    )


def _script(step: str, key: str, text: str) -> str:
    if "\0" in text:
        raise _fail(step, key, "cannot run: no shell takes a script with a null character")
    return text


def _skipif(step: str, value: Any) -> Skipif | None:
    if value is None or value == "":
        return None
    try:
        return parse_skipif(str(value))
    except errors.RecipeError as error:
        raise _fail(step, "Skipif", error.reason) from None


def _flag(step: str, key: str, value: Any) -> bool:
    """Return a truth value that may have come as text, as YAML does on Greengrass Lite."""
    if value is None or isinstance(value, bool):
        return bool(value)
    text = str(value).strip().lower()
    if text not in {"true", "false"}:
        raise _fail(step, key, f"must be true or false, not {value!r}")
    return text == "true"


def _seconds(step: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise _fail(step, key, f"must be a number of seconds above 0, not {value!r}")
    return seconds


def _setenv(step: str, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    key = "" if step == "setenv" else "Setenv"
    if not isinstance(value, Mapping):
        raise _fail(step, key, "must be a mapping from names to values")
    for name, item in value.items():
        if not isinstance(item, str | int | float | bool | None):
            raise _fail(step, f"{key}/{name}".lstrip("/"), "must be text")
        if not name or "=" in name or "\0" in f"{name}{item}":
            raise _fail(step, key, f"cannot set the variable {name!r}: not a name or value")
    return {name: _variable(item) for name, item in value.items()}


def _variable(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
