"""Deployments as the cloud keeps them: documents of contract 3.1, compared and worded anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from verge.fleet import targets

POLICIES: dict[str, Any] = {
    "failureHandlingPolicy": "ROLLBACK",
    "componentUpdatePolicy": {"action": "NOTIFY_COMPONENTS", "timeoutInSeconds": 60},
}

Document = dict[str, Any]


def is_current(target: targets.Target, former: Mapping[str, Any]) -> bool:
    """Return whether a deployment says of every component what the target wants.

    Values that it resets besides are what was declared once and is not any more.
    """
    components = former.get("components") or {}
    if components.keys() != target.components.keys():
        return False
    if former.get("deploymentPolicies", POLICIES).get("failureHandlingPolicy") != "ROLLBACK":
        return False
    return all(
        item["componentVersion"] == wanted.version
        and _text(_merge(item)) == _text(wanted.merge)
        and set(wanted.reset) <= set(_reset(item))
        for name, wanted in target.components.items()
        if (item := components[name])
    )


def next_components(target: targets.Target, former: Mapping[str, Any]) -> Document:
    """Return `components` of the next deployment after `former` (empty for the first).

    What was declared once and is not any more is reset, in all later deployments too: a device
    that was away for some of them must not keep it.
    """
    known = former.get("components") or {}
    return {
        name: _component(wanted, known.get(name) or {})
        for name, wanted in target.components.items()
    }


def _component(wanted: targets.Component, former: Mapping[str, Any]) -> Document:
    document: Document = {"componentVersion": wanted.version}
    declared = leaf_pointers(wanted.merge)
    withdrawn = (leaf_pointers(_merge(former)) | set(_reset(former))) - declared
    reset = [*wanted.reset, *sorted(withdrawn - set(wanted.reset))]
    update: Document = {"reset": reset} if reset else {}
    if wanted.merge:
        update["merge"] = _text(wanted.merge)
    return document | ({"configurationUpdate": update} if update else {})


def _text(merge: Any) -> str:
    """Return a merge as it is sent; values that Python holds for equal may differ in it."""
    return json.dumps(merge, sort_keys=True, ensure_ascii=False)


def _merge(item: Mapping[str, Any]) -> Any:
    return json.loads((item.get("configurationUpdate") or {}).get("merge") or "{}")


def _reset(item: Mapping[str, Any]) -> list[str]:
    return list((item.get("configurationUpdate") or {}).get("reset") or [])


def leaf_pointers(value: Any, pointer: str = "") -> set[str]:
    """Return the JSON pointers of all values that are no object, or an empty one."""
    if not isinstance(value, Mapping) or not value:
        return {pointer} if pointer else set()
    return {
        leaf
        for key, item in value.items()
        for leaf in leaf_pointers(
            item, pointer + "/" + str(key).replace("~", "~0").replace("/", "~1")
        )
    }
