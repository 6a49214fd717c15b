"""The recipe of a component, format 2020-01-25, as frozen values (contract 1.2 to 1.6)."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

FORMAT_VERSION = "2020-01-25"
GENERIC = "aws.greengrass.generic"
COMPONENT_TYPES = (
    GENERIC,
    "aws.greengrass.lambda",
    "aws.greengrass.plugin",
    "aws.greengrass.nucleus",
)
DEFAULT_SELECTIONS = ("all",)
DIRECTORY_MODE = 0o755  # directories of artifacts, contract 1.6


class DependencyType(StrEnum):
    """How strongly a component depends on another (contract 1.4)."""

    HARD = "HARD"
    SOFT = "SOFT"


class Unarchive(StrEnum):
    """What is done with an artifact once it is on the device."""

    NONE = "NONE"
    ZIP = "ZIP"


class Access(StrEnum):
    """Who may read or execute an artifact; OWNER is the user the component runs as."""

    NONE = "NONE"
    OWNER = "OWNER"
    ALL = "ALL"


class Dependency(msgspec.Struct, frozen=True):
    """A dependency: the version range as written and its type."""

    requirement: str
    type: DependencyType = DependencyType.HARD


class Permission(msgspec.Struct, frozen=True):
    """Who may read and execute an artifact."""

    read: Access = Access.OWNER
    execute: Access = Access.NONE

    @property
    def file_mode(self) -> int:
        """Return the POSIX permission bits of a file (table of contract 1.6)."""
        mode = 0o400
        if self.execute is not Access.NONE:
            mode |= 0o150
        elif self.read is not Access.NONE:
            mode |= 0o040
        if Access.ALL in (self.read, self.execute):
            mode |= 0o004
        if self.execute is Access.ALL:
            mode |= 0o001
        return mode


class Artifact(msgspec.Struct, frozen=True):
    """A file the component needs; `digest` is standard base64, added by the cloud or a bundle."""

    uri: str
    unarchive: Unarchive = Unarchive.NONE
    permission: Permission = Permission()
    digest: str | None = None
    algorithm: str | None = None

    @property
    def scheme(self) -> str:
        """Return the scheme of the URI in lower case: `s3`, `greengrass` or `docker`."""
        return self.uri.partition(":")[0].lower()

    @property
    def file_name(self) -> str:
        """Return the file name on the device: the last segment of the URI."""
        return self.uri.partition(":")[2].rpartition("/")[2]

    @property
    def archive_stem(self) -> str:
        """Return the directory an archive unpacks into: the file name less its last extension."""
        name = self.file_name
        return name.rpartition(".")[0] or name


class Manifest(msgspec.Struct, frozen=True):
    """What the component is on one kind of platform.

    `platform` maps attribute names to templates (None matches anything). `selections` is None
    where the recipe has none, which means `all` (contract 1.7).
    """

    name: str | None = None
    platform: dict[str, str | None] = {}
    lifecycle: dict[str, Any] = {}
    selections: tuple[str, ...] | None = None
    artifacts: tuple[Artifact, ...] = ()


class Recipe(msgspec.Struct, frozen=True):
    """A recipe. `default_configuration` and `lifecycle` are kept as they were written."""

    name: str
    version: str
    type: str = GENERIC
    source: str | None = None
    description: str | None = None
    publisher: str | None = None
    default_configuration: dict[str, Any] = {}
    dependencies: dict[str, Dependency] = {}
    manifests: tuple[Manifest, ...] = ()
    lifecycle: dict[str, Any] = {}
