"""The configuration of a component after a deployment (Greengrass contract 3.6). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verge.nucleus import logs
from verge.nucleus.ipc import host
from verge.nucleus.store import tree

log = logs.Logger("deployment")


def compute(
    current: tree.Tree,
    defaults: Mapping[str, Any],
    update: host.ConfigurationUpdate | None,
    timestamp: float,
) -> tree.Tree:
    """Return current less reset plus missing defaults plus merge.

    A value that a component wrote after the deployment was made, at `timestamp`, stays.
    """
    result = current
    for pointer in update.reset if update else ():
        path = _path(pointer)
        if path is None:
            continue
        result = tree.remove(result, path)
        if not path:
            break
    result = tree.fill(result, defaults)
    return tree.merge(result, update.merge, timestamp) if update else result


def _path(pointer: str) -> tree.Path | None:
    try:
        return tree.parse_pointer(pointer)
    except ValueError as error:
        log.warning("Reset skipped", pointer=pointer, reason=error)
        return None
