"""`verge-nucleus status` and `verge-nucleus deployment`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from verge.nucleus import paths
from verge.nucleus.commands import connection

TIMEOUT = 30.0
"""Seconds to wait for one answer of the nucleus."""


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
        "logs": _read_logs(root, deployment["deploymentId"]),
    }


def _read_logs(root: Path, identity: str) -> dict[str, list[str]]:
    file = paths.Paths(root).deployments / identity / "deployment_metadata.json"
    try:
        logs: dict[str, list[str]] = json.loads(file.read_text(encoding="utf-8"))["logs"]
    except (OSError, ValueError, KeyError):
        return {}
    return logs


def print_deployment(deployment: dict[str, Any]) -> None:
    """Print one deployment."""
    print(f"{deployment['deployment_id']}: {deployment['status']}")
    for label, key in (("Created on", "created"), ("Detailed status", "detailed_status")):
        if deployment.get(key):
            print(f"{label}: {deployment[key]}")
    if deployment["error_stack"]:
        print(f"Error stack: {', '.join(deployment['error_stack'])}")
    if deployment["failure_cause"]:
        print(f"Failure cause: {deployment['failure_cause']}")


def status(arguments: argparse.Namespace) -> int:
    """Show one deployment, the newest unless told."""
    with connection.connect(arguments.root) as nucleus:
        if arguments.id:
            answer = nucleus.call(
                "GetLocalDeploymentStatus", {"deploymentId": arguments.id}, TIMEOUT
            )
            found = [answer["deployment"]]
        else:
            found = nucleus.call("ListLocalDeployments", {}, TIMEOUT)["localDeployments"][:1]
    if not found:
        raise connection.CommandError(
            "cannot show a deployment: there has been none; see verge-nucleus deploy --help"
        )
    deployment = describe(found[0], arguments.root)
    if arguments.json:
        print(json.dumps(deployment))
    else:
        print_deployment(deployment)
    return 0


def list_all(arguments: argparse.Namespace) -> int:
    """List the deployments."""
    with connection.connect(arguments.root) as nucleus:
        answer = nucleus.call("ListLocalDeployments", {}, TIMEOUT)
    deployments = [describe(each, arguments.root) for each in answer["localDeployments"]]
    if arguments.json:
        print(json.dumps({"deployments": deployments}))
    else:
        for each in deployments:
            print(f"{each['deployment_id']}  {each['status']:<11}  {each['created']}")
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Give a deployment up."""
    with connection.connect(arguments.root) as nucleus:
        answer = nucleus.call("CancelLocalDeployment", {"deploymentId": arguments.id}, TIMEOUT)
    print(answer["message"])
    return 0
