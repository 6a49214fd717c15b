"""`verge-nucleus deploy`: plan, submit, wait, report."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from verge.nucleus import paths
from verge.nucleus.commands import components, connection
from verge.nucleus.ipc import client

TIMEOUT = 30.0
"""Seconds to wait for one answer of the nucleus."""

POLL = 0.1
"""Seconds between two looks at a deployment that is under way."""

PLAN_TIMEOUT = 120.0
"""Seconds a plan may take: artifacts without a digest in their recipe are read to compare."""

GIVE_UP_TIMEOUT = 300.0
"""Seconds to wait for the rollback of a deployment that took too long."""

RESTART_LIMIT = 120.0
"""Seconds that the nucleus may be away, because it restarts or the device reboots."""

_ENDED = {"SUCCEEDED", "FAILED", "CANCELED"}


def deploy(arguments: argparse.Namespace) -> int:
    """Deploy, wait and report; return 0 unless the deployment failed."""
    request = build_request(arguments)
    with connection.connect(arguments.root) as nucleus:
        report = _plan(nucleus, request)
    _say_changes(report["changes"])
    if arguments.dry_run and report["status"] != "FAILED":
        report["status"] = "PLANNED" if report["changes"] else "UNCHANGED"
    elif report["changes"]:
        report |= _carry_out(request, arguments)
        report["changed"] = True
    with connection.connect(arguments.root) as nucleus:
        report["components"] = [
            {key: component[key] for key in ("name", "version", "state")}
            for component in components.fetch(nucleus)
        ]
    return _print_report(report, as_json=arguments.json)


def build_request(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the request of CreateLocalDeployment. Raises CommandError."""
    roots: dict[str, str] = {}
    for text in arguments.merge:
        name, _, requirement = text.partition("=")
        roots[name.strip()] = requirement.strip() or "*"
    request: dict[str, Any] = {
        "rootComponentVersionsToAdd": roots,
        "rootComponentsToRemove": arguments.remove,
        "failureHandlingPolicy": arguments.failure_handling_policy,
    }
    for key, directory in (
        ("recipeDirectoryPath", arguments.recipe_dir),
        ("artifactsDirectoryPath", arguments.artifact_dir),
    ):
        if directory is not None:
            request[key] = str(Path(directory).absolute())
    if arguments.group:
        request["groupName"] = arguments.group
    if arguments.update_config:
        request["componentToConfiguration"] = load_document(
            "--update-config", arguments.update_config
        )
    return request


def load_document(option: str, text: str) -> dict[str, dict[str, Any]]:
    """Return a map of components to maps, from JSON text or a file. Raises CommandError."""
    source = option
    try:
        if not text.lstrip().startswith("{"):
            source = text
            text = Path(text).read_text(encoding="utf-8")
        document = json.loads(text)
    except OSError as error:
        raise connection.CommandError(
            f"cannot read {source}: {error.strerror}; give JSON text or the name of a JSON file"
        ) from None
    except ValueError as error:
        raise connection.CommandError(f"cannot read {source} as JSON: {error}") from None
    if not isinstance(document, dict) or not all(isinstance(v, dict) for v in document.values()):
        example = '{"memory": 102400, "cpus": 0.5}'
        if option == "--update-config":
            example = '{"MERGE": {...}, "RESET": [...]}'
        raise connection.CommandError(f'cannot use {source}: it should be {{"NAME": {example}}}')
    return document


def describe(deployment: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return a deployment in the words of the command line, with the log lines of what failed."""
    details = deployment.get("deploymentStatusDetails") or {}
    return {
        "deployment_id": deployment["deploymentId"],
        "created": deployment.get("createdOn"),
        "status": deployment["status"],
        "detailed_status": details.get("detailedDeploymentStatus"),
        "failure_cause": details.get("deploymentFailureCause"),
        "error_stack": details.get("deploymentErrorStack", []),
        "error_types": details.get("deploymentErrorTypes", []),
        "logs": _read_logs(root, deployment["deploymentId"]),
    }


def _read_logs(root: Path, identity: str) -> dict[str, list[str]]:
    file = paths.Paths(root).deployments / identity / "deployment_metadata.json"
    try:
        logs: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))["logs"]
    except (OSError, ValueError, KeyError):
        return {}
    return logs


def _plan(nucleus: client.IpcClient, request: dict[str, Any]) -> dict[str, Any]:
    try:
        plan = nucleus.call("verge.nucleus#PlanLocalDeployment", request, PLAN_TIMEOUT)
    except client.IpcConnectionError:
        raise
    except client.IpcError as error:
        refused = {"status": "FAILED", "failure_cause": str(error)}
        return {**_report([]), **refused}
    return _report(plan["changes"])


def _report(changes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "changed": False,
        "changes": changes,
        "deployment_id": None,
        "status": "UNCHANGED",
        "detailed_status": None,
        "failure_cause": None,
        "error_stack": [],
        "components": [],
        "logs": {},
    }


def _carry_out(request: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    began = time.monotonic()
    with connection.connect(arguments.root) as nucleus:
        answer = nucleus.call("CreateLocalDeployment", request, TIMEOUT)
    identity = answer["deploymentId"]
    _say(f"* Deployment {identity}")
    found = wait(arguments.root, identity, arguments.timeout)
    late = found["status"] not in _ENDED
    if late:
        _say(f"* Not done within {arguments.timeout:g} s, giving it up")
        with connection.connect(arguments.root) as nucleus:
            nucleus.call("CancelLocalDeployment", {"deploymentId": identity}, TIMEOUT)
        found = wait(arguments.root, identity, GIVE_UP_TIMEOUT)
    _say(f"* {found['status']} after {time.monotonic() - began:.1f} s")
    described = describe(found, arguments.root)
    if late and found["status"] != "SUCCEEDED":
        reason = f"not done within {arguments.timeout:g} s"
        described["failure_cause"] = "\n".join(
            part for part in (reason, described["failure_cause"]) if part
        )
    if described["status"] != "SUCCEEDED":
        described["status"] = "FAILED"
    return {key: described[key] for key in _report([]) if key in described}


def wait(root: Path, identity: str, limit: float) -> dict[str, Any]:
    """Return a deployment once it has ended, or as it is after the limit in seconds.

    The nucleus may restart meanwhile, which a deployment can ask for.
    """
    end = time.monotonic() + limit
    heard = time.monotonic()
    while True:
        try:
            with connection.connect(root) as nucleus:
                heard = time.monotonic()
                return _watch(nucleus, identity, end)
        except connection.UnreachableError:
            if time.monotonic() - heard > RESTART_LIMIT:
                raise
            time.sleep(POLL)


def _watch(nucleus: client.IpcClient, identity: str, end: float) -> dict[str, Any]:
    while True:
        answer = nucleus.call("GetLocalDeploymentStatus", {"deploymentId": identity}, TIMEOUT)
        deployment: dict[str, Any] = answer["deployment"]
        if deployment["status"] in _ENDED or time.monotonic() >= end:
            return deployment
        time.sleep(POLL)


def _print_report(report: dict[str, Any], *, as_json: bool) -> int:
    failed = report["status"] == "FAILED"
    if as_json:
        print(json.dumps(report))
    else:
        components.print_table(
            [{**component, "status_reason": ""} for component in report["components"]]
        )
        print(
            {"UNCHANGED": "nothing to change", "PLANNED": "nothing changed, only planned"}.get(
                report["status"], report["status"]
            )
        )
    if failed:
        cause = report["failure_cause"] or report["detailed_status"] or "no reason is known"
        _say(f"ERROR cannot deploy: {cause}")
    return 1 if failed else 0


def _say_changes(changes: list[dict[str, Any]]) -> None:
    for change in changes:
        what = change["component"] + (f" {change['path']}" if change.get("path") else "")
        values = [change.get("before"), change.get("after")]
        _say(f"> {what}: {change['action']} {' → '.join(str(v) for v in values if v is not None)}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
