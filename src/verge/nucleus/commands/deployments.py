"""`verge-nucleus status` and `verge-nucleus deployment`."""

from __future__ import annotations

import argparse
import json
from typing import Any

from verge.nucleus.commands import connection, deploy


def print_deployment(deployment: dict[str, Any]) -> None:
    """Print one deployment as `greengrass-cli deployment status` does."""
    print(f"{deployment['deployment_id']}: {deployment['status']}")
    print(f"Created on: {deployment['created']}")
    if deployment["status"] == "FAILED":
        print(f"Detailed Status: {deployment['detailed_status']}")
        print(f"Deployment Error Stack: {', '.join(deployment['error_stack'])}")
        print(f"Deployment Error Types: {', '.join(deployment['error_types'])}")
        print(f"Deployment Failure Cause: {deployment['failure_cause']}")


def create(arguments: argparse.Namespace) -> int:
    """Submit a deployment and print its id, without waiting for it."""
    request = deploy.build_request(arguments)
    if limits := run_with(arguments.run_with, arguments.system_limits):
        request["componentToRunWithInfo"] = limits
    with connection.connect(arguments.root) as nucleus:
        answer = nucleus.call("CreateLocalDeployment", request, deploy.TIMEOUT)
    if arguments.json:
        print(json.dumps({"deployment_id": answer["deploymentId"]}))
    else:
        print(f"Local deployment submitted! Deployment Id: {answer['deploymentId']}")
    return 0


def run_with(users: list[str], limits: str | None) -> dict[str, dict[str, Any]]:
    """Return users and limits by component. Raises CommandError."""
    found: dict[str, dict[str, Any]] = {}
    for text in users:
        name, _, setting = text.partition(":")
        key, _, value = setting.partition("=")
        if not (name and value and key.lower() in {"posixuser", "windowsuser"}):
            raise connection.CommandError(
                f"cannot use --runWith {text}: write COMPONENT:posixUser=USER[:GROUP]"
            )
        if key.lower() == "posixuser":
            found.setdefault(name, {})["posixUser"] = value
    for name, wanted in (deploy.load_document("--systemLimits", limits) if limits else {}).items():
        found.setdefault(name, {})["systemResourceLimits"] = wanted
    return found


def status(arguments: argparse.Namespace) -> int:
    """Show one deployment, the newest unless told."""
    with connection.connect(arguments.root) as nucleus:
        if arguments.id:
            answer = nucleus.call(
                "GetLocalDeploymentStatus", {"deploymentId": arguments.id}, deploy.TIMEOUT
            )
            found = [answer["deployment"]]
        else:
            found = nucleus.call("ListLocalDeployments", {}, deploy.TIMEOUT)["localDeployments"][:1]
    if not found:
        raise connection.CommandError(
            "cannot show a deployment: there has been none; see verge-nucleus deploy --help"
        )
    deployment = deploy.describe(found[0], arguments.root)
    if arguments.json:
        print(json.dumps(deployment))
    else:
        print_deployment(deployment)
    return 0


def list_all(arguments: argparse.Namespace) -> int:
    """List the deployments."""
    with connection.connect(arguments.root) as nucleus:
        answer = nucleus.call("ListLocalDeployments", {}, deploy.TIMEOUT)
    deployments = [deploy.describe(each, arguments.root) for each in answer["localDeployments"]]
    if arguments.json:
        print(json.dumps({"deployments": deployments}))
    else:
        for each in deployments:
            print(f"Deployment ID: {each['deployment_id']}")
            print(f"Created on: {each['created']}")
            print(f"Status: {each['status']}")
    return 0


def cancel(arguments: argparse.Namespace) -> int:
    """Give a deployment up."""
    _need_id(arguments, "cancel")
    with connection.connect(arguments.root) as nucleus:
        answer = nucleus.call(
            "CancelLocalDeployment", {"deploymentId": arguments.id}, deploy.TIMEOUT
        )
    print(json.dumps({"message": answer["message"]}) if arguments.json else answer["message"])
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Show the deployment that is named."""
    _need_id(arguments, "show")
    return status(arguments)


def _need_id(arguments: argparse.Namespace, verb: str) -> None:
    arguments.id = arguments.id or arguments.deployment_id
    if not arguments.id:
        raise connection.CommandError(
            f"cannot {verb} a deployment: name it; verge-nucleus deployment list shows them"
        )
