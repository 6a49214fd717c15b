"""Deployments as documents: when the newest one will do, and what the next one says."""

from __future__ import annotations

from typing import Any

import pytest

from verge.fleet import deployments, targets

POLICIES = deployments.POLICIES


def target(**components: targets.Component) -> targets.Target:
    """Return a group with components by short names."""
    return targets.Target("thinggroup", "line", ("press-01",), components)


def former(**components: Any) -> dict[str, Any]:
    """Return a deployment as GetDeployment answers it."""
    return {"components": components, "deploymentPolicies": POLICIES}


def entry(version: str, merge: str | None = None, reset: list[str] | None = None) -> dict[str, Any]:
    """Return a component of such a deployment."""
    update = {key: value for key, value in (("merge", merge), ("reset", reset)) if value}
    return {"componentVersion": version, **({"configurationUpdate": update} if update else {})}


@pytest.mark.parametrize(
    ("wanted", "known", "current"),
    [
        ({"a": targets.Component("1.0.0")}, {"a": entry("1.0.0")}, True),
        ({"a": targets.Component("1.0.1")}, {"a": entry("1.0.0")}, False),
        ({}, {"a": entry("1.0.0")}, False),
        ({"a": targets.Component("1.0.0")}, {}, False),
        ({}, {}, True),
        (
            {"a": targets.Component("1.0.0", {"x": {"y": "1", "z": "2"}})},
            {"a": entry("1.0.0", '{"x": {"z": "2",  "y": "1"}}')},
            True,
        ),
        (
            {"a": targets.Component("1.0.0", {"x": "2"})},
            {"a": entry("1.0.0", '{"x": "1"}')},
            False,
        ),
        (
            {"a": targets.Component("1.0.0", {"x": [True]})},
            {"a": entry("1.0.0", '{"x": [1]}')},
            False,
        ),
        ({"a": targets.Component("1.0.0")}, {"a": entry("1.0.0", None, ["/gone"])}, True),
        ({"a": targets.Component("1.0.0", {}, ("/b",))}, {"a": entry("1.0.0")}, False),
    ],
    ids=[
        "the same",
        "another version",
        "one less",
        "one more",
        "nothing",
        "the same values in another order",
        "another value",
        "a truth instead of a number",
        "what was withdrawn stays reset",
        "a new reset",
    ],
)
def test_the_newest_deployment_will_do(
    wanted: dict[str, targets.Component], known: dict[str, Any], current: bool
) -> None:
    """A deployment is made only if the newest one says something else."""
    assert deployments.is_current(target(**wanted), former(**known)) is current


def test_a_group_without_rollback_is_deployed_to_again() -> None:
    """A deployment that somebody made without rollback is not what this fleet promises."""
    other = former(a=entry("1.0.0")) | {
        "deploymentPolicies": {"failureHandlingPolicy": "DO_NOTHING"}
    }
    assert not deployments.is_current(target(a=targets.Component("1.0.0")), other)


def test_the_document_has_the_shape_of_the_contract() -> None:
    """`merge` is JSON text, and keys that have no value are left out (contract 3.1)."""
    wanted = target(
        a=targets.Component("1.0.0", {"b": {"c": "1"}}, ("/d",)), e=targets.Component("2.0.0")
    )
    assert deployments.next_components(wanted, {}) == {
        "a": {
            "componentVersion": "1.0.0",
            "configurationUpdate": {"reset": ["/d"], "merge": '{"b": {"c": "1"}}'},
        },
        "e": {"componentVersion": "2.0.0"},
    }


def test_a_withdrawn_value_is_reset_in_all_later_deployments() -> None:
    """A device that was away for the deployment that withdrew a value must not keep it."""
    first = former(a=entry("1.0.0", '{"x": "1", "y": {"z/w": "2"}}'))
    second = deployments.next_components(target(a=targets.Component("1.0.0", {"x": "1"})), first)
    assert second["a"]["configurationUpdate"]["reset"] == ["/y/z~1w"]
    third = deployments.next_components(
        target(a=targets.Component("1.0.1", {"x": "1"})), former(**second)
    )
    assert third["a"]["configurationUpdate"]["reset"] == ["/y/z~1w"]
    again = deployments.next_components(
        target(a=targets.Component("1.0.1", {"x": "1", "y": {"z/w": "3"}})), former(**third)
    )
    assert "reset" not in again["a"]["configurationUpdate"]
