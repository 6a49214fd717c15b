"""`verge-nucleus list` and `verge-nucleus component`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from verge.nucleus.commands import connection
from verge.nucleus.ipc import client

TIMEOUT = 60.0
"""Seconds to wait for one answer; stopping a component takes as long as its shutdown."""


def fetch(nucleus: client.IpcClient) -> list[dict[str, Any]]:
    """Return all components in the words of the command line."""
    answer = nucleus.call("ListComponents", {}, TIMEOUT)
    return [
        {
            "name": component["componentName"],
            "version": component["version"],
            "state": component["state"],
            "is_root": component.get("isRoot", False),
            "status_reason": component.get("statusReason", ""),
            "configuration": component.get("configuration", {}),
        }
        for component in answer["components"]
    ]


def list_all(arguments: argparse.Namespace) -> int:
    """Print all components."""
    with connection.connect(arguments.root) as nucleus:
        components = fetch(nucleus)
    if arguments.json:
        print(json.dumps({"components": components}))
    else:
        print_table(components)
    return 0


def print_table(components: list[dict[str, Any]]) -> None:
    """Print name, version, state and reason of every component in columns."""
    name_width = max((len(c["name"]) for c in components), default=0)
    version_width = max((len(c["version"]) for c in components), default=0)
    for component in components:
        print(_row(component, name_width, version_width))


def _row(component: Mapping[str, Any], name_width: int, version_width: int) -> str:
    state = component["state"]
    text = f"{component['name']:<{name_width}}  {component['version']:<{version_width}}  {state:<9}"
    return f"{text}  {component['status_reason']}".rstrip()


def restart(arguments: argparse.Namespace) -> int:
    """Restart a component."""
    return _act(arguments, "RestartComponent", "restartStatus", "restart")


def stop(arguments: argparse.Namespace) -> int:
    """Stop a component."""
    return _act(arguments, "StopComponent", "stopStatus", "stop")


def _act(arguments: argparse.Namespace, operation: str, status: str, verb: str) -> int:
    with connection.connect(arguments.root) as nucleus:
        answer = nucleus.call(operation, {"componentName": arguments.name}, TIMEOUT)
    if answer[status] != "SUCCEEDED":
        raise connection.CommandError(answer.get("message") or f"cannot {verb} {arguments.name}")
    return 0
