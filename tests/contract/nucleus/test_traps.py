"""The numbered traps of Greengrass contract 7 that recipes, lifecycle and deployments set."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
LENS = "com.example.Lens"
FOREVER = "echo $SVCUID > token; exec sleep 1000"


def component(name: str = PRESS, version: str = "1.0.0", **more: Any) -> recipes.Component:
    return recipes.Component(name, version, **{"run": FOREVER, **more})


def update(**values: Any) -> list[str]:
    return ["--update-config", json.dumps({PRESS: {"MERGE": values}})]


async def test_trap_1_script_text_is_fixed_when_it_is_deployed() -> None:
    """Trap 1: what a component writes restarts nothing and reaches no script until a deployment."""
    press = component(
        run="echo {configuration:/topic} >> topics; " + FOREVER, configuration={"topic": "a"}
    )
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.configure_itself(PRESS, topic="b")
        await nucleus.cli("component", "restart", PRESS)
        topics = nucleus.work(PRESS, "topics")
        await nucleus.until(lambda: topics.read_text() == "a\na\n", "the old script runs again")
        await nucleus.deploy("--merge", PRESS, *update(other=1))
        assert topics.read_text() == "a\na\nb\n"


async def test_trap_2_unresolved_placeholders_stay() -> None:
    """Trap 2: a variable without a value stays in the script, which runs all the same."""
    script = "echo '{configuration:/none} {com.example.Other:work:path} {nonsense:x}' > out; "
    async with nuclei.running_nucleus(component(run=script + FOREVER)) as nucleus:
        assert (await nucleus.deploy("--merge", PRESS))["status"] == "SUCCEEDED"
        assert nucleus.work(PRESS, "out").read_text() == (
            "{configuration:/none} {com.example.Other:work:path} {nonsense:x}\n"
        )
        assert "Variable left in place" in nucleus.log()


@pytest.mark.parametrize(
    ("manifests", "expected"),
    [
        pytest.param(
            [
                {"Platform": {"os": "windows"}, "Lifecycle": {"run": "echo windows > out"}},
                {"Platform": {"os": "/li.*/"}, "Lifecycle": {"run": "echo first > out"}},
                {"Platform": {"os": "linux"}, "Lifecycle": {"run": "echo better > out"}},
            ],
            "first",
            id="first-that-matches",
        ),
        pytest.param(
            [
                {"Platform": {"runtime": "aws_nucleus_lite"}, "Lifecycle": {"run": "echo l > out"}},
                {"Platform": {"os": "all"}, "Lifecycle": {"run": "echo classic > out"}},
            ],
            "classic",
            id="lite-is-passed-over",
        ),
        pytest.param(
            [{"Platform": {"os": "linux"}, "Lifecycle": {"run": "echo own > out"}}],
            "own",
            id="own-lifecycle-alone",
        ),
        pytest.param(
            [{"Platform": {"os": "linux"}, "Selections": ["fast"]}], "fast", id="selections"
        ),
        pytest.param([{"Platform": {"os": "linux"}}], "all", id="no-selections"),
    ],
)
async def test_trap_3_one_manifest_and_whole_levels(
    manifests: list[dict[str, Any]], expected: str
) -> None:
    """Trap 3: the first manifest that matches is used, selections replace whole levels."""
    async with nuclei.running_nucleus() as nucleus:
        document = {
            **component().document(),
            "Manifests": [*manifests, {"Platform": {"os": "none"}, "Selections": ["fast"]}],
            "Lifecycle": {
                "install": {"all": "touch installed"},
                "run": {"fast": "echo fast > out", "all": "echo all > out", "other": "exit 1"},
            },
        }
        (nucleus.release.recipes / "recipe.json").write_text(json.dumps(document))
        await nucleus.deploy("--merge", PRESS)
        assert nucleus.work(PRESS, "out").read_text() == f"{expected}\n"
        merged = nucleus.work(PRESS, "installed").exists()
        assert merged is (expected in {"fast", "all"}), "a global lifecycle is never merged in"


async def test_trap_4_new_defaults_never_override() -> None:
    """Trap 4: a value that is there stays over the default of a new version, until a reset."""
    async with nuclei.running_nucleus(component(configuration={"rate": 1})) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(component(version="1.1.0", configuration={"rate": 2, "size": 3}))
        await nucleus.deploy("--merge", PRESS)
        assert (await nucleus.component(PRESS))["configuration"] == {"rate": 1, "size": 3}
        reset = json.dumps({PRESS: {"RESET": ["/rate"]}})
        await nucleus.deploy("--merge", PRESS, "--update-config", reset)
        assert (await nucleus.component(PRESS))["configuration"] == {"rate": 2, "size": 3}


@pytest.mark.parametrize(
    ("source", "winner"),
    [
        pytest.param("deploymentCreationTime", "component", id="creation"),
        pytest.param("deploymentProcessingTime", "deployment", id="processing"),
    ],
)
async def test_trap_5_later_write_of_the_component_wins(source: str, winner: str) -> None:
    """Trap 5: every leaf keeps its latest write; a deployment counts from when it was made."""
    slow = component(LENS, run=None, lifecycle={"startup": "touch begun; sleep 0.7"})
    settings = {"deploymentConfigurationTimeSource": source}
    async with nuclei.running_nucleus(
        component(configuration={"by": "", "other": ""}), slow, configuration=settings
    ) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.submit(rootComponentVersionsToAdd={LENS: "1.0.0"})
        await nucleus.until(nucleus.work(LENS, "begun").exists, "the queue is busy")
        waiting = await nucleus.submit(
            componentToConfiguration={PRESS: {"MERGE": {"by": "deployment", "other": "deployment"}}}
        )
        await nucleus.configure_itself(PRESS, by="component")
        assert (await nucleus.ended(waiting))["status"] == "SUCCEEDED"
        assert (await nucleus.component(PRESS))["configuration"] == {
            "by": winner,
            "other": "deployment",
        }


async def test_trap_6_error_window() -> None:
    """Trap 6: errors with gaps of at least `errorResetTime` between them never break."""
    failing = {"run": "echo x >> runs; sleep 0.3; exit 1", "lifecycle": {"errorResetTime": 0.2}}
    async with nuclei.running_nucleus(component(run=None, lifecycle=failing)) as nucleus:
        await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        runs = nucleus.work(PRESS, "runs")
        await nucleus.until(
            lambda: runs.exists() and runs.read_text().count("x") >= 5, "it runs five times"
        )
        assert "new=BROKEN" not in nucleus.log()


async def test_trap_7_startup_ends_when_its_output_does() -> None:
    """Trap 7: a daemon that holds the pipes of its startup script keeps it STARTING."""
    steps = {
        "startup": {"Script": "(touch begun; while [ ! -e go ]; do sleep 0.05; done) & exit 0"}
    }
    async with nuclei.running_nucleus(component(run=None, lifecycle=steps)) as nucleus:
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        await nucleus.until(nucleus.work(PRESS, "begun").exists, "the script has ended")
        assert (await nucleus.component(PRESS))["state"] == "STARTING"
        nucleus.work(PRESS, "go").touch()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"


@pytest.mark.parametrize("keys", [("MERGE", "RESET"), ("merge", "reset")])
async def test_trap_9_keys_of_a_local_update(keys: tuple[str, str]) -> None:
    """Trap 9: a local deployment spells MERGE and RESET; like Lite, either case is understood."""
    merge, reset = keys
    async with nuclei.running_nucleus(component(configuration={"rate": 1, "size": 1})) as nucleus:
        await nucleus.deploy("--merge", PRESS, *update(size=5))
        change = json.dumps({PRESS: {merge: {"rate": 7}, reset: ["/size"]}})
        await nucleus.deploy("--merge", PRESS, "--update-config", change)
        assert (await nucleus.component(PRESS))["configuration"] == {"rate": 7, "size": 1}


async def test_trap_11_local_deployment_keeps_run_with() -> None:
    """Trap 11: what a local deployment does not say about `runWith` stays as it was (3.2)."""
    async with nuclei.running_nucleus(component(), component(LENS)) as nucleus:
        deployment = await nucleus.submit(
            rootComponentVersionsToAdd={PRESS: "1.0.0"},
            componentToRunWithInfo={PRESS: {"systemResourceLimits": {"cpus": 1.5}}},
        )
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        planned = await nucleus.deploy("--merge", LENS, "--dry-run")
        assert {change["component"] for change in planned["changes"]} == {LENS}


async def test_trap_18_digests_are_base64() -> None:
    """Trap 18: a digest in hexadecimal digits is refused before anything is copied."""
    data = b"weights"
    wrong = {"data": hashlib.sha256(data).hexdigest()}
    press = component(artifacts={"data": data}, digests=wrong)
    async with nuclei.running_nucleus(press) as nucleus:
        failed = await nucleus.deploy("--merge", PRESS)
        assert "its Digest is no SHA-256 in base64" in failed["failure_cause"]
        assert not list(nucleus.paths.contents.iterdir())


def lower(value: Any) -> Any:
    """Return a document with every key in lower case, but for names that are its content."""
    if isinstance(value, dict):
        return {k if "." in k or k == "PATH_OF" else k.lower(): lower(v) for k, v in value.items()}
    return [lower(item) for item in value] if isinstance(value, list) else value


async def test_trap_20_keys_have_any_case() -> None:
    """Trap 20: keys match in any case, and paths in variables end without a slash."""
    press = component(
        run=None,
        lifecycle={
            "Setenv": {"PATH_OF": "{work:path}"},
            "Run": {"Script": "echo $PATH_OF > out; " + FOREVER, "Timeout": 3600},
        },
        configuration={"Rate": 1},
    )
    async with nuclei.running_nucleus() as nucleus:
        document = lower(press.document())
        (nucleus.release.recipes / "recipe.yaml").write_text(json.dumps(document))
        await nucleus.deploy("--merge", PRESS, *update(RATE=2))
        assert nucleus.work(PRESS, "out").read_text() == f"{nucleus.paths.work(PRESS)}\n"
        assert (await nucleus.component(PRESS))["configuration"] == {"rate": 2}
