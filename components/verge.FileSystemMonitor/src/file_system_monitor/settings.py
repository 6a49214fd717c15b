"""The component's configuration, checked."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ipc import values

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Settings:
    """What to watch and whom to tell; every one of these can change while it runs."""

    directories: tuple[Path, ...]
    recursive: bool
    patterns: tuple[str, ...]
    topic: str
    acknowledgement_topics: tuple[str, ...]
    redeliver_after: float
    """Seconds of silence after which a file is delivered again, doubled each time."""
    settle: float
    """Seconds a file found by looking, not by an event, must have stayed unchanged."""

    def matches(self, name: str) -> bool:
        """Return whether a file of this name is wanted; case does not matter.

        Hidden names are how programs write files that are not finished, so they match only a
        pattern that begins with a dot itself.
        """
        lowered = name.lower()
        return any(
            fnmatch.fnmatchcase(lowered, pattern)
            and (pattern.startswith(".") or not lowered.startswith("."))
            for pattern in self.patterns
        )


def read_settings(configuration: Mapping[str, Any]) -> Settings:
    """Read the configuration. Raises SettingError naming the setting."""
    directories = values.read_texts(configuration, "directories", ["/var/lib/verge/pictures"])
    for directory in directories:
        if not directory.startswith("/"):
            raise values.SettingError("directories", directory, "an absolute path")
    patterns = values.read_texts(configuration, "patterns", ["*"])
    if any("/" in pattern for pattern in patterns):
        raise values.SettingError("patterns", list(patterns), "a list of file names without `/`")
    return Settings(
        # Written once more by its parts, so that `/a/` and `/a` are one directory.
        directories=tuple(dict.fromkeys(Path(directory) for directory in directories)),
        recursive=values.read_boolean(configuration, "recursive", default=False),
        patterns=tuple(pattern.lower() for pattern in patterns),
        topic=values.read_text(configuration, "topic", "verge/files"),
        acknowledgement_topics=values.read_texts(
            configuration, "acknowledgementTopics", ["verge/detections", "verge/rejections"]
        ),
        redeliver_after=values.read_number(
            configuration, "redeliverAfterSeconds", 2, low=0.1, high=3600
        ),
        settle=values.read_number(configuration, "settleSeconds", 2, low=0, high=3600),
    )
