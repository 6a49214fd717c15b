"""The module that asks the nucleus for a deployment, against a command that stands in for it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles import tables

MODULE = tables.ROLES / "deployment" / "library" / "verge_deployment.py"

# Answers with prepared text, and keeps what it was asked.
STAND_IN = """\
#!{python}
import json, pathlib, sys
folder = pathlib.Path({folder!r})
arguments = sys.argv[1:]
def given(option):
    return pathlib.Path(arguments[arguments.index(option) + 1]) if option in arguments else None
updates, recipes = given("--update-config"), given("--recipe-dir")
updates = json.loads(updates.read_text()) if updates else None
recipes = sorted(path.name for path in recipes.iterdir()) if recipes else []
with (folder / "asked.jsonl").open("a") as file:
    print(json.dumps({{"arguments": arguments, "updates": updates, "recipes": recipes}}), file=file)
answer = json.loads((folder / f"{{arguments[0]}}.json").read_text())
sys.stdout.write(answer["stdout"])
sys.stderr.write(answer["stderr"])
sys.exit(answer["code"])
"""


@dataclass
class Device:
    """A directory with the stand-in, its answers and what it was asked."""

    folder: Path

    @property
    def command(self) -> Path:
        """The stand-in's path."""
        return self.folder / "verge-nucleus"

    def answer(self, verb: str, document: Any, *, code: int = 0, stderr: str = "") -> None:
        """Prepare the answer to a verb; text is sent as it is."""
        stdout = document if isinstance(document, str) else json.dumps(document)
        content = {"stdout": stdout, "stderr": stderr, "code": code}
        (self.folder / f"{verb}.json").write_text(json.dumps(content))

    def asked(self) -> list[dict[str, Any]]:
        """Return what the stand-in was asked, in order."""
        file = self.folder / "asked.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def deploy(self, *, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run the module as Ansible does, in a process of its own, and return its result."""
        given = {
            "device": "press-01",
            "components": {},
            "recipe_directory": str(self.folder / "recipes"),
            "artifact_directory": str(self.folder / "artifacts"),
            "record": str(self.folder / "deployment.json"),
            "root": "/root/of/nucleus",
            "command": str(self.command),
            "_ansible_check_mode": check,
            **arguments,
        }
        # The wrapper that Ansible puts around a module does the same.
        program = (
            "import runpy, sys; from ansible.module_utils import basic;"
            "from ansible.module_utils.testing import patch_module_args;"
            "import json\n"
            "with patch_module_args(json.loads(sys.stdin.read())):\n"
            f"    runpy.run_path({str(MODULE)!r}, run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout, done.stderr
        result: dict[str, Any] = json.loads(done.stdout)
        assert bool(done.returncode) == bool(result.get("failed")), done.stderr
        return result


@pytest.fixture
def device(tmp_path: Path) -> Device:
    """Return a device with two asked-for components and a dependency."""
    made = Device(tmp_path)
    made.command.write_text(STAND_IN.format(python=sys.executable, folder=str(tmp_path)))
    made.command.chmod(stat.S_IRWXU)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "artifacts").mkdir()
    local, cloud = ["LOCAL_DEPLOYMENT"], ["thinggroup/line"]
    listed = {"a": local, "old": [*local, *cloud], "needed": [], "of-the-cloud": cloud}
    components = [{"name": name, "groups": groups} for name, groups in listed.items()]
    made.answer("list", {"components": components})
    made.answer("deploy", {"changed": True, "status": "SUCCEEDED", "changes": []})
    return made


def _option(arguments: list[str], name: str) -> list[str]:
    return [arguments[i + 1] for i, argument in enumerate(arguments) if argument == name]


def test_wishes_become_one_deployment(device: Device) -> None:
    """Requirements, dropped roots, configuration, policy and limit reach the nucleus at once."""
    wanted = {
        "b": {"version": ">=1.0.0", "configuration": {"merge": {"n": 1}, "reset": ["/m"]}},
        "a": {"configuration": {"merge": {}}},
    }
    result = device.deploy(components=wanted, timeout=77, failure_handling_policy="DO_NOTHING")
    assert result["changed"]
    assert result["status"] == "SUCCEEDED"
    listing, deploying = device.asked()
    assert listing["arguments"][0] == "list"
    arguments = deploying["arguments"]
    assert arguments[0] == "deploy"
    assert _option(arguments, "--merge") == ["a=*", "b=>=1.0.0"]
    assert _option(arguments, "--remove") == ["old"]
    assert _option(arguments, "--timeout") == ["77"]
    assert _option(arguments, "--failure-handling-policy") == ["DO_NOTHING"]
    assert _option(arguments, "--root") == ["/root/of/nucleus"]
    assert _option(arguments, "--recipe-dir") == [str(device.folder / "recipes")]
    assert _option(arguments, "--artifact-dir") == [str(device.folder / "artifacts")]
    assert deploying["updates"] == {"b": {"MERGE": {"n": 1}, "RESET": ["/m"]}}
    assert "--dry-run" not in arguments


def test_what_is_not_declared_any_more_goes_back(device: Device) -> None:
    """A value that was declared once and is not any more is reset, and only that."""
    first = {"b": {"configuration": {"merge": {"a/b": {"c": 1, "d": [2]}, "e": 3}}}, "c": {}}
    device.deploy(components=first)
    second = {"b": {"configuration": {"merge": {"e": 4}, "reset": ["/m"]}}, "c": {}}
    device.deploy(check=True, components=second)
    device.deploy(components=second)
    device.deploy(components=second)
    asked = [item["updates"] for item in device.asked() if item["arguments"][0] == "deploy"]
    changed = {"b": {"MERGE": {"e": 4}, "RESET": ["/m", "/a~1b/c", "/a~1b/d"]}}
    assert asked == [
        {"b": {"MERGE": first["b"]["configuration"]["merge"]}},
        changed,
        changed,
        {"b": {"MERGE": {"e": 4}, "RESET": ["/m"]}},
    ]


def test_failed_deployment_leaves_the_record(device: Device) -> None:
    """After a failure the device still knows what was declared before."""
    device.deploy(components={"b": {"configuration": {"merge": {"e": 3}}}})
    good = (device.folder / "deploy.json").read_text()
    device.answer("deploy", {"status": "FAILED", "failure_cause": "no voice"}, code=1)
    device.deploy(components={"b": {}})
    (device.folder / "deploy.json").write_text(good)
    device.deploy(components={"b": {}})
    assert device.asked()[-1]["updates"] == {"b": {"RESET": ["/e"]}}


def test_what_a_cloud_deployed_is_left_alone(device: Device) -> None:
    """Components that only a thing group asks for are the cloud's to remove."""
    device.deploy(components={"a": {}})
    assert _option(device.asked()[-1]["arguments"], "--remove") == ["old"]


def test_a_group_has_its_own_components(device: Device) -> None:
    """With a group the nucleus is told so, and only that group's components are dropped."""
    device.deploy(components={"a": {}}, group="line")
    arguments = device.asked()[-1]["arguments"]
    assert _option(arguments, "--group") == ["line"]
    assert _option(arguments, "--remove") == ["of-the-cloud", "old"]


def test_nothing_to_change_is_no_change(device: Device) -> None:
    """The nucleus decides what is a change."""
    device.answer("deploy", {"changed": False, "status": "UNCHANGED", "changes": []})
    result = device.deploy(components={"a": {}})
    assert not result["changed"]
    assert result["status"] == "UNCHANGED"


def test_nothing_wanted_on_an_empty_device_asks_for_no_deployment(device: Device) -> None:
    """Without anything to add or remove there is no deployment."""
    listed = [{"name": "needed", "groups": []}, {"name": "c", "groups": ["thinggroup/line"]}]
    device.answer("list", {"components": listed})
    assert not device.deploy()["changed"]
    assert [asked["arguments"][0] for asked in device.asked()] == ["list"]


def test_check_mode_asks_for_a_plan(device: Device) -> None:
    """In check mode the nucleus plans with the recipes that would be sent, and shows its plan."""
    change = {"component": "b", "action": "update", "before": "1.0.0", "after": "1.0.1", "path": ""}
    device.answer("deploy", {"changed": True, "status": "PLANNED", "changes": [change]})
    result = device.deploy(
        check=True, components={"b": {}}, planned_recipes={"b-1.0.1.yaml": "text"}
    )
    assert result["changed"]
    assert result["diff"] == {"before": 'b: "1.0.0"\n', "after": 'b: "1.0.1"\n'}
    asked = device.asked()[-1]
    assert "--dry-run" in asked["arguments"]
    assert asked["recipes"] == ["b-1.0.1.yaml"]


def test_check_mode_before_there_is_a_nucleus(device: Device) -> None:
    """A device without a nucleus yet would change in every respect."""
    device.command.unlink()
    result = device.deploy(check=True, components={"a": {}})
    assert result["changed"]
    assert result["changes"] == [{"component": "a", "after": "installed"}]


def test_failure_tells_reason_and_last_lines(device: Device) -> None:
    """A failed deployment tells device, reason, outcome and the last lines of what failed."""
    outcome = {
        "changed": True,
        "status": "FAILED",
        "detailed_status": "FAILED_ROLLBACK_COMPLETE",
        "failure_cause": "b 1.0.1: run exited with code 3",
        "logs": {"b": ["first", "no voice"], "c": []},
    }
    device.answer("deploy", outcome, code=1)
    result = device.deploy(components={"b": {}})
    assert result["failed"]
    assert result["msg"].splitlines() == [
        "cannot deploy to press-01: b 1.0.1: run exited with code 3",
        "status: FAILED_ROLLBACK_COMPLETE",
        "last lines of b:",
        "  first",
        "  no voice",
    ]


def test_lines_that_the_reason_holds_are_not_repeated(device: Device) -> None:
    """A reason that ends with the log needs no second copy of it."""
    outcome = {
        "status": "FAILED",
        "failure_cause": "b failed:\n  no voice",
        "logs": {"b": ["no voice"]},
    }
    device.answer("deploy", outcome, code=1)
    assert device.deploy(components={"b": {}})["msg"].count("no voice") == 1


@pytest.mark.parametrize(
    ("stdout", "stderr", "said"),
    [
        ("", "x\ncannot reach the nucleus: it does not run\n", "it does not run"),
        ("not json", "", "not json"),
        ("", "", "no output"),
        ("[]", "", "[]"),
    ],
    ids=["down", "text", "silent", "no document"],
)
def test_a_nucleus_that_does_not_answer_is_named(
    device: Device, stdout: str, stderr: str, said: str
) -> None:
    """What the command said instead of a document is in the message."""
    device.answer("list", stdout, code=1, stderr=stderr)
    result = device.deploy(components={"a": {}})
    assert result["failed"]
    assert result["msg"].startswith("cannot deploy to press-01: `verge-nucleus list` ended with 1")
    assert result["msg"].endswith(said)


def test_a_device_without_nucleus_is_named(device: Device) -> None:
    """A missing command is a sentence with the next step."""
    device.command.unlink()
    result = device.deploy(components={"a": {}})
    assert result["failed"]
    assert "does not exist there; install the nucleus with `inv provision`" in result["msg"]


def test_missing_directories_are_not_passed_on(device: Device) -> None:
    """Taking components off needs no release on the device."""
    (device.folder / "recipes").rmdir()
    (device.folder / "artifacts").rmdir()
    device.deploy()
    arguments = device.asked()[-1]["arguments"]
    assert _option(arguments, "--remove") == ["a", "old"]
    assert "--recipe-dir" not in arguments
    assert "--artifact-dir" not in arguments
