"""Bootstrap steps, restarts that belong to a deployment, and uninstall steps."""

from __future__ import annotations

import json

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
CAMERA = "com.example.Camera"
NUCLEUS = "aws.greengrass.Nucleus"
FOREVER = "exec sleep 1000"
NOTE = "echo {0} >> {{kernel:rootPath}}/journal"


def noting(word: str) -> str:
    return NOTE.format(word)


def journal(nucleus: nuclei.NucleusProcess) -> list[str]:
    return (nucleus.root / "journal").read_text().split()


def component(name: str, version: str = "1.0.0", **more: object) -> recipes.Component:
    lifecycle = {"run": noting("run-" + name[-6:]) + "; " + FOREVER}
    return recipes.Component(
        name,
        version,
        lifecycle={**lifecycle, **more.pop("lifecycle", {})},  # type: ignore[dict-item]
        **more,  # type: ignore[arg-type]
    )


async def test_bootstrap_steps_end_with_a_restart() -> None:
    """All steps run before anything is activated, then the nucleus restarts (contract 2.7)."""
    camera = component(CAMERA, lifecycle={"bootstrap": noting("camera")})
    press = component(PRESS, dependencies={CAMERA: "*"}, lifecycle={"bootstrap": noting("press")})
    async with nuclei.running_nucleus(camera, press) as nucleus:
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        assert await nucleus.wait() == 100
        assert journal(nucleus) == ["camera", "press"]
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        assert journal(nucleus) == ["camera", "press", "run-Camera", "run-.Press"]
        nucleus.release.add(component(PRESS, "1.0.1", dependencies={CAMERA: "*"}))
        assert (await nucleus.deploy("--merge", PRESS))["status"] == "SUCCEEDED"


@pytest.mark.parametrize("code", [100, 101], ids=["restart", "reboot"])
async def test_bootstrap_goes_on_after_the_restart_it_asked_for(code: int) -> None:
    """Exit codes 100 and 101 end the nucleus at once; the remaining steps follow after that."""
    camera = component(CAMERA, lifecycle={"bootstrap": noting("camera") + f"; exit {code}"})
    press = component(PRESS, dependencies={CAMERA: "*"}, lifecycle={"bootstrap": noting("press")})
    async with nuclei.running_nucleus(camera, press) as nucleus:
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        assert await nucleus.wait() == code
        assert journal(nucleus) == ["camera"]
        for file in nucleus.release.recipes.iterdir():
            file.unlink()  # what was prepared needs them no more
        await nucleus.start()
        assert await nucleus.wait() == 100
        assert journal(nucleus) == ["camera", "press"]
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        assert journal(nucleus)[2:] == ["run-Camera", "run-.Press"]


async def test_failed_bootstrap_changes_nothing() -> None:
    """Any other exit code fails the deployment before it touches what runs."""
    async with nuclei.running_nucleus(component(PRESS)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        failing = {"bootstrap": "echo no compiler; exit 5"}
        nucleus.release.add(component(PRESS, "1.1.0", lifecycle=failing))
        report = await nucleus.deploy("--merge", PRESS)
        assert report["detailed_status"] == "FAILED_NO_STATE_CHANGE"
        assert report["error_stack"] == ["DEPLOYMENT_FAILURE", "COMPONENT_BOOTSTRAP_ERROR"]
        assert report["failure_cause"] == (
            f"{PRESS} 1.1.0: bootstrap exited with code 5\n  no compiler"
        )
        assert "no compiler" in nucleus.log(PRESS)
        await nucleus.in_state(PRESS, "RUNNING", "1.0.0")


async def test_command_waits_through_a_restart() -> None:
    """`deploy` tells the outcome of a deployment that restarts the nucleus."""
    press = component(PRESS, lifecycle={"bootstrap": noting("press")})
    async with nuclei.running_nucleus(press) as nucleus:
        waiting = nucleus.start_cli("deploy", *nucleus.release.arguments, "--merge", PRESS)
        assert await nucleus.wait() == 100
        await nucleus.start()
        assert (await waiting).code == 0


async def test_failed_version_with_bootstrap_is_rolled_back() -> None:
    """A version that fails after its bootstrap gives way, and the former one is bootstrapped."""
    good = component(PRESS, lifecycle={"bootstrap": noting("one")})
    async with nuclei.running_nucleus(good) as nucleus:
        await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        await nucleus.wait()
        await nucleus.start()
        await nucleus.in_state(PRESS, "RUNNING", "1.0.0")
        broken = {"bootstrap": noting("two"), "run": "exit 3"}
        nucleus.release.add(component(PRESS, "2.0.0", lifecycle=broken))
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "2.0.0"})
        assert await nucleus.wait() == 100
        await nucleus.start()
        ended = await nucleus.ended(deployment)
        details = ended["deploymentStatusDetails"]
        assert details["detailedDeploymentStatus"] == "FAILED_ROLLBACK_COMPLETE"
        assert [word for word in journal(nucleus) if word in {"one", "two"}] == [
            "one",
            "two",
            "one",
        ]


async def test_uninstall_runs_when_a_component_is_removed() -> None:
    """The step knows the version that goes; its failure is logged and stops nothing (1.7)."""
    step = "echo $GREENGRASS_COMPONENT_VERSION >> {kernel:rootPath}/journal; exit 4"
    press = component(PRESS, lifecycle={"uninstall": step, "shutdown": noting("shutdown")})
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        report = await nucleus.deploy("--remove", PRESS)
        assert report["status"] == "SUCCEEDED"
        assert journal(nucleus)[-2:] == ["shutdown", "1.0.0"]
        assert "uninstall exited with code 4" in nucleus.log()
        assert "UNINSTALL_ERROR" in nucleus.log()


async def test_uninstall_survives_a_killed_nucleus() -> None:
    """A component whose removal was cut short is uninstalled by the next nucleus."""
    press = component(PRESS, lifecycle={"uninstall": noting("gone"), "shutdown": "sleep 0.5"})
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        seen = nucleus.log().count("old=RUNNING")
        deployment = await nucleus.submit(rootComponentsToRemove=[PRESS])
        await nucleus.until(lambda: nucleus.log().count("old=RUNNING") > seen, "it stops")
        await nucleus.kill()
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        assert journal(nucleus)[-1] == "gone"
        assert await nucleus.component(PRESS) == {}


def configure(**values: object) -> list[str]:
    return ["--update-config", json.dumps({NUCLEUS: {"MERGE": values}})]


async def test_live_setting_of_the_nucleus() -> None:
    """A deployment sets the level of the log without a restart, and resets it."""
    async with nuclei.running_nucleus(component(PRESS)) as nucleus:
        pid = nucleus.pid
        report = await nucleus.deploy("--merge", PRESS, *configure(logging={"level": "ERROR"}))
        assert report["status"] == "SUCCEEDED"
        assert nucleus.pid == pid
        length = len(nucleus.log())
        await nucleus.cli("component", "restart", PRESS)
        await nucleus.in_state(PRESS, "RUNNING")
        assert len(nucleus.log()) == length
        await nucleus.kill()
        await nucleus.start()
        assert len(nucleus.log()) == length  # it is kept
        reset = json.dumps({NUCLEUS: {"RESET": ["/logging/level"]}})
        report = await nucleus.deploy("--merge", PRESS, "--update-config", reset)
        assert [c["path"] for c in report["changes"]] == ["/logging/level"]
        await nucleus.cli("component", "restart", PRESS)
        await nucleus.until(lambda: len(nucleus.log()) > length, "the log goes on")


async def test_other_settings_restart_the_nucleus() -> None:
    """A setting that cannot change live takes effect through a restart."""
    press = component(PRESS, lifecycle={"run": "echo $AWS_REGION >> regions; " + FOREVER})
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        deployment = await nucleus.submit(
            componentToConfiguration={NUCLEUS: {"MERGE": {"awsRegion": "eu-north-1"}}}
        )
        assert await nucleus.wait() == 100
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        await nucleus.in_state(PRESS, "RUNNING")
        assert nucleus.work(PRESS, "regions").read_text() == "eu-west-1\neu-north-1\n"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        pytest.param(
            {"logging": {"level": "LOUD"}},
            "aws.greengrass.Nucleus/logging/level: should be one of",
            id="level",
        ),
        pytest.param(
            {"runWithDefault": {"posixUser": "nobody-of-that-name"}},
            "there is no such user",
            id="user",
        ),
    ],
)
async def test_useless_setting_of_the_nucleus_is_refused(
    values: dict[str, object], sentence: str
) -> None:
    """A value that the nucleus could not start with is refused, naming the setting."""
    async with nuclei.running_nucleus(component(PRESS)) as nucleus:
        report = await nucleus.deploy("--merge", PRESS, *configure(**values))
        assert report["status"] == "FAILED"
        assert sentence in report["failure_cause"]
        assert await nucleus.component(PRESS) == {}


async def test_interpolated_configuration() -> None:
    """With `interpolateComponentConfiguration` values may hold system variables, no others."""
    values = {
        "model": "{artifacts:path}/a",
        "list": ["{iot:thingName}"],
        "own": "{configuration:/x}",
    }
    press = component(PRESS, configuration=values)
    async with nuclei.running_nucleus(press) as nucleus:
        await nucleus.deploy("--merge", PRESS, *configure(interpolateComponentConfiguration=True))
        assert (await nucleus.component(PRESS))["configuration"] == {
            "model": f"{nucleus.paths.artifacts(PRESS, '1.0.0')}/a",
            "list": ["press-01"],
            "own": "{configuration:/x}",
        }
