"""Recipes, artifacts and directories of local deployments, made for a test."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Component:
    """One component version; `artifacts` maps file names to content."""

    name: str
    version: str = "1.0.0"
    run: str | Mapping[str, Any] | None = None
    lifecycle: Mapping[str, Any] = field(default_factory=dict)
    configuration: Mapping[str, Any] = field(default_factory=dict)
    dependencies: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    artifacts: Mapping[str, bytes] = field(default_factory=dict)
    digests: Mapping[str, str] | None = None
    """Base64 digests by file name; None states the right ones."""
    unarchive: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """Return the recipe."""
        steps = {**self.lifecycle, **({"run": self.run} if self.run else {})}
        return {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": self.name,
            "ComponentVersion": self.version,
            "ComponentConfiguration": {"DefaultConfiguration": dict(self.configuration)},
            "ComponentDependencies": {
                name: {"VersionRequirement": wanted} if isinstance(wanted, str) else dict(wanted)
                for name, wanted in self.dependencies.items()
            },
            "Manifests": [
                {
                    "Platform": {"os": "linux", "runtime": "*"},
                    "Artifacts": [self._artifact(name) for name in self.artifacts],
                    "Lifecycle": steps,
                }
            ],
        }

    def _artifact(self, name: str) -> dict[str, Any]:
        artifact: dict[str, Any] = {
            "Uri": f"s3://BUCKET_NAME/{self.name}/{self.version}/{name}",
            "Unarchive": "ZIP" if name in self.unarchive else "NONE",
        }
        if self.digests is None:
            artifact |= {"Digest": digest(self.artifacts[name]), "Algorithm": "SHA-256"}
        elif name in self.digests:
            artifact |= {"Digest": self.digests[name], "Algorithm": "SHA-256"}
        return artifact


def digest(content: bytes) -> str:
    """Return a digest as recipes state it."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def archive(entries: Mapping[str, bytes]) -> bytes:
    """Return a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)
    return buffer.getvalue()


class Release:
    """A recipe directory and an artifact directory side by side."""

    def __init__(self, directory: Path) -> None:
        self.recipes = directory / "recipes"
        self.artifacts = directory / "artifacts"
        for each in (self.recipes, self.artifacts):
            each.mkdir(parents=True, exist_ok=True)

    def add(self, *components: Component) -> Release:
        """Write components, replacing what is there of the same version."""
        for component in components:
            recipe = self.recipes / f"{component.name}-{component.version}.yaml"
            recipe.write_text(json.dumps(component.document()))
            for name, content in component.artifacts.items():
                file = self.artifacts / component.name / component.version / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        return self

    @property
    def arguments(self) -> list[str]:
        """Return the arguments of `verge-nucleus deploy` that name the directories."""
        return ["--recipe-dir", str(self.recipes), "--artifact-dir", str(self.artifacts)]
