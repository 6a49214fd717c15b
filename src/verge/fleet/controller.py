"""The machine that runs the verbs: are its system packages present?"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import yaml

from verge.fleet import output, playbook, project


def missing_packages(where: project.Project) -> list[str]:
    """Return the Debian packages of role `controller` that are not installed."""
    defaults = where.root / "roles" / "controller" / "defaults" / "main.yml"
    wanted: list[str] = yaml.safe_load(defaults.read_text(encoding="utf-8"))["controller_packages"]
    if shutil.which("dpkg-query") is None:
        return wanted
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *wanted]
    listed = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    installed = {
        name for name, _, status in (line.partition(" ") for line in listed.splitlines())
        if status == "installed"
    }  # fmt: skip
    return [name for name in wanted if name not in installed]


def ensure_controller(
    where: project.Project, inventory_path: Path, reporter: output.Reporter
) -> list[str]:
    """Install what is missing through role `controller`; return what changed."""
    missing = missing_packages(where)
    if not missing:
        return []
    reporter.step(f"Installing system packages: {', '.join(missing)}")
    result = playbook.run_playbook(where, "controller", inventory=inventory_path, reporter=reporter)
    return [f"{host}: {task}" for host, task in result.changes]
