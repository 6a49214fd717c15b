"""A fresh copy of the repository, used through `./inv` alone."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from verge.fleet import aws, controller, environments, project

ROOT = Path(__file__).parents[2]


class Checkout:
    """A fresh copy of the repository, used as a person would."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.up_output = ""
        self.destroyed = False
        mark = hashlib.sha1(str(root).encode(), usedforsecurity=False).hexdigest()[:6]
        self.prefix = f"verge-{mark}"
        _copy_repository(root)
        self.shipped = self.files()

    def files(self) -> set[Path]:
        """Return the files outside .venv and .verge."""
        return {
            path.relative_to(self.root)
            for path in self.root.rglob("*")
            if path.is_file() and path.relative_to(self.root).parts[0] not in (".venv", ".verge")
        }

    def inv(self, *arguments: str, code: int = 0) -> str:
        """Run `./inv`, assert its exit code and return what it printed."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("ANSIBLE", "VIRTUAL_ENV", "PYTEST"))
        }
        environment["PATH"] = re.sub(r"[^:]*/\.venv/bin:", "", environment["PATH"])
        done = subprocess.run(
            ["./inv", *arguments],
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        shown = f"./inv {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        print(shown)
        assert done.returncode == code, shown
        self.destroyed = arguments[0] == "destroy"
        return done.stdout + done.stderr

    def answer(self, *arguments: str) -> str:
        """Run `./inv` and return what it printed on standard output alone."""
        done = subprocess.run(
            ["./inv", *arguments],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def account(self) -> aws.Account:
        """Return the account of the local cloud."""
        where = project.Project(self.root)
        return environments.connect(where, environments.read_environment(where, "local"))

    def on_device(self, device: str, command: str) -> str:
        """Run a shell command on a device as its login user and return what it printed."""
        done = subprocess.run(
            ["ssh", "-F", str(self.root / ".verge/ssh/config"), device, command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def _copy_repository(target: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        source, copy = ROOT / name, target / name
        if source.is_symlink() or source.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy, follow_symlinks=False)


def require_podman() -> None:
    """Skip the test where simulated devices cannot be made and what they need not be installed."""
    missing = controller.missing_packages(project.Project(ROOT))
    if missing and os.geteuid() != 0:
        pytest.skip(f"needs {', '.join(missing)}; ./inv up installs them with root or sudo")
