"""Bring the components of a device to what is wanted, through its nucleus."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: verge_deployment
short_description: Bring the components of a device to what is wanted
description:
  - Asks the nucleus on the device for a local deployment and waits for its end.
  - Components that the group asked for before and does not any more are removed. What other groups
    ask for, such as those that a cloud deploys to, is left alone.
  - In check mode the nucleus says what it would do.
options:
  device:
    description: Name of the device, for messages.
    type: str
    required: true
  components:
    description:
      - The wanted components by name, each with C(version) (a requirement, default C(*)) and
        C(configuration) (C(merge), C(reset)), both optional.
    type: dict
    required: true
  recipe_directory:
    description: Directory of recipes on the device.
    type: path
    required: true
  artifact_directory:
    description: Directory of artifacts on the device, as C(<component>/<version>/<file>).
    type: path
    required: true
  record:
    description:
      - File on the device that remembers the configuration declared last. What was declared then
        and is not any more goes back to the component's default; values that a component set
        itself are left alone.
    type: path
    default: /var/lib/verge/deployment.json
  planned_recipes:
    description: Recipes by file name, used instead of C(recipe_directory) in check mode.
    type: dict
    default: {}
  failure_handling_policy:
    description: What the nucleus does when a component fails.
    type: str
    choices: [ROLLBACK, DO_NOTHING]
    default: ROLLBACK
  group:
    description:
      - The thing group whose components these are, so that a deployment of a cloud to that group
        and this one follow one another. Empty makes them a group of their own.
    type: str
    default: ""
  timeout:
    description: Seconds until all components must run.
    type: int
    default: 600
  root:
    description: Root of the nucleus.
    type: path
    default: /greengrass/v2
  command:
    description: The command that speaks to the nucleus.
    type: path
    default: /usr/local/bin/verge-nucleus
author:
  - Verge
"""

EXAMPLES = r"""
- name: Run the detector
  verge_deployment:
    device: press-01
    components:
      verge.OnnxObjectDetection:
        version: ">=1.0.0 <2.0.0"
    recipe_directory: /var/lib/verge/bundle/recipes
    artifact_directory: /var/lib/verge/bundle/artifacts
"""

RETURN = r"""
status:
  description: SUCCEEDED, FAILED, UNCHANGED or, in check mode, PLANNED.
  returned: always
  type: str
changes:
  description: What was or would be changed.
  returned: always
  type: list
  elements: dict
components:
  description: Components with version and state after the deployment.
  returned: always
  type: list
  elements: dict
logs:
  description: The last log lines of components that failed.
  returned: always
  type: dict
"""

LOCAL_GROUP = "LOCAL_DEPLOYMENT"
"""The group of what local deployments ask for."""

ANSWER_GRACE = 30
"""Seconds beyond the deployment's own limit in which the command must answer."""


class DeploymentError(Exception):
    """The nucleus refused or did not answer; the message says why."""


def run_nucleus(
    command: str, root: str, arguments: Sequence[str], *, timeout: float
) -> dict[str, Any]:
    """Run the nucleus's command and return its JSON document, whether it succeeded or not."""
    try:
        done = subprocess.run(
            [command, *arguments, "--root", root, "--json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise DeploymentError(
            f"{command} does not exist there; install the nucleus with `inv provision`"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DeploymentError(
            f"the nucleus gave no answer within {timeout:.0f} s; `journalctl -u greengrass` on the "
            "device says what it does"
        ) from error
    try:
        document = json.loads(done.stdout)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise DeploymentError(
            f"`verge-nucleus {arguments[0]}` ended with {done.returncode} and said: {said}"
        )
    return document


def find_dropped(
    listed: Mapping[str, Any], wanted: Mapping[str, Any], group: str = ""
) -> list[str]:
    """Return the components that the group asked for once and that are not wanted any more.

    What other groups ask for is theirs to remove.
    """
    place = f"thinggroup/{group}" if group else LOCAL_GROUP
    return sorted(
        component["name"]
        for component in listed.get("components", [])
        if component["name"] not in wanted and place in component.get("groups", [])
    )


def declared_values(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration that is declared for each component."""
    return {
        name: ((wish or {}).get("configuration") or {}).get("merge") or {}
        for name, wish in wanted.items()
    }


def leaf_pointers(value: Any, pointer: str = "") -> set[str]:
    """Return the JSON pointers of all values that are no object, or an empty one."""
    if not isinstance(value, dict) or not value:
        return {pointer} if pointer else set()
    return {
        leaf
        for key, item in value.items()
        for leaf in leaf_pointers(
            item, pointer + "/" + str(key).replace("~", "~0").replace("/", "~1")
        )
    }


def read_record(file: Path) -> dict[str, Any]:
    """Return what was declared last, by component; nothing if that is not known."""
    try:
        declared = json.loads(file.read_text(encoding="utf-8"))["declared"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return declared if isinstance(declared, dict) else {}


def write_record(file: Path, declared: Mapping[str, Any]) -> None:
    """Remember what is declared now, in one step."""
    text = json.dumps({"declared": declared}, sort_keys=True)
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    partial = file.with_name(f".{file.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def configuration_updates(wanted: Mapping[str, Any], former: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration updates as `--update-config` reads them (contract 3.9).

    What was declared formerly and is not any more is reset.
    """
    updates: dict[str, Any] = {}
    declared = declared_values(wanted)
    for name, wish in wanted.items():
        configuration = (wish or {}).get("configuration") or {}
        withdrawn = leaf_pointers(former.get(name)) - leaf_pointers(declared[name])
        update = {
            "MERGE": declared[name],
            "RESET": [*(configuration.get("reset") or []), *sorted(withdrawn)],
        }
        if any(update.values()):
            updates[name] = {key: value for key, value in update.items() if value}
    return updates


def deploy_arguments(
    wanted: Mapping[str, Any], dropped: Sequence[str], params: Mapping[str, Any], *, updates: str
) -> list[str]:
    """Return the arguments of `verge-nucleus deploy`; `updates` is a file, or "" for none."""
    arguments = ["deploy", "--timeout", str(params["timeout"])]
    arguments += ["--failure-handling-policy", params["failure_handling_policy"]]
    arguments += ["--group", params["group"]] if params["group"] else []
    for option, directory in (
        ("--recipe-dir", params["recipe_directory"]),
        ("--artifact-dir", params["artifact_directory"]),
    ):
        if directory and Path(directory).is_dir():
            arguments += [option, directory]
    for name, wish in sorted(wanted.items()):
        arguments += ["--merge", f"{name}={(wish or {}).get('version', '*')}"]
    for name in dropped:
        arguments += ["--remove", name]
    return arguments + (["--update-config", updates] if updates else [])


def describe_changes(changes: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the changes as Ansible shows a difference: what is, and what is to be."""

    def lines(side: str) -> str:
        return "".join(
            f"{change.get('component')}{change.get('path') or ''}: "
            f"{json.dumps(change[side], sort_keys=True)}\n"
            for change in changes
            if change.get(side) is not None
        )

    return {"before": lines("before"), "after": lines("after")}


def explain_failure(device: str, outcome: Mapping[str, Any]) -> str:
    """Return why a deployment failed: cause, consequence, and the last lines of what failed."""
    cause = outcome.get("failure_cause") or "the nucleus gave no reason"
    text = [f"cannot deploy to {device}: {cause}"]
    if outcome.get("detailed_status"):
        text.append(f"status: {outcome['detailed_status']}")
    for name, lines in (outcome.get("logs") or {}).items():
        if lines and lines[-1] not in cause:
            text += [f"last lines of {name}:", *(f"  {line}" for line in lines)]
    return "\n".join(text)


def bring_about(module: AnsibleModule, scratch: Path) -> dict[str, Any]:
    """Deploy, or plan in check mode, and return the nucleus's document."""
    params = dict(module.params)
    wanted = params["components"]
    command, root = params["command"], params["root"]
    if module.check_mode and not Path(command).exists():
        # The nucleus itself would come first, so that everything is a change.
        changes = [{"component": name, "after": "installed"} for name in sorted(wanted)]
        return {"changed": bool(wanted), "status": "PLANNED", "changes": changes}
    listed = run_nucleus(command, root, ["list"], timeout=ANSWER_GRACE)
    dropped = find_dropped(listed, wanted, params["group"])
    if not wanted and not dropped:
        return {"changed": False, "status": "UNCHANGED"}
    if module.check_mode and params["planned_recipes"]:
        recipes = scratch / "recipes"
        recipes.mkdir()
        for name, text in params["planned_recipes"].items():
            (recipes / Path(name).name).write_text(text, encoding="utf-8")
        params["recipe_directory"] = str(recipes)
        # A check sends no artifacts; the recipes state their digests.
        params["artifact_directory"] = ""
    updates = configuration_updates(wanted, read_record(Path(params["record"])))
    file = scratch / "updates.json"
    if updates:
        file.write_text(json.dumps(updates), encoding="utf-8")
    arguments = deploy_arguments(wanted, dropped, params, updates=str(file) if updates else "")
    if module.check_mode:
        arguments.append("--dry-run")
    return run_nucleus(command, root, arguments, timeout=params["timeout"] + ANSWER_GRACE)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "device": {"type": "str", "required": True},
            "components": {"type": "dict", "required": True},
            "recipe_directory": {"type": "path", "required": True},
            "artifact_directory": {"type": "path", "required": True},
            "record": {"type": "path", "default": "/var/lib/verge/deployment.json"},
            "planned_recipes": {"type": "dict", "default": {}},
            "failure_handling_policy": {
                "type": "str",
                "choices": ["ROLLBACK", "DO_NOTHING"],
                "default": "ROLLBACK",
            },
            "group": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 600},
            "root": {"type": "path", "default": "/greengrass/v2"},
            "command": {"type": "path", "default": "/usr/local/bin/verge-nucleus"},
        },
        supports_check_mode=True,
    )
    device = module.params["device"]
    with tempfile.TemporaryDirectory(prefix="verge-deployment-") as scratch:
        try:
            outcome = bring_about(module, Path(scratch))
        except DeploymentError as error:
            module.fail_json(msg=f"cannot deploy to {device}: {error}")
    result = {
        "changed": bool(outcome.get("changed")),
        "changes": outcome.get("changes") or [],
        "components": outcome.get("components") or [],
        "deployment_id": outcome.get("deployment_id"),
        "logs": outcome.get("logs") or {},
        "status": outcome.get("status", ""),
    }
    if result["status"] not in {"SUCCEEDED", "UNCHANGED", "PLANNED"}:
        # The message tells all; the rest would only push it off the screen.
        module.fail_json(msg=explain_failure(device, outcome), status=result["status"])
    if not module.check_mode:
        write_record(Path(module.params["record"]), declared_values(module.params["components"]))
    module.exit_json(diff=describe_changes(result["changes"]), **result)


if __name__ == "__main__":
    main()
