"""Where everything lies under the nucleus root (Greengrass contract 2.10)."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("/greengrass/v2")

SOCKET_PATH_LIMIT = 107
"""Longest path in bytes that fits a Unix socket address, its closing NUL apart."""


def root_from_environment() -> Path:
    """Return the root of `GGC_ROOT_PATH`, or the customary one."""
    return Path(os.environ.get("GGC_ROOT_PATH") or DEFAULT_ROOT)


@dataclass(frozen=True)
class Paths:
    """The files and directories of one nucleus root."""

    root: Path

    @property
    def config_file(self) -> Path:
        """The configuration that the nucleus reads at start."""
        return self.root / "config" / "config.yaml"

    @property
    def database(self) -> Path:
        """Configuration tree, installed components, groups and deployments."""
        return self.root / "config" / "nucleus.db"

    @property
    def process_journal(self) -> Path:
        """The processes started by the nucleus that runs, or ran last."""
        return self.root / "config" / "processes"

    @property
    def secrets(self) -> Path:
        """One file for every secret that components may ask for."""
        return self.root / "config" / "secrets"

    @property
    def telemetry(self) -> Path:
        """Metrics that components put."""
        return self.root / "telemetry"

    @property
    def lock(self) -> Path:
        """Locked by the nucleus that serves this root."""
        return self.root / "config" / "nucleus.lock"

    @property
    def logs(self) -> Path:
        """Logs of the nucleus and of the components."""
        return self.root / "logs"

    @property
    def deployments(self) -> Path:
        """One directory for every deployment that is still known."""
        return self.root / "deployments"

    @property
    def cli_info(self) -> Path:
        """Tokens of local users who may administer the nucleus."""
        return self.root / "cli_ipc_info"

    @property
    def socket(self) -> Path:
        """The IPC socket, unless the settings or its length move it."""
        return self.root / "ipc.socket"

    @property
    def packages(self) -> Path:
        """The component store."""
        return self.root / "packages"

    @property
    def recipes(self) -> Path:
        """Recipes of the versions in the store."""
        return self.packages / "recipes"

    @property
    def contents(self) -> Path:
        """Immutable artifact directories, one for every distinct content.

        The paths that components know are links into it, so a version whose artifacts change is
        replaced in one step and never written over while in use.
        """
        return self.packages / "contents"

    @property
    def staging(self) -> Path:
        """What is being put together; emptied at every start."""
        return self.packages / "staging"

    @property
    def downloads(self) -> Path:
        """Artifacts on their way from the cloud, by their digests; they outlive the nucleus."""
        return self.packages / "downloads"

    def work(self, component: str) -> Path:
        """Return the directory that a component's steps run in."""
        return self.root / "work" / component

    def artifacts(self, component: str, version: str) -> Path:
        """Return the directory with the artifacts of a version as they were deployed."""
        return self.packages / "artifacts" / component / version

    def unarchived(self, component: str, version: str) -> Path:
        """Return the directory with the unpacked archives of a version."""
        return self.packages / "artifacts-unarchived" / component / version

    def recipe(self, component: str, version: str) -> Path:
        """Return the file that keeps the recipe of a version (contract 1.9)."""
        digest = hashlib.sha256(component.encode()).digest()
        name = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return self.recipes / f"{name}@{version}.recipe.yaml"

    def create(self) -> None:
        """Create the directories, readable as the contract asks."""
        for directory, mode in (
            (self.root, 0o755),
            (self.root / "config", 0o700),
            (self.logs, 0o700),
            (self.deployments, 0o700),
            (self.cli_info, 0o755),
            (self.packages, 0o755),
            (self.recipes, 0o700),
            (self.contents, 0o755),
            (self.staging, 0o700),
            (self.packages / "artifacts", 0o755),
            (self.packages / "artifacts-unarchived", 0o755),
            (self.root / "work", 0o755),
        ):
            if not directory.is_dir():
                directory.mkdir(parents=True, exist_ok=True)
                directory.chmod(mode)
