"""The component's configuration, checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_ipc import values

if TYPE_CHECKING:
    from collections.abc import Mapping

DROP_OLDEST, DROP_NEWEST = "drop-oldest", "drop-newest"


@dataclass(frozen=True)
class Settings:
    """What to upload and where; every one of these can change while it runs."""

    bucket: str
    """Empty: pictures are kept until there is one."""
    prefix: str
    """Without slashes at its ends."""
    result_topic: str
    results_directory: Path
    score_below: float
    """A picture is taken if its best score is lower; one without detections has the score 0."""
    score_above: float
    """... and at least this. 0: pictures without detections count."""
    sample_every: int
    """Every so many-th picture is taken besides; 0: none."""
    most_bytes: int
    """The spool's limit."""
    when_full: str
    """`DROP_OLDEST` or `DROP_NEWEST`."""


def read_settings(configuration: Mapping[str, Any]) -> Settings:
    """Read the configuration. Raises SettingError naming the setting."""
    directory = values.read_text(configuration, "resultsDirectory", "/var/lib/verge/results")
    if not directory.startswith("/"):
        raise values.SettingError("resultsDirectory", directory, "an absolute path")
    when_full = values.read_text(configuration, "whenFull", DROP_OLDEST)
    if when_full not in {DROP_OLDEST, DROP_NEWEST}:
        raise values.SettingError("whenFull", when_full, f"{DROP_OLDEST} or {DROP_NEWEST}")
    return Settings(
        bucket=values.read_text(configuration, "bucket", ""),
        prefix=values.read_text(configuration, "prefix", "captures").strip("/"),
        result_topic=values.read_text(configuration, "resultTopic", "verge/detections"),
        results_directory=Path(directory),
        score_below=values.read_number(configuration, "scoreBelow", 0.5, low=0, high=2),
        score_above=values.read_number(configuration, "scoreAtLeast", 0, low=0, high=1),
        sample_every=values.read_integer(configuration, "sampleEvery", 0, low=0, high=10**9),
        most_bytes=values.read_integer(configuration, "maxSpoolBytes", 2**30, low=0, high=2**50),
        when_full=when_full,
    )
