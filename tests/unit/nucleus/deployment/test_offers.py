"""Resolution with a cloud that is asked for one component at a time (Greengrass contract 3.5)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from verge.nucleus import paths, threads
from verge.nucleus.deployment import failures, offers, remote, resolution, sources
from verge.nucleus.store import state
from verge.recipe import versions

APP, LIB, TOOL = "com.example.App", "com.example.Lib", "com.example.Tool"


def recipe(name: str, version: str, **needs: str) -> str:
    """Return a recipe as the cloud sends it."""
    names = {"lib": LIB, "tool": TOOL}
    return json.dumps(
        {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "ComponentDependencies": {
                names[key]: {"VersionRequirement": text} for key, text in needs.items()
            },
            "Manifests": [{"Platform": {"os": "linux"}, "Lifecycle": {"run": "sleep 1"}}],
        }
    )


class Cloud:
    """Answers as the cloud does: the highest version that fits all."""

    def __init__(self, *recipes: str) -> None:
        self.known: dict[str, dict[versions.Version, str]] = {}
        self.asked: list[tuple[str, Mapping[str, str], str | None]] = []
        self.offline = False
        self.refusal: failures.DeploymentError | None = None
        for text in recipes:
            document = json.loads(text)
            own = self.known.setdefault(document["ComponentName"], {})
            own[versions.Version.parse(document["ComponentVersion"])] = text

    def resolve(
        self,
        component: str,
        requirements: Mapping[str, str],
        local: str | None,
        _attributes: Mapping[str, str],
        _stop: threads.Stop,
        *,
        patient: bool,
    ) -> str | None:
        self.asked.append((component, dict(requirements), local))
        if self.offline:
            assert not patient, "waits for ever"
            raise remote.OfflineError("cannot reach it")
        if self.refusal:
            raise self.refusal
        wanted = [versions.Requirement.parse(text) for text in requirements.values()]
        own = self.known.get(component, {})
        fitting = [v for v in own if all(one.allows(v) for one in wanted)]
        return own[max(fitting)] if fitting else None

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is not asked for here")


def resolve(
    cloud: Cloud,
    roots: Mapping[str, Mapping[str, str]],
    tmp_path: Path,
    *,
    present: tuple[str, ...] = (),
    first: bool = True,
) -> dict[str, str]:
    """Resolve with some recipes on the device and all others in the cloud."""
    given = {}
    for text in present:
        document = json.loads(text)
        file = tmp_path / f"{document['ComponentName']}-{document['ComponentVersion']}.json"
        file.write_text(text)
        given = sources.read_directory(tmp_path)
    asked = offers.Offers(cloud, {"os": "linux"}, threads.Stop(), first=first)
    where = paths.Paths(tmp_path)
    catalogue = sources.Catalogue(given, state.DeviceState(), {}, where, asked)
    request = resolution.Request(roots, catalogue.candidates, {}, {})
    return {name: str(version) for name, version in resolution.resolve(request).items()}


def test_cloud_is_asked_with_all_requirements(tmp_path: Path) -> None:
    """Requesters have their own names, and a group's exact version is one."""
    cloud = Cloud(recipe(APP, "1.0.0", lib=">=1.0.0 <2.0.0"), recipe(LIB, "1.5.0"))
    found = resolve(cloud, {"thinggroup/a": {APP: "1.0.0"}}, tmp_path)
    assert found == {APP: "1.0.0", LIB: "1.5.0"}
    assert cloud.asked == [
        (APP, {"thinggroup/a": "=1.0.0"}, None),
        (LIB, {APP: ">=1.0.0 <2.0.0"}, None),
    ]


def test_later_requirement_is_asked_for_again(tmp_path: Path) -> None:
    """A version that was chosen too early makes way for the one that fits the later requester."""
    cloud = Cloud(
        recipe(APP, "1.0.0", lib=">=1.0.0", tool="*"),
        recipe(TOOL, "1.0.0", lib="<2.0.0"),
        recipe(LIB, "1.5.0"),
        recipe(LIB, "2.0.0"),
    )
    found = resolve(cloud, {"thinggroup/a": {APP: "1.0.0"}}, tmp_path)
    assert found == {APP: "1.0.0", TOOL: "1.0.0", LIB: "1.5.0"}


def test_conflict_names_both_groups(tmp_path: Path) -> None:
    """Two groups that want different versions are both in the sentence."""
    cloud = Cloud(recipe(APP, "1.0.0"), recipe(APP, "2.0.0"))
    roots = {"thinggroup/a": {APP: "1.0.0"}, "thinggroup/b": {APP: "2.0.0"}}
    with pytest.raises(failures.DeploymentError, match=r"thinggroup/a .* thinggroup/b") as error:
        resolve(cloud, roots, tmp_path)
    assert error.value.code == "NO_AVAILABLE_COMPONENT_VERSION"


def test_cloud_wins_over_the_device(tmp_path: Path) -> None:
    """A deployment of the cloud takes what the cloud offers, and says what is here."""
    cloud = Cloud(recipe(LIB, "1.9.0"))
    local = recipe(LIB, "1.1.0")
    found = resolve(cloud, {"thinggroup/a": {LIB: ">=1.0.0"}}, tmp_path, present=(local,))
    assert found == {LIB: "1.9.0"}
    assert cloud.asked[0][2] == "1.1.0"


def test_device_wins_for_a_local_deployment(tmp_path: Path) -> None:
    """A local deployment asks the cloud only for what is not on the device."""
    cloud = Cloud(recipe(LIB, "1.9.0"))
    roots = {"LOCAL_DEPLOYMENT": {APP: "1.0.0"}}
    app, lib = recipe(APP, "1.0.0", lib="*"), recipe(LIB, "1.1.0")
    assert resolve(cloud, roots, tmp_path, present=(app, lib), first=False) == {
        APP: "1.0.0",
        LIB: "1.1.0",
    }
    assert cloud.asked == []


def test_local_deployment_gets_the_rest_from_the_cloud(tmp_path: Path) -> None:
    """A dependency that is nowhere on the device comes from the cloud."""
    cloud = Cloud(recipe(LIB, "1.9.0"))
    roots = {"LOCAL_DEPLOYMENT": {APP: "1.0.0"}}
    app = recipe(APP, "1.0.0", lib="*")
    found = resolve(cloud, roots, tmp_path, present=(app,), first=False)
    assert found == {APP: "1.0.0", LIB: "1.9.0"}


def test_device_serves_while_the_cloud_is_away(tmp_path: Path) -> None:
    """One failure is enough to know, so a hundred components do not wait a hundred times."""
    cloud = Cloud()
    cloud.offline = True
    roots = {"thinggroup/a": {APP: "1.0.0"}}
    app, lib = recipe(APP, "1.0.0", lib="*"), recipe(LIB, "1.1.0")
    found = resolve(cloud, roots, tmp_path, present=(app, lib))
    assert found == {APP: "1.0.0", LIB: "1.1.0"}
    assert len(cloud.asked) == 1


def test_refusal_matters_only_where_nothing_else_serves(tmp_path: Path) -> None:
    """What the cloud refuses may be on the device; if not, its reason is the deployment's."""
    cloud = Cloud()
    cloud.refusal = failures.DeploymentError("cannot resolve: no", "ACCESS_DENIED")
    roots = {"thinggroup/a": {LIB: "1.1.0"}}
    lib = recipe(LIB, "1.1.0")
    assert resolve(cloud, roots, tmp_path, present=(lib,)) == {LIB: "1.1.0"}
    with pytest.raises(failures.DeploymentError, match="cannot resolve: no"):
        resolve(cloud, {"thinggroup/a": {LIB: "1.2.0"}}, tmp_path)


def test_local_deployment_does_not_wait(tmp_path: Path) -> None:
    """Without a network, a local deployment says at once what is missing."""
    cloud = Cloud()
    cloud.offline = True
    with pytest.raises(failures.DeploymentError, match=f"{LIB}: none is on the device") as error:
        resolve(cloud, {"LOCAL_DEPLOYMENT": {LIB: "*"}}, tmp_path, first=False)
    assert error.value.kind == "NETWORK_ERROR"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param("no recipe", "RECIPE_PARSE_ERROR", id="garbage"),
        pytest.param(
            recipe(APP, "1.0.0"), "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE", id="another"
        ),
        pytest.param(
            recipe(LIB, "3.0.0"), "RESOLVE_COMPONENT_CANDIDATES_BAD_RESPONSE", id="misfit"
        ),
    ],
)
def test_answer_without_sense_is_refused(answer: str, code: str, tmp_path: Path) -> None:
    """The device checks what it is offered."""
    cloud = Cloud()
    cloud.known[LIB] = {versions.Version.parse("1.0.0"): answer}
    with pytest.raises(failures.DeploymentError) as error:
        resolve(cloud, {"thinggroup/a": {LIB: "1.0.0"}}, tmp_path)
    assert error.value.code == code
