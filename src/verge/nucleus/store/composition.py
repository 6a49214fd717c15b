"""What a component version consists of, and what its recipe must say of it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verge.nucleus import errors
from verge.recipe import model


class MissingArtifactError(errors.StoreError):
    """A recipe names an artifact that is nowhere to be found."""


class ChecksumError(errors.StoreError):
    """An artifact is not what its recipe says."""


@dataclass(frozen=True)
class Source:
    """An artifact and the file it comes from."""

    artifact: model.Artifact
    file: Path | None
    """None where the content is in the store already."""
    sha256: str
    """In lower-case hexadecimal digits."""
    expected: int = 0
    """Bytes that are yet to come, as far as they are known."""
    verified: bool = False
    """Whether the file was verified as it came and belongs to the store, which need not copy it."""


@dataclass(frozen=True)
class Package:
    """What a component version consists of, and under which name the store keeps it."""

    component: str
    version: str
    sources: tuple[Source, ...]

    @property
    def content(self) -> str:
        """Return the identity of the content, which is also its place below `contents`."""
        if not self.sources:
            return ""
        facts = sorted(
            (s.artifact.file_name, s.sha256, s.artifact.unarchive, s.artifact.permission.file_mode)
            for s in self.sources
        )
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return f"{self.component}/{digest[:32]}"


def check_names(component: str, version: str, artifacts: Sequence[model.Artifact]) -> None:
    """Make sure that the artifacts have names and schemes to store them by. Raises StoreError."""
    names: set[str] = set()
    for artifact in artifacts:
        _check_name(component, version, artifact)
        if artifact.file_name in names:
            raise errors.StoreError(
                f"cannot use {component} {version}: two artifacts have the file name "
                f"{artifact.file_name}; rename one"
            )
        names.add(artifact.file_name)


def _check_name(component: str, version: str, artifact: model.Artifact) -> None:
    name = artifact.file_name
    if artifact.scheme not in {"s3", "greengrass"}:
        raise errors.StoreError(
            f"cannot use {component} {version}: the scheme of its artifact {artifact.uri} is not "
            "supported here; use s3: or greengrass:"
        )
    if name in {"", ".", ".."} or "\0" in name:
        raise errors.StoreError(
            f"cannot use {component} {version}: its artifact {artifact.uri} has no file name"
        )


def stated_digest(component: str, version: str, artifact: model.Artifact) -> str:
    """Return the digest that the recipe states in hexadecimal digits, "" for none.

    Raises ChecksumError if it cannot be compared with.
    """
    if not artifact.digest:
        return ""
    algorithm = (artifact.algorithm or "SHA-256").upper().replace("-", "")
    if algorithm != "SHA256":
        raise ChecksumError(
            f"cannot verify {artifact.file_name} of {component} {version}: the algorithm "
            f"{artifact.algorithm} is unknown, use SHA-256"
        )
    try:
        digest = base64.b64decode(artifact.digest, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != 32:
        raise ChecksumError(
            f"cannot verify {artifact.file_name} of {component} {version}: its Digest is no "
            "SHA-256 in base64"
        )
    return digest.hex()
