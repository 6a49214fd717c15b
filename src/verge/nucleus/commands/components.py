"""`verge-nucleus list` and `verge-nucleus component`."""

from __future__ import annotations

import argparse
import json
import re
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
            "groups": component.get("groups", []),
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


def show_all(arguments: argparse.Namespace) -> int:
    """Print all components as `greengrass-cli component list` does."""
    with connection.connect(arguments.root) as nucleus:
        components = fetch(nucleus)
    if arguments.json:
        print(json.dumps({"components": components}))
        return 0
    print("Components currently running in Greengrass:")
    for component in components:
        _print_block(component)
    return 0


def details(arguments: argparse.Namespace) -> int:
    """Print one component as `greengrass-cli component details` does."""
    with connection.connect(arguments.root) as nucleus:
        nucleus.call("GetComponentDetails", {"componentName": arguments.name}, TIMEOUT)
        (component,) = (c for c in fetch(nucleus) if c["name"] == arguments.name)
    if arguments.json:
        print(json.dumps(component))
    else:
        _print_block(component)
    return 0


def _print_block(component: Mapping[str, Any]) -> None:
    print(f"Component Name: {component['name']}")
    print(f"    Version: {component['version']}")
    print(f"    State: {component['state']}")
    print(f"    Configuration: {json.dumps(component['configuration'], ensure_ascii=False)}")


def restart(arguments: argparse.Namespace) -> int:
    """Restart components."""
    return _act(arguments, "RestartComponent", "restartStatus", "restart")


def stop(arguments: argparse.Namespace) -> int:
    """Stop components."""
    return _act(arguments, "StopComponent", "stopStatus", "stop")


def _act(arguments: argparse.Namespace, operation: str, status: str, verb: str) -> int:
    listed = [*arguments.names, *arguments.listed]
    names = [name for text in listed for name in re.split("[,&]", text) if name]
    if not names:
        raise connection.CommandError(f"cannot {verb} a component: name one")
    outcomes: dict[str, str] = {}
    with connection.connect(arguments.root) as nucleus:
        for name in names:
            try:
                answer = nucleus.call(operation, {"componentName": name}, TIMEOUT)
                failed = answer[status] != "SUCCEEDED"
                reason = answer.get("message") or f"cannot {verb} {name}"
            except client.IpcConnectionError:
                raise
            except client.IpcError as error:
                failed, reason = True, str(error)
            outcomes[name] = reason if failed else ""
    if arguments.json:
        print(json.dumps({"components": {n: r or "SUCCEEDED" for n, r in outcomes.items()}}))
    if reasons := [reason for reason in outcomes.values() if reason]:
        raise connection.CommandError("; ".join(reasons))
    return 0
