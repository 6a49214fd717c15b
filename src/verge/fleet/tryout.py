"""Try a component on this machine: the embedded nucleus runs it as a process of its own."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from verge.fleet import build, project


def run_component(where: project.Project, name: str, config: str = "") -> NoReturn:
    """Become a nucleus that runs a component until interrupted, and anew on every save.

    `config` is a configuration update as JSON text. Raises FleetError if there is no component of
    that name.
    """
    [found] = build.select(where, [name])
    command = [sys.executable, "-m", "verge.nucleus", "run", str(found.folder)]
    command += ["--config", config] if config else []
    environment = {**os.environ, "PYTHONPATH": str(where.root / "src")}
    # In place of this process, so that whatever ends it reaches the one that cleans up.
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is wanted
