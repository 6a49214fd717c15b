"""What `logs get` looks for: times and filters, as `greengrass-cli` spells them (contract 3.9)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from verge.nucleus import logs
from verge.nucleus.commands import connection

_RELATIVE = re.compile(
    r"(?P<sign>[+-])\s*(?:(?P<h>\d+)\s*(?:hours?|hr|h))?\s*(?:(?P<m>\d+)\s*(?:minutes?|min|m))?"
    r"\s*(?:(?P<s>\d+)\s*(?:seconds?|sec|s))?"
)
_TIMES = ("%H:%M:%S", "%H:%M:%S.%f")
_DATES = ("%Y-%m-%d", "%Y%m%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f")


@dataclass(frozen=True)
class Entry:
    """One line of a JSON log."""

    document: Mapping[str, Any]

    @property
    def time(self) -> float:
        """Seconds since the epoch."""
        return float(self.document.get("timestamp") or 0) / 1000

    def field(self, key: str) -> str | None:
        """Return a field of the line or of its contexts, whatever the case of its name."""
        for fields in (self.document, self.document.get("contexts") or {}):
            for name, value in fields.items():
                if str(name).lower() == key.lower() and value is not None:
                    return str(value)
        return None

    def __str__(self) -> str:
        text = logs.render_text(
            self.time,
            str(self.document.get("level") or ""),
            str(self.document.get("loggerName") or ""),
            str(self.document.get("message") or ""),
            str(self.document.get("eventType") or ""),
            str(self.document.get("thread") or ""),
            self.document.get("contexts") or {},
        )
        cause = self.document.get("cause")
        return f"{text}\n{cause}" if cause else text


def parse_line(line: str) -> Entry | None:
    """Return a line of a JSON log, or None if it is none."""
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return Entry(document) if isinstance(document, dict) and "timestamp" in document else None


@dataclass(frozen=True)
class Query:
    """Which lines are wanted: in one of the windows, and matching every group of filters."""

    windows: Sequence[tuple[float, float]] = ()
    groups: Sequence[Sequence[Callable[[Entry], bool]]] = ()

    def matches(self, entry: Entry) -> bool:
        """Return whether a line is wanted."""
        if self.windows and not any(a <= entry.time <= b for a, b in self.windows):
            return False
        return all(any(matches(entry) for matches in group) for group in self.groups)


def parse_query(windows: Sequence[str], filters: Sequence[str], now: datetime) -> Query:
    """Return a query from the options of the command line. Raises CommandError."""
    return Query(
        [parse_window(text, now) for text in windows],
        [[_parse_filter(part.strip()) for part in text.split(",")] for text in filters],
    )


def parse_window(text: str, now: datetime) -> tuple[float, float]:
    """Return begin and end, in seconds since the epoch, of `begin,end`; either may be empty."""
    begin, comma, end = text.partition(",")
    first = _parse_time(begin.strip(), now) if begin.strip() else datetime.fromtimestamp(0, UTC)
    last = _parse_time(end.strip(), now) if comma and end.strip() else now
    if first > last:
        raise connection.CommandError(
            f"cannot use the time window {text}: it ends before it begins"
        )
    return first.timestamp(), last.timestamp()


def _parse_time(text: str, now: datetime) -> datetime:
    relative = _RELATIVE.fullmatch(text)
    if relative and any(relative[unit] for unit in "hms"):
        distance = timedelta(
            hours=int(relative["h"] or 0),
            minutes=int(relative["m"] or 0),
            seconds=int(relative["s"] or 0),
        )
        return now + distance if relative["sign"] == "+" else now - distance
    plain = text.removesuffix("Z")
    if re.fullmatch(r"\d\d:\d\d:\d{5}", plain):  # milliseconds without a point
        plain = f"{plain[:-3]}.{plain[-3:]}"
    for form in _DATES:
        if parsed := _strptime(plain, form):
            return parsed
    for form in _TIMES:
        if parsed := _strptime(plain, form):
            return datetime.combine(now.date(), parsed.time(), UTC)
    raise connection.CommandError(
        f"cannot use the time {text}: write 2026-01-31, 2026-01-31T12:00:00, 12:00:00 or -1h30m"
    )


def _strptime(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError:
        return None


def _parse_filter(text: str) -> Callable[[Entry], bool]:
    key, equals, value = text.partition("=")
    if equals and re.fullmatch(r"[\w.-]+", key):
        return lambda entry: (entry.field(key) or "").lower() == value.lower()
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise connection.CommandError(f"cannot use the filter {text}: {error}") from None
    return lambda entry: pattern.search(json.dumps(entry.document, ensure_ascii=False)) is not None
