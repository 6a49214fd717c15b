"""Local deployments on a real nucleus process."""

from __future__ import annotations

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
CAMERA = "com.example.Camera"

FOREVER = "exec sleep 1000"


def press(version: str = "1.0.0", run: str = FOREVER, **more: object) -> recipes.Component:
    return recipes.Component(PRESS, version, run=run, **more)  # type: ignore[arg-type]


async def test_deployed_component_runs() -> None:
    """A deployed component is installed, runs in its directory and knows its artifacts."""
    component = press(
        run="cat {artifacts:path}/greeting > out; echo $AWS_IOT_THING_NAME >> out; "
        "echo {configuration:/topic} >> out; " + FOREVER,
        lifecycle={"install": "touch installed"},
        configuration={"topic": "press/cycles"},
        artifacts={"greeting": b"good morning\n"},
    )
    async with nuclei.running_nucleus(component) as nucleus:
        report = await nucleus.deploy("--merge", f"{PRESS}=1.0.0")
        assert report["status"] == "SUCCEEDED"
        assert {"name": PRESS, "version": "1.0.0", "state": "RUNNING"} in report["components"]
        assert nucleus.work(PRESS, "installed").exists()
        assert nucleus.work(PRESS, "out").read_text() == "good morning\npress-01\npress/cycles\n"


async def test_second_deployment_changes_nothing() -> None:
    """A deployment of what is there already creates none, and says so."""
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        report = await nucleus.deploy("--merge", f"{PRESS}=>=1.0.0 <2.0.0")
        assert report["changed"] is False
        assert report["status"] == "UNCHANGED"
        assert report["deployment_id"] is None


async def test_dry_run_touches_nothing() -> None:
    """A dry run names the changes and makes none."""
    async with nuclei.running_nucleus(press()) as nucleus:
        report = await nucleus.deploy("--merge", PRESS, "--dry-run")
        assert [(c["component"], c["action"]) for c in report["changes"]] == [(PRESS, "install")]
        assert report["status"] == "PLANNED"
        assert await nucleus.component(PRESS) == {}


async def test_crashing_version_is_rolled_back() -> None:
    """A version that crashes at start gives way to the former one; the report says why."""
    broken = press("1.1.0", run="echo reading the settings; echo no such lens >&2; exit 7")
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(broken)
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "FAILED"
        assert report["detailed_status"] == "FAILED_ROLLBACK_COMPLETE"
        assert report["failure_cause"].startswith(
            f"{PRESS} 1.1.0: run exited with code 7 (RUN_ERROR)\n"
        )
        assert "no such lens" in report["failure_cause"]
        assert "no such lens" in report["logs"][PRESS]
        assert "COMPONENT_BROKEN" in report["error_stack"]
        assert {"name": PRESS, "version": "1.0.0", "state": "RUNNING"} in report["components"]


async def test_failed_first_deployment_leaves_nothing() -> None:
    """A component that was not there before is gone after the rollback."""
    async with nuclei.running_nucleus(press(run="kill -SEGV $$")) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "FAILED"
        assert "was ended by SIGSEGV" in report["failure_cause"]
        assert await nucleus.component(PRESS) == {}
        assert not list(nucleus.paths.contents.iterdir())


async def test_failed_deployment_without_rollback_stays() -> None:
    """With DO_NOTHING the broken version stays, and the next deployment tries it again."""
    broken = press("1.1.0", run="exit 1")
    async with nuclei.running_nucleus(press()) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(broken)
        report = await nucleus.deploy("--merge", PRESS, "--failure-handling-policy", "DO_NOTHING")
        assert report["detailed_status"] == "FAILED_ROLLBACK_NOT_REQUESTED"
        assert (await nucleus.component(PRESS))["state"] == "BROKEN"
        nucleus.release.add(press("1.1.0"))
        assert (await nucleus.deploy("--merge", PRESS))["status"] == "SUCCEEDED"


async def test_unchanged_component_is_not_restarted() -> None:
    """A deployment restarts only what it changes."""
    camera = recipes.Component(CAMERA, run="echo started >> starts; " + FOREVER)
    async with nuclei.running_nucleus(press(), camera) as nucleus:
        await nucleus.deploy("--merge", PRESS, "--merge", CAMERA)
        nucleus.release.add(press("1.0.1"))
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "SUCCEEDED"
        assert nucleus.work(CAMERA, "starts").read_text() == "started\n"


async def test_dependent_that_cannot_work_with_the_new_version_rolls_it_back() -> None:
    """A changed component is healthy only if those that restart with it are."""
    camera = recipes.Component(CAMERA, run="echo old > kind; " + FOREVER)
    user = press(
        run="grep old {com.example.Camera:work:path}/kind && " + FOREVER,
        dependencies={CAMERA: "*"},
    )
    async with nuclei.running_nucleus(camera, user) as nucleus:
        await nucleus.deploy("--merge", PRESS, "--merge", CAMERA)
        nucleus.release.add(recipes.Component(CAMERA, "1.1.0", run="echo new > kind; " + FOREVER))
        report = await nucleus.deploy("--merge", f"{CAMERA}=1.1.0")
        assert report["detailed_status"] == "FAILED_ROLLBACK_COMPLETE"
        assert report["failure_cause"].startswith(f"{PRESS} 1.0.0: run exited with code 1")
        await nucleus.in_state(CAMERA, "RUNNING", "1.0.0")
        await nucleus.in_state(PRESS, "RUNNING")


async def test_removed_component_is_gone() -> None:
    """A removed component is stopped by its shutdown step and forgotten."""
    component = press(lifecycle={"shutdown": "echo bye > farewell"})
    async with nuclei.running_nucleus(component) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        report = await nucleus.deploy("--remove", PRESS)
        assert report["changes"][0]["action"] == "remove"
        assert await nucleus.component(PRESS) == {}
        assert nucleus.work(PRESS, "farewell").read_text() == "bye\n"


async def test_changed_configuration_restarts_only_if_a_script_changes() -> None:
    """A merged value that no script mentions restarts nothing."""
    component = press(
        run="echo {configuration:/topic} >> starts; " + FOREVER,
        configuration={"topic": "a", "rate": 1},
    )
    async with nuclei.running_nucleus(component) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        report = await nucleus.deploy(
            "--merge", PRESS, "--update-config", f'{{"{PRESS}": {{"MERGE": {{"rate": 2}}}}}}'
        )
        assert report["changes"] == [
            {
                "component": PRESS,
                "action": "configure",
                "before": "1",
                "after": "2",
                "path": "/rate",
            }
        ]
        assert nucleus.work(PRESS, "starts").read_text() == "a\n"
        await nucleus.deploy(
            "--merge", PRESS, "--update-config", f'{{"{PRESS}": {{"MERGE": {{"topic": "b"}}}}}}'
        )
        assert nucleus.work(PRESS, "starts").read_text() == "a\nb\n"
        assert (await nucleus.component(PRESS))["configuration"] == {"topic": "b", "rate": 2}


async def test_changed_artifact_of_the_same_version_is_reinstalled() -> None:
    """The same version with other content is swapped in, and nothing of the old one remains."""
    first = press(run="cp {artifacts:path}/data out; " + FOREVER, artifacts={"data": b"one"})
    second = press(run="cp {artifacts:path}/data out; " + FOREVER, artifacts={"data": b"two"})
    async with nuclei.running_nucleus(first) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(second)
        report = await nucleus.deploy("--merge", PRESS)
        assert [c["action"] for c in report["changes"]] == ["reinstall"]
        assert nucleus.work(PRESS, "out").read_bytes() == b"two"


async def test_rollback_of_a_reinstalled_version_restores_its_content() -> None:
    """A version that was replaced under its own number gets its former content back."""
    run = "cp {artifacts:path}/data out; " + FOREVER
    async with nuclei.running_nucleus(press(run=run, artifacts={"data": b"one"})) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        nucleus.release.add(press(run="exit 1", artifacts={"data": b"two"}))
        report = await nucleus.deploy("--merge", PRESS)
        assert report["detailed_status"] == "FAILED_ROLLBACK_COMPLETE"
        assert nucleus.work(PRESS, "out").read_bytes() == b"one"


@pytest.mark.parametrize(
    ("component", "sentence"),
    [
        pytest.param(
            press(artifacts={"data": b"x"}, digests={"data": recipes.digest(b"y")}),
            "its SHA-256 is not the one in the recipe of com.example.Press 1.0.0",
            id="wrong-digest",
        ),
        pytest.param(
            press(artifacts={"a.zip": recipes.archive({"../../evil": b"x"})}, unarchive=["a.zip"]),
            "its entry '../../evil' would land outside the component's directory",
            id="escaping-archive",
        ),
        pytest.param(
            press(artifacts={"a.zip": b"PK no archive"}, unarchive=["a.zip"]),
            "cannot read a.zip as a ZIP archive",
            id="broken-archive",
        ),
        pytest.param(
            press(dependencies={"com.example.Lens": ">=1.0.0"}),
            "com.example.Press 1.0.0 asks for >=1.0.0; no version of it is at hand",
            id="missing-dependency",
        ),
    ],
)
async def test_bad_release_is_refused(component: recipes.Component, sentence: str) -> None:
    """What cannot be deployed is refused in one sentence, and nothing of it stays."""
    async with nuclei.running_nucleus(component) as nucleus:
        result = await nucleus.cli("deploy", *nucleus.release.arguments, "--merge", PRESS)
        assert result.code == 1
        assert sentence in result.err
        assert "Traceback" not in result.err
        assert await nucleus.component(PRESS) == {}
        assert not list(nucleus.paths.staging.iterdir())
        assert not list(nucleus.paths.contents.iterdir())
