"""Recipes of the tables: a file with some places changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """Leaves dates as text, as recipes mean them."""


_Loader.yaml_implicit_resolvers = {
    key: [pair for pair in pairs if not pair[0].endswith("timestamp")]
    for key, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path: Path, case: dict[str, Any]) -> Any:
    """Return the file's document with `set` put at its paths, None removing, and `append` added."""
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  safe
    for place, value in case.get("set", {}).items():
        *parents, last = place.split("/")
        parent = _walk(document, parents)
        if value is None:
            parent.pop(last, None)
        else:
            parent[last] = value
    for place, value in case.get("append", {}).items():
        _walk(document, place.split("/")).append(value)
    return document


def _walk(value: Any, places: list[str]) -> Any:
    for place in places:
        value = value[int(place)] if isinstance(value, list) else value.setdefault(place, {})
    return value
