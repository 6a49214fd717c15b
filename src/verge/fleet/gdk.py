"""A component folder as a GDK project: `gdk-config.json` and where its build output lies.

Greengrass contract 6.1 to 6.3. Keys that GDK knows and a build does not need are left alone.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verge.fleet import excludes
from verge.fleet.errors import FleetError, describe
from verge.fleet.project import BUILD_NAME, CONFIG_NAME, SHARED_NAME, Project

NEXT_PATCH = "NEXT_PATCH"
BUILD_SYSTEMS = ("zip", "custom")
GDK_BUILD_SYSTEMS = ("zip", "maven", "gradle", "gradlew", "custom")
RECIPE_NAMES = ("recipe.json", "recipe.yaml")
RECIPE_LIMIT = 16_000  # bytes; GDK refuses larger ones
NAME = re.compile(r"(?!\.{1,2}$)[a-zA-Z0-9-_.]{1,128}")
DEFAULT_EXCLUDES = ("**/test*", "**/.*", "**/node_modules")


@dataclass(frozen=True)
class Config:
    """What `gdk-config.json` of one component says, as far as a build needs it."""

    folder: Path
    place: str
    """The configuration file as messages name it."""
    name: str
    author: str
    version: str
    """A version, or the literal NEXT_PATCH."""
    build_system: str
    command: tuple[str, ...]
    zip_name: str | None
    patterns: tuple[str, ...]
    uses_shared: bool
    """Whether all of `components/_shared` is an input: the configuration names that folder."""
    bucket: str | None = None
    """The first part of the name of the bucket that artifacts are published to."""
    upload_options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Arguments of S3 for every upload, from `publish.options.file_upload_args`."""

    @property
    def output(self) -> Path:
        """The build output."""
        return self.folder / BUILD_NAME

    @property
    def artifacts(self) -> Path:
        """The artifacts in the build output; the version is literal, so NEXT_PATCH is a folder."""
        return self.output / "artifacts" / self.name / self.version

    @property
    def archive(self) -> str:
        """The file name of the archive that the build system `zip` makes."""
        if self.zip_name is None:
            return f"{self.folder.name}.zip"
        return f"{self.zip_name or self.name}.zip"

    @property
    def excludes(self) -> excludes.Excludes:
        """What stays out of the archive."""
        return excludes.Excludes((CONFIG_NAME, BUILD_NAME, *RECIPE_NAMES, *self.patterns))


def load_config(project: Project, folder: Path) -> Config:
    """Read the configuration of the component in `folder`; an error names file and place in it."""
    path = folder / CONFIG_NAME
    place = project.relative(path)
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise FleetError(
            f"cannot build {project.relative(folder)}: it has no {CONFIG_NAME}",
            "add one, or rename the folder to begin with _ if it is no component",
        ) from None
    except OSError as error:
        raise FleetError(f"cannot read {place}: {describe(error)}") from error
    try:
        document = json.loads(text)
    except ValueError as error:
        raise FleetError(f"{place}: cannot be read as JSON: {error}") from error
    return _Reader(place).config(folder, document, uses_shared=SHARED_NAME.encode() in text)


class _Reader:
    """Takes a configuration apart and names the place of what is wrong in it."""

    def __init__(self, place: str) -> None:
        self.place = place

    def config(self, folder: Path, document: object, *, uses_shared: bool) -> Config:
        components = self.object(document, "component")
        if len(components) != 1:
            raise self.error("component", "should hold exactly one component")
        name = next(iter(components))
        if not NAME.fullmatch(name):
            raise self.error("component", f"{name!r} is no component name")
        at = f"component/{name}"
        component = components[name]
        self.is_object(component, at)
        build = self.object(component, "build", at)
        system = self.build_system(self.text(build, "build_system", f"{at}/build"), at)
        options = build.get("options") or {}
        self.is_object(options, f"{at}/build/options")
        publish = component.get("publish") or {}
        self.is_object(publish, f"{at}/publish")
        return Config(
            folder=folder,
            place=self.place,
            name=name,
            author=self.text(component, "author", at),
            version=self.text(component, "version", at),
            build_system=system,
            command=self.command(build, f"{at}/build") if system == "custom" else (),
            zip_name=self.zip_name(options, f"{at}/build/options"),
            patterns=self.patterns(options, f"{at}/build/options"),
            uses_shared=uses_shared,
            bucket=self.text(publish, "bucket", f"{at}/publish") if "bucket" in publish else None,
            upload_options=self.upload_options(publish.get("options") or {}, f"{at}/publish"),
        )

    def upload_options(self, options: object, at: str) -> dict[str, Any]:
        given = self.is_object(options, f"{at}/options").get("file_upload_args") or {}
        arguments = self.is_object(given, f"{at}/options/file_upload_args")
        self.is_object(arguments.get("Metadata", {}), f"{at}/options/file_upload_args/Metadata")
        return arguments

    def error(self, path: str, reason: str) -> FleetError:
        return FleetError(f"{self.place}: {path}: {reason}")

    def is_object(self, value: object, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return value
        raise self.error(path, "should be an object")

    def object(self, document: object, key: str, at: str = "") -> dict[str, Any]:
        value = self.is_object(document, at or "the whole").get(key)
        path = f"{at}/{key}" if at else key
        if value is None:
            raise self.error(path, "is missing")
        return self.is_object(value, path)

    def text(self, document: dict[str, Any], key: str, at: str) -> str:
        value = document.get(key)
        if not isinstance(value, str) or not value:
            reason = "is missing" if value is None else "should be a text that is not empty"
            raise self.error(f"{at}/{key}", reason)
        return value

    def build_system(self, system: str, at: str) -> str:
        if system in BUILD_SYSTEMS:
            return system
        known = "is not supported" if system in GDK_BUILD_SYSTEMS else "is unknown"
        raise self.error(
            f"{at}/build/build_system",
            f"{system!r} {known}; use 'zip', or 'custom' with the command that builds it",
        )

    def command(self, build: dict[str, Any], at: str) -> tuple[str, ...]:
        value = build.get("custom_build_command")
        try:
            words = shlex.split(value) if isinstance(value, str) else value
        except ValueError:  # a quote that is not closed
            words = None
        if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
            return tuple(words)
        raise self.error(
            f"{at}/custom_build_command", "should be a command: a text, or a list of texts"
        )

    def zip_name(self, options: dict[str, Any], at: str) -> str | None:
        value = options.get("zip_name")
        if value is not None and (not isinstance(value, str) or "/" in value):
            raise self.error(f"{at}/zip_name", "should be a file name without folder")
        return value

    def patterns(self, options: dict[str, Any], at: str) -> tuple[str, ...]:
        if not options:
            return DEFAULT_EXCLUDES
        value = options.get("excludes", [])
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        raise self.error(f"{at}/excludes", "should be a list of patterns")
