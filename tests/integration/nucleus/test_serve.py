"""Start and end of the daemon, and the command line around it."""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.support import nucleus as nuclei
from tests.support import recipes

PRESS = "com.example.Press"
FOREVER = "exec sleep 1000"


async def test_second_nucleus_on_a_root_is_refused() -> None:
    """Two nuclei never serve one root."""
    async with nuclei.running_nucleus() as nucleus:
        result = await nucleus.cli("serve", "--root", str(nucleus.root))
        assert result.code == 3
        assert "another nucleus does already; stop it first" in result.err


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        pytest.param("config.yaml", b"system: [", "config.yaml:2: did not find", id="broken-yaml"),
        pytest.param("config.yaml", b"\xff\xfe", "cannot read", id="not-text"),
        pytest.param(
            "config.yaml",
            b'{"services": {"aws.greengrass.Nucleus": {"configuration": {"logging": 7}}}}',
            "config.yaml/services/aws.greengrass.Nucleus/configuration/logging: should be a map",
            id="wrong-shape",
        ),
        pytest.param("nucleus.db", b"garbage" * 1000, "cannot open", id="garbage-database"),
    ],
)
async def test_unusable_file_stops_the_start(file: str, content: bytes, sentence: str) -> None:
    """A file that cannot be used ends the start with code 3 and one sentence."""
    async with nuclei.running_nucleus() as nucleus:
        await nucleus.stop()
        for extra in ("nucleus.db-wal", "nucleus.db-shm"):
            (nucleus.paths.database.parent / extra).unlink(missing_ok=True)
        (nucleus.root / "config" / file).write_bytes(content)
        result = await nucleus.cli("serve", "--root", str(nucleus.root))
        assert result.code == 3
        assert sentence in result.err
        assert "Traceback" not in result.err


async def test_damaged_database_is_replaced_by_its_backup() -> None:
    """The device comes back as the last deployment left it, and the log says what was lost."""
    async with nuclei.running_nucleus(recipes.Component(PRESS, run=FOREVER)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        await nucleus.stop()
        with sqlite3.connect(nucleus.paths.database) as db:
            db.execute("UPDATE components SET document = '{'")
        db.close()
        await nucleus.start()
        await nucleus.in_state(PRESS, "RUNNING", "1.0.0")
        assert "cannot understand" in nucleus.log()
        assert "was kept at" in nucleus.log()


async def test_components_come_back_with_the_nucleus() -> None:
    """After an orderly restart the same components run with the same configuration."""
    component = recipes.Component(PRESS, run=FOREVER, configuration={"rate": 1})
    async with nuclei.running_nucleus(component) as nucleus:
        await nucleus.deploy(
            "--merge", PRESS, "--update-config", json.dumps({PRESS: {"MERGE": {"rate": 2}}})
        )
        await nucleus.stop()
        await nucleus.start()
        await nucleus.in_state(PRESS, "RUNNING")
        assert (await nucleus.component(PRESS))["configuration"] == {"rate": 2}


async def test_list_shows_components() -> None:
    """`list` names every component, as text and as JSON."""
    async with nuclei.running_nucleus(recipes.Component(PRESS, run=FOREVER)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        listed = (await nucleus.cli("list", "--json")).document["components"]
        press = next(c for c in listed if c["name"] == PRESS)
        assert press == {
            "name": PRESS,
            "version": "1.0.0",
            "state": "RUNNING",
            "is_root": True,
            "groups": ["LOCAL_DEPLOYMENT"],
            "status_reason": "",
            "configuration": {},
        }
        assert f"{PRESS}       1.0.0   RUNNING" in (await nucleus.cli("list")).out


async def test_logs_shows_the_last_lines() -> None:
    """`logs` prints the end of a log and refuses a name without one."""
    talker = recipes.Component(PRESS, run="for i in 1 2 3; do echo line $i; done; " + FOREVER)
    async with nuclei.running_nucleus(talker) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        shown = await nucleus.cli("logs", PRESS, "--lines", "2")
        assert [line.split("stdout. ")[1][:6] for line in shown.out.splitlines()] == [
            "line 2",
            "line 3",
        ]
        refused = await nucleus.cli("logs", "../config/config")
        assert refused.code == 1
        assert "verge-nucleus list shows the components" in refused.err


async def test_status_shows_the_newest_deployment() -> None:
    """`status` and `deployment list` show what became of a deployment."""
    broken = recipes.Component(PRESS, run="echo no lens; exit 1")
    async with nuclei.running_nucleus(broken) as nucleus:
        assert (await nucleus.cli("status")).code == 1
        report = await nucleus.deploy("--merge", PRESS)
        shown = (await nucleus.cli("status", "--json")).document
        assert shown["deployment_id"] == report["deployment_id"]
        assert shown["status"] == "FAILED"
        assert "no lens" in shown["logs"][PRESS]
        listed = await nucleus.cli("deployment", "list")
        assert f"Deployment ID: {report['deployment_id']}" in listed.out
        assert "Status: FAILED" in listed.out


async def test_component_can_be_stopped_and_restarted() -> None:
    """`component stop` lasts until `component restart`."""
    async with nuclei.running_nucleus(recipes.Component(PRESS, run=FOREVER)) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        assert (await nucleus.cli("component", "stop", PRESS)).code == 0
        assert (await nucleus.component(PRESS))["state"] == "FINISHED"
        assert (await nucleus.cli("component", "restart", PRESS)).code == 0
        await nucleus.in_state(PRESS, "RUNNING")
        unknown = await nucleus.cli("component", "stop", "com.example.Ghost")
        assert unknown.code == 1
        assert "com.example.Ghost is not installed" in unknown.err


async def test_command_without_a_nucleus_says_what_to_do() -> None:
    """Commands for a nucleus that does not run end with the next step."""
    async with nuclei.running_nucleus() as nucleus:
        await nucleus.stop()
        result = await nucleus.cli("list")
        assert result.code == 1
        assert "systemctl status greengrass" in result.err
        elsewhere = await nucleus.cli("list", "--root", str(nucleus.directory / "none"))
        assert "no nucleus has served" in elsewhere.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["--recipe-dir", "/none"], "there is no such directory", id="no-directory"),
        pytest.param(["--merge", "x y"], "not a component name", id="bad-name"),
        pytest.param(["--merge", f"{PRESS}=>=oops"], "cannot deploy " + PRESS, id="bad-range"),
        pytest.param(["--merge", f"{PRESS}=9.9.9"], "at hand are 1.0.0", id="no-such-version"),
        pytest.param(["--merge", PRESS, "--group", "a:b"], "colon", id="bad-group"),
        pytest.param(["--update-config", "{"], "cannot read --update-config", id="bad-json"),
        pytest.param(["--update-config", "/none"], "No such file", id="no-json-file"),
        pytest.param(
            ["--update-config", '{"com.example.Ghost": {"MERGE": {}}}'],
            "the device would not have it",
            id="configuration-of-nothing",
        ),
    ],
)
async def test_bad_request_is_refused(arguments: list[str], sentence: str) -> None:
    """A request that cannot work is refused before anything is queued."""
    async with nuclei.running_nucleus(recipes.Component(PRESS, run=FOREVER)) as nucleus:
        directories = [] if "/none" in arguments[:2] else nucleus.release.arguments
        result = await nucleus.cli("deploy", *directories, *arguments)
        assert result.code == 1
        assert sentence in result.err
        assert "Traceback" not in result.err
        assert (await nucleus.call("ListLocalDeployments", {}))["localDeployments"] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("bad.yaml", "RecipeFormatVersion: [", id="broken-yaml"),
        pytest.param("bad.json", "{", id="broken-json"),
        pytest.param("empty.yml", "", id="empty"),
        pytest.param("other.yaml", "a: 1", id="no-recipe"),
    ],
)
async def test_file_that_is_no_recipe_is_named(name: str, content: str) -> None:
    """A recipe directory with a file that is no recipe is refused by the name of the file."""
    async with nuclei.running_nucleus(recipes.Component(PRESS, run=FOREVER)) as nucleus:
        (nucleus.release.recipes / name).write_text(content)
        result = await nucleus.cli("deploy", *nucleus.release.arguments, "--merge", PRESS, "--json")
        assert result.code == 1
        assert name in result.document["failure_cause"]
        assert result.document["status"] == "FAILED"


async def test_former_version_can_be_deployed_from_the_store() -> None:
    """The previous version is kept and needs no directories to go back to; older ones are not."""
    run = "cat {artifacts:path}/data > out; " + FOREVER
    async with nuclei.running_nucleus() as nucleus:
        for version in ("1.0.0", "1.1.0", "1.2.0"):
            data = {"data": version.encode()}
            nucleus.release.add(recipes.Component(PRESS, version, run=run, artifacts=data))
            await nucleus.deploy("--merge", f"{PRESS}={version}")
        result = await nucleus.cli("deploy", "--merge", f"{PRESS}=1.1.0", "--json")
        assert result.document["status"] == "SUCCEEDED"
        assert nucleus.work(PRESS, "out").read_text() == "1.1.0"
        kept = sorted(p.name for p in nucleus.paths.artifacts(PRESS, "x").parent.iterdir())
        assert kept == ["1.1.0", "1.2.0"]


async def test_json_logs() -> None:
    """With the JSON format every line of nucleus and components is one document."""
    talker = recipes.Component(PRESS, run="echo 'said \"hello\"'; " + FOREVER)
    settings = {"logging": {"format": "JSON"}}
    async with nuclei.running_nucleus(talker, configuration=settings) as nucleus:
        await nucleus.deploy("--merge", PRESS)
        (line,) = [json.loads(line) for line in nucleus.log(PRESS).splitlines()]
        assert line["message"] == 'said "hello"'
        assert line["eventType"] == "stdout"
        assert line["contexts"]["serviceName"] == PRESS
        assert all(json.loads(line) for line in nucleus.log().splitlines())


async def test_conflicting_groups_are_both_named() -> None:
    """A version that another group pins cannot be changed; both sides are named."""
    async with nuclei.running_nucleus(
        recipes.Component(PRESS, run=FOREVER), recipes.Component(PRESS, "1.1.0", run=FOREVER)
    ) as nucleus:
        await nucleus.deploy("--merge", f"{PRESS}=1.0.0", "--group", "line")
        result = await nucleus.cli(
            "deploy", *nucleus.release.arguments, "--merge", f"{PRESS}=1.1.0"
        )
        assert "group thinggroup/line asks for 1.0.0" in result.err
        assert "group LOCAL_DEPLOYMENT asks for 1.1.0" in result.err


async def test_disk_reserve_is_kept() -> None:
    """Artifacts that would fill the disk are refused before any is written."""
    reserve = {"verge": {"minimumFreeDiskBytes": 10**15}}
    component = recipes.Component(PRESS, run=FOREVER, artifacts={"data": b"x"})
    async with nuclei.running_nucleus(component, configuration=reserve) as nucleus:
        report = await nucleus.deploy("--merge", PRESS)
        assert "make room and deploy again" in report["failure_cause"]
        assert report["error_stack"] == ["DEPLOYMENT_FAILURE", "DISK_SPACE_CRITICAL"]
