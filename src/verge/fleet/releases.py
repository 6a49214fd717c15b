"""Versions that follow from content: which were given out here, and what comes next."""

from __future__ import annotations

import json
from typing import Any

from verge.fleet import files, gdk
from verge.fleet.errors import FleetError, describe
from verge.fleet.project import Project
from verge.recipe import versions

FORMAT = 1
FIRST = "1.0.0"


class Releases:
    """What `.verge/releases.json` remembers: every version of every component with its content.

    A version never stands for two contents. The file is no cache: without it versions begin at
    1.0.0 again.
    """

    def __init__(self, project: Project) -> None:
        self._path = project.releases_file
        self._place = project.relative(self._path)
        self._known = self._read()
        self.new: dict[str, str] = {}

    def assign(self, config: gdk.Config, content: str, above: str | None = None) -> str:
        """Return the version of a component whose content has this digest.

        For NEXT_PATCH it is the version that had the same content (the highest, if several had),
        else the highest ever given out with patch + 1, else 1.0.0. `above` is a version that
        somebody else gave out: the answer is higher. A fixed version is refused if it was given out
        with other content.
        """
        known = self._known.setdefault(config.name, {})
        if config.version != gdk.NEXT_PATCH:
            version = config.version
            if known.get(version, content) != content:
                raise FleetError(
                    f"cannot release {config.name} {version}: "
                    "its content differs from the one released under this version before",
                    f"raise the version in {config.place}, or set it to NEXT_PATCH",
                )
        else:
            same = [
                version
                for version in known
                if known[version] == content and (above is None or _is_above(version, above))
            ]
            given = [*known, above] if above else list(known)
            version = str(_highest(same)) if same else self._next(given)
        if version not in known:
            known[version] = content
            self.new[config.name] = version
        return version

    def expected(self, config: gdk.Config) -> str:
        """Return the version that stands for a component where its content is not at hand."""
        if config.version != gdk.NEXT_PATCH:
            return config.version
        known = self._known.get(config.name)
        return str(_highest(known)) if known else FIRST

    def _next(self, known: list[str]) -> str:
        return str(_highest(known).next_patch) if known else FIRST

    def save(self) -> None:
        """Remember what was given out."""
        if self.new:
            document = {"format": FORMAT, "components": self._known}
            files.write_json(self._path, document, indent=1)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            document: Any = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise FleetError(f"cannot read {self._place}: {describe(error)}") from error
        except ValueError as error:
            raise self._damaged() from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise self._damaged()
        known: dict[str, dict[str, str]] = document.get("components", {})
        return known

    def _damaged(self) -> FleetError:
        return FleetError(
            f"cannot use {self._place}: it is damaged or from another version of this tool",
            f"restore it, or delete it to begin with {FIRST} again",
        )


def _is_above(version: str, other: str) -> bool:
    return versions.Version.parse(version) > versions.Version.parse(other)


def _highest(texts: list[str] | dict[str, str]) -> versions.Version:
    return max(versions.Version.parse(text) for text in texts)
