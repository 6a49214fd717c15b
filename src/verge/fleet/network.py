"""The network of the simulated devices, as podman knows it."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from verge.fleet import output, playbook, project

# What role edge_device writes on everything that podman keeps for a checkout.
_LABEL = "verge.checkout"


def ensure_network(
    where: project.Project, inventory_path: Path, reporter: output.Reporter
) -> list[str]:
    """Make the network of the simulated devices if there is none; return what changed."""
    if gateway(where):
        return []
    reporter.step("Making the network of the devices")
    result = playbook.run_playbook(where, "network", inventory=inventory_path, reporter=reporter)
    return [f"{host}: {task}" for host, task in result.changes]


def gateway(where: project.Project) -> str | None:
    """Return this machine's address on the network of the checkout's devices.

    None where there is no such network yet, or no podman.
    """
    ours = [item for item in _networks() if item.get("labels", {}).get(_LABEL) == str(where.root)]
    # Tests of the roles have a network beside it, whose name is longer.
    for item in sorted(ours, key=lambda item: len(item["name"])):
        for subnet in item.get("subnets", []):
            if subnet.get("gateway"):
                return str(ipaddress.ip_address(subnet["gateway"]))
    return None


def _networks() -> list[dict[str, Any]]:
    if shutil.which("podman") is None:
        return []
    command = ["podman", "network", "ls", "--format", "json"]
    # The devices' network belongs to root's podman.
    if os.geteuid() != 0:
        command = ["sudo", "-n", *command]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    try:
        found = json.loads(done.stdout or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []
