"""What changes, and what a change asks of a component."""

from __future__ import annotations

from typing import Any

import pytest

from verge.nucleus.deployment import configuration, plan
from verge.nucleus.ipc import host
from verge.nucleus.lifecycle.supervisor import Reaction
from verge.nucleus.store import state, tree

PRESS = "com.example.Press"


def installed(version: str = "1.0.0", **more: Any) -> state.Installed:
    return state.Installed(name=PRESS, version=version, **{"recipe_text": "r", **more})


def device(component: state.Installed | None, **configured: Any) -> state.DeviceState:
    if component is None:
        return state.DeviceState()
    return state.DeviceState(
        components={PRESS: component},
        configuration={PRESS: tree.build(configured, 1)},
        roots={"g": {PRESS: component.version}},
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(device(None), device(installed()), ("install", None, "1.0.0"), id="install"),
        pytest.param(device(installed()), device(None), ("remove", "1.0.0", None), id="remove"),
        pytest.param(
            device(installed("1.9.0")),
            device(installed("1.10.0")),
            ("upgrade", "1.9.0", "1.10.0"),
            id="upgrade",
        ),
        pytest.param(
            device(installed("1.0.0")),
            device(installed("1.0.0-rc.1")),
            ("downgrade", "1.0.0", "1.0.0-rc.1"),
            id="downgrade",
        ),
        pytest.param(
            device(installed()),
            device(installed(recipe_text="s")),
            ("reinstall", "1.0.0", "1.0.0"),
            id="other-recipe",
        ),
        pytest.param(
            device(installed(content="a/1")),
            device(installed(content="a/2")),
            ("reinstall", "1.0.0", "1.0.0"),
            id="other-artifacts",
        ),
        pytest.param(
            device(installed(), rate=1),
            device(installed(), rate=2),
            ("configure", "1", "2"),
            id="configure",
        ),
        pytest.param(
            device(installed()),
            device(installed(posix_user="edge")),
            ("configure", "null", '"edge"'),
            id="user",
        ),
    ],
)
def test_change_has_a_name(
    before: state.DeviceState, after: state.DeviceState, expected: tuple[str, str | None, str]
) -> None:
    """Each difference is one change of one kind."""
    (change,) = plan.changes(before, after)
    assert (change.action, change.before, change.after) == expected


def test_same_state_is_no_change() -> None:
    """A value that was written again, later, is no change."""
    before = device(installed(), rate=1)
    after = state.DeviceState(
        components=before.components,
        configuration={PRESS: tree.merge(before.configuration[PRESS], {"rate": 1}, 99)},
        roots=before.roots,
    )
    assert plan.changes(before, after) == []


def test_new_root_of_a_component_that_stays_is_a_change() -> None:
    """Who asks for a component decides what may remove it, so it is worth a deployment."""
    before = device(installed())
    after = state.DeviceState(
        components=before.components,
        configuration=before.configuration,
        roots={**before.roots, "h": {PRESS: "1.0.0"}},
    )
    (change,) = plan.changes(before, after)
    assert (change.path, change.before, change.after) == ("/groups", '["g"]', '["g", "h"]')


@pytest.mark.parametrize(
    ("changed", "reaction"),
    [
        pytest.param({"version": "2.0.0"}, Reaction.REINSTALL, id="version"),
        pytest.param({"content": "a/1"}, Reaction.REINSTALL, id="artifacts"),
        pytest.param({"posix_user": "edge"}, Reaction.REINSTALL, id="user"),
        pytest.param({"lifecycle": {"Install": "x"}}, Reaction.REINSTALL, id="install"),
        pytest.param({"lifecycle": {"run": "x"}}, Reaction.RESTART, id="run"),
        pytest.param({"lifecycle": {"Setenv": {"A": "1"}}}, Reaction.RESTART, id="setenv"),
        pytest.param({"dependencies": {"lens": True}}, Reaction.RESTART, id="dependency"),
        pytest.param({"lifecycle": {"shutdown": "x"}}, Reaction.NONE, id="shutdown"),
        pytest.param({"recipe_text": "s"}, Reaction.NONE, id="description"),
    ],
)
def test_reaction(changed: dict[str, Any], reaction: Reaction) -> None:
    """A component does no more than its change needs (contract 2.8)."""
    after = {PRESS: installed(**changed)}
    assert plan.reactions({PRESS: installed()}, after) == {PRESS: reaction}
    assert plan.reactions(after, after) == {}


@pytest.mark.parametrize(
    ("update", "after"),
    [
        pytest.param(None, {"a": 5, "b": 1}, id="only-defaults"),
        pytest.param(host.ConfigurationUpdate(reset=["/a"]), {"a": 0, "b": 1}, id="reset"),
        pytest.param(
            host.ConfigurationUpdate(reset=["", "/never"]), {"a": 0, "b": 1}, id="reset-all"
        ),
        pytest.param(
            host.ConfigurationUpdate(merge={"a": 9}, reset=["/a"]), {"a": 9, "b": 1}, id="both"
        ),
        pytest.param(
            host.ConfigurationUpdate(reset=["no pointer", "/x/y"]), {"a": 5, "b": 1}, id="invalid"
        ),
    ],
)
def test_configuration(update: host.ConfigurationUpdate | None, after: dict[str, int]) -> None:
    """Reset, then defaults for what is missing, then merge."""
    current = tree.build({"a": 5}, 100)
    computed = configuration.compute(current, {"a": 0, "b": 1}, update, 200)
    assert tree.plain(computed) == after


def test_later_write_of_the_component_stays() -> None:
    """What a component wrote after the deployment was made is not overwritten by it."""
    current = tree.build({"a": 5}, 300)
    update = host.ConfigurationUpdate(merge={"a": 9})
    assert tree.plain(configuration.compute(current, {}, update, 200)) == {"a": 5}
