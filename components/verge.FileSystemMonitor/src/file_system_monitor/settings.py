"""The component's configuration, checked."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ipc import values

if TYPE_CHECKING:
    from collections.abc import Mapping


METHODS = ("auto", "inotify", "polling")
LARGEST = 256 * 2**20
"""Bytes; what a picture may have unless the configuration says otherwise."""


@dataclass(frozen=True)
class Settings:
    """What to watch and whom to tell; every one of these can change while it runs."""

    directories: tuple[Path, ...]
    recursive: bool
    method: str
    """"inotify" or "polling"; "auto": by the type of each directory's file system."""
    poll_every: float
    """Seconds between two looks at a directory that is polled."""
    patterns: tuple[str, ...]
    excluded: tuple[str, ...]
    largest: int | None
    """Bytes; a larger file is refused. None: any size."""
    topic: str
    rejection_topic: str
    counters_topic: str
    """Empty: counters go to the log only."""
    counters_every: float
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
        return not self.leaves_out(name) and any(
            fnmatch.fnmatchcase(lowered, pattern)
            and (pattern.startswith(".") or not lowered.startswith("."))
            for pattern in self.patterns
        )

    def leaves_out(self, name: str) -> bool:
        """Return whether files and directories of this name are passed over."""
        lowered = name.lower()
        return any(fnmatch.fnmatchcase(lowered, pattern) for pattern in self.excluded)


def read_settings(configuration: Mapping[str, Any]) -> Settings:
    """Read the configuration. Raises SettingError naming the setting."""
    directories = values.read_texts(configuration, "directories", ["/var/lib/verge/pictures"])
    for directory in directories:
        if not directory.startswith("/"):
            raise values.SettingError("directories", directory, "an absolute path")
    method = values.read_text(configuration, "method", "auto")
    if method not in METHODS:
        raise values.SettingError("method", method, f"one of {', '.join(METHODS)}")
    return Settings(
        # Written once more by its parts, so that `/a/` and `/a` are one directory.
        directories=tuple(dict.fromkeys(Path(directory) for directory in directories)),
        recursive=values.read_boolean(configuration, "recursive", default=False),
        method=method,
        poll_every=values.read_number(configuration, "pollSeconds", 2, low=0.1, high=3600),
        patterns=_read_patterns(configuration, "patterns", ["*"]),
        excluded=_read_patterns(configuration, "excludePatterns", []),
        largest=values.read_integer(configuration, "maxBytes", 256 * 2**20, low=0, high=2**63)
        or None,
        topic=values.read_text(configuration, "topic", "verge/files"),
        rejection_topic=values.read_text(configuration, "rejectionTopic", "verge/rejections"),
        counters_topic=values.read_text(configuration, "countersTopic", "verge/files/counters"),
        counters_every=values.read_number(
            configuration, "countersEverySeconds", 60, low=0.1, high=86400
        ),
        acknowledgement_topics=values.read_texts(
            configuration, "acknowledgementTopics", ["verge/detections", "verge/rejections"]
        ),
        redeliver_after=values.read_number(
            configuration, "redeliverAfterSeconds", 2, low=0.1, high=3600
        ),
        settle=values.read_number(configuration, "settleSeconds", 2, low=0, high=3600),
    )


def _read_patterns(
    configuration: Mapping[str, Any], name: str, default: list[str]
) -> tuple[str, ...]:
    patterns = values.read_texts(configuration, name, default)
    if any("/" in pattern for pattern in patterns):
        raise values.SettingError(name, list(patterns), "a list of file names without `/`")
    return tuple(pattern.lower() for pattern in patterns)
