"""Try a component on this machine: the embedded nucleus runs it as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

from verge.fleet import build, errors, project


def run_component(where: project.Project, name: str, config: str = "") -> None:
    """Run a component until interrupted, anew on every save, without root and without a version.

    `config` is a configuration update as JSON text. Raises FleetError if there is no component of
    that name, or if the nucleus cannot run it.
    """
    [found] = build.select(where, [name])
    command = [sys.executable, "-m", "verge.nucleus", "run", str(found.folder)]
    command += ["--config", config] if config else []
    environment = {**os.environ, "PYTHONPATH": str(where.root / "src")}
    try:
        done = subprocess.run(command, env=environment, check=False)
    except KeyboardInterrupt:
        # The nucleus was interrupted, too, and has taken everything away.
        return
    if done.returncode:
        raise errors.FleetError(f"{name} did not run here", hint="the reason stands above")
