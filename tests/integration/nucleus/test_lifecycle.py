"""Steps, order, users and output of components on a real nucleus process."""

from __future__ import annotations

import os
import pwd

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
CAMERA = "com.example.Camera"

FOREVER = "exec sleep 1000"
JOURNAL = "/journal"


def component(name: str, *, run: str | None = FOREVER, **more: object) -> recipes.Component:
    return recipes.Component(name, run=run, **more)  # type: ignore[arg-type]


def noting(word: str) -> str:
    """Return a script that adds a word to a journal that all components share."""
    return "echo " + word + " >> {kernel:rootPath}" + JOURNAL


def journal(nucleus: nuclei.NucleusProcess) -> list[str]:
    file = nucleus.root / JOURNAL.lstrip("/")
    return file.read_text().split() if file.exists() else []


async def test_startup_that_ends_well_is_running() -> None:
    """A component with a startup step is RUNNING once that step has ended well."""
    daemon = component(
        PRESS, run=None, lifecycle={"startup": "setsid -f sleep 1000 >/dev/null 2>&1"}
    )
    async with nuclei.running_nucleus(daemon) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "SUCCEEDED"
        assert (await nucleus.component(PRESS))["state"] == "RUNNING"


async def test_component_that_has_done_its_work_is_finished() -> None:
    """A run step that ends well is followed by shutdown, and the component is FINISHED."""
    once = component(PRESS, run=noting("run"), lifecycle={"shutdown": noting("shutdown")})
    async with nuclei.running_nucleus(once) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "SUCCEEDED"
        assert (await nucleus.component(PRESS))["state"] == "FINISHED"
        assert journal(nucleus) == ["run", "shutdown"]


async def test_component_without_steps_is_finished() -> None:
    """A component that only brings files is FINISHED, and its dependents start."""
    model = recipes.Component(CAMERA, artifacts={"model": b"weights"})
    user = component(
        PRESS,
        run="cat {com.example.Camera:artifacts:path}/model > out; " + FOREVER,
        dependencies={CAMERA: "*"},
    )
    async with nuclei.running_nucleus(model, user) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        assert (await nucleus.component(CAMERA))["state"] == "FINISHED"
        assert nucleus.work(PRESS, "out").read_bytes() == b"weights"
        assert (await nucleus.component(CAMERA))["isRoot"] is False


async def test_dependents_start_last_and_stop_first() -> None:
    """A HARD dependent starts after its dependency and stops before it."""
    steps = {"shutdown": noting("camera-stops")}
    camera = component(
        CAMERA, run=None, lifecycle={"startup": "sleep 0.3; " + noting("camera"), **steps}
    )
    press = component(
        PRESS,
        run=noting("press") + "; " + FOREVER,
        lifecycle={"shutdown": "sleep 0.3; " + noting("press-stops")},
        dependencies={CAMERA: "*"},
    )
    async with nuclei.running_nucleus(camera, press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.stop()
        assert journal(nucleus) == ["camera", "press", "press-stops", "camera-stops"]


@pytest.mark.parametrize(
    ("kind", "starts"), [pytest.param("HARD", 2, id="hard"), pytest.param("SOFT", 1, id="soft")]
)
async def test_lost_dependency_restarts_only_hard_dependents(kind: str, starts: int) -> None:
    """A dependent restarts with its HARD dependency, and takes no notice of a SOFT one."""
    camera = component(CAMERA, run="echo $$ > pid; " + noting("camera") + "; " + FOREVER)
    press = component(
        PRESS,
        run=noting("press") + "; " + FOREVER,
        dependencies={CAMERA: {"VersionRequirement": "*", "DependencyType": kind}},
    )
    async with nuclei.running_nucleus(camera, press) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        os.kill(int(nucleus.work(CAMERA, "pid").read_text()), 9)
        await nucleus.until(lambda: journal(nucleus).count("camera") == 2, "camera starts again")
        await nucleus.until(lambda: journal(nucleus).count("press") == starts, "press is settled")
        await nucleus.in_state(PRESS, "RUNNING")
        assert journal(nucleus)[-1] == ("press" if kind == "HARD" else "camera")


@pytest.mark.parametrize(
    ("lifecycle", "reason"),
    [
        pytest.param(
            {"install": {"Script": "exec sleep 100", "Timeout": 0.1}},
            "install did not end within 0.1 s (INSTALL_TIMEOUT)",
            id="install-timeout",
        ),
        pytest.param(
            {"startup": {"Script": "exec sleep 100", "Timeout": 0.1}},
            "startup did not end within 0.1 s (STARTUP_TIMEOUT)",
            id="startup-timeout",
        ),
        pytest.param(
            {"run": {"Script": "exec sleep 100", "Timeout": 0.1}},
            "run did not end within 0.1 s (RUN_TIMEOUT)",
            id="run-timeout",
        ),
        pytest.param(
            {"install": "exit 4"}, "install exited with code 4 (INSTALL_ERROR)", id="install-error"
        ),
        pytest.param(
            {"startup": "exit 4"}, "startup exited with code 4 (STARTUP_ERROR)", id="startup-error"
        ),
        pytest.param(
            {"run": {"Script": "true", "Skipif": "sometimes"}},
            "(RUN_CONFIG_NOT_VALID)",
            id="bad-skipif",
        ),
        pytest.param({"startup": {}}, "(STARTUP_CONFIG_NOT_VALID)", id="no-script"),
        pytest.param(
            {"bootstrap": {}, "run": FOREVER}, "(INSTALL_CONFIG_NOT_VALID)", id="no-bootstrap"
        ),
    ],
)
async def test_failing_step_names_itself(lifecycle: dict[str, object], reason: str) -> None:
    """A failed deployment says which step failed, and how."""
    failing = recipes.Component(PRESS, lifecycle=lifecycle)
    async with nuclei.running_nucleus(failing) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "FAILED"
        assert reason in report["failure_cause"]


async def test_recover_runs_after_each_error() -> None:
    """The recover step runs between an error and the next start."""
    failing = component(
        PRESS, run=noting("run") + "; exit 1", lifecycle={"recover": noting("recover")}
    )
    async with nuclei.running_nucleus(failing) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        assert journal(nucleus) == ["run", "recover", "run", "recover", "run"]


async def test_skipped_steps_do_not_run() -> None:
    """Skipif leaves a step out where its condition holds."""
    steps = {
        "install": {"Script": noting("install"), "Skipif": "onpath sh"},
        "startup": {"Script": noting("startup"), "Skipif": "exists /"},
        "run": {"Script": noting("run") + "; " + FOREVER, "Skipif": "! exists /"},
    }
    async with nuclei.running_nucleus(recipes.Component(PRESS, lifecycle=steps)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        assert journal(nucleus) == ["run"]


async def test_environment_of_a_step() -> None:
    """A step sees the nucleus's variables, its component's and its own, in that order."""
    steps = {
        "Setenv": {"PLACE": "{work:path}", "LEVEL": "component"},
        "run": {"Script": "env > out; " + FOREVER, "Setenv": {"LEVEL": "step"}},
    }
    async with nuclei.running_nucleus(recipes.Component(PRESS, lifecycle=steps)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        lines = nucleus.work(PRESS, "out").read_text().splitlines()
        seen = dict(line.split("=", 1) for line in lines if "=" in line)
        assert seen["PLACE"] == str(nucleus.paths.work(PRESS))
        assert seen["LEVEL"] == "step"
        assert seen["AWS_REGION"] == "eu-west-1"
        assert seen["GGC_VERSION"].startswith("2.")
        assert len(seen["SVCUID"]) == 16
        assert seen["SVCUID"] == seen["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
        assert seen["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"] == str(nucleus.paths.socket)
        assert "NOTIFY_SOCKET" not in seen


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may switch users")
async def test_component_runs_as_its_user() -> None:
    """Steps run as the configured user with its home; privileged ones as the nucleus's user."""
    steps = {
        "install": {"Script": "id -un > installer; touch made-by-root", "RequiresPrivilege": True},
        "run": "id -un > runner; echo $HOME > home; touch made-by-root; cat {artifacts:path}/data "
        "> data; " + FOREVER,
    }
    nobody = pwd.getpwnam("nobody")
    unprivileged = recipes.Component(PRESS, lifecycle=steps, artifacts={"data": b"secret"})
    async with nuclei.running_nucleus(
        unprivileged, configuration={"runWithDefault": {"posixUser": "nobody:nogroup"}}
    ) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "SUCCEEDED"
        assert nucleus.work(PRESS, "installer").read_text() == "root\n"
        assert nucleus.work(PRESS, "runner").read_text() == "nobody\n"
        assert nucleus.work(PRESS, "home").read_text() == nobody.pw_dir + "\n"
        assert nucleus.work(PRESS, "data").read_text() == "secret"
        assert nucleus.work(PRESS, "made-by-root").stat().st_uid == nobody.pw_uid
        assert nucleus.paths.work(PRESS).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="others never run components as root")
async def test_root_is_never_chosen_unasked() -> None:
    """Without a configured user, a nucleus that is root refuses to run anything."""
    async with nuclei.running_nucleus(
        component(PRESS), configuration={"runWithDefault": {"posixUser": ""}}
    ) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert "set runWithDefault.posixUser" in report["failure_cause"]
        assert "RUN_MISSING_DEFAULT_RUNWITH" in report["failure_cause"]


async def test_flood_of_output_harms_nobody_else() -> None:
    """A component that writes without end is slowed down; its log stays within its limits."""
    flood = component(CAMERA, run="exec yes 'a line of output that says very little'")
    limits = {"logging": {"fileSizeKB": 64, "totalLogsSizeKB": 256}}
    async with nuclei.running_nucleus(flood, component(PRESS), configuration=limits) as nucleus:
        await nucleus.deploy("--merge", CAMERA)
        report = await nucleus.deploy("--merge", PRESS)
        assert report["status"] == "SUCCEEDED"
        # The flood ends first: while it lasts, files get other names between two looks.
        await nucleus.deploy("--remove", CAMERA)
        written = sum(file.stat().st_size for file in nucleus.paths.logs.glob(f"{CAMERA}*"))
        assert 64 * 1024 <= written <= 256 * 1024


async def test_output_without_line_ends_is_bounded() -> None:
    """A line that never ends is cut, and what follows is logged again."""
    script = "head -c 300000 /dev/zero | tr '\\0' x; echo; echo after; " + FOREVER
    async with nuclei.running_nucleus(component(PRESS, run=script)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.until(lambda: "stdout. after." in nucleus.log(PRESS), "the next line")
        assert len(nucleus.log(PRESS)) < 50_000


async def test_stubborn_program_is_killed() -> None:
    """A program that ignores SIGTERM is killed, so that nothing waits for it for ever."""
    stubborn = component(PRESS, run="echo $$ > pid; trap '' TERM; while :; do sleep 1; done")
    async with nuclei.running_nucleus(stubborn) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        pid = int(nucleus.work(PRESS, "pid").read_text())
        assert (await nucleus.cli("component", "stop", PRESS)).code == 0
        assert (await nucleus.component(PRESS))["state"] == "FINISHED"
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_bootstrap_that_asks_for_a_restart_gets_it() -> None:
    """Exit code 100 ends the nucleus with that code; the deployment goes on in the next one."""
    steps = {"bootstrap": noting("bootstrap") + "; exit 100", "run": noting("run") + "; " + FOREVER}
    async with nuclei.running_nucleus(recipes.Component(PRESS, lifecycle=steps)) as nucleus:
        deployment = await nucleus.submit(rootComponentVersionsToAdd={PRESS: "1.0.0"})
        assert await nucleus.wait() == 100
        await nucleus.start()
        assert (await nucleus.ended(deployment))["status"] == "SUCCEEDED"
        assert journal(nucleus).count("bootstrap") == 1


async def test_failing_bootstrap_changes_nothing() -> None:
    """A bootstrap step that fails ends the deployment before anything is activated."""
    steps = {"bootstrap": "echo no licence; exit 3", "run": FOREVER}
    async with nuclei.running_nucleus(recipes.Component(PRESS, lifecycle=steps)) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert report["detailed_status"] == "FAILED_NO_STATE_CHANGE"
        assert "bootstrap exited with code 3\n  no licence" in report["failure_cause"]
