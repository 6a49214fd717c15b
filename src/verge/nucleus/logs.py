"""Log files: `greengrass.log` and one file for every component (Greengrass contract 2.11).

A file is set aside when it reaches its size or when the hour changes, and the oldest ones of
that name are removed as soon as all together exceed the total, so no log grows without bound.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from verge.nucleus import settings

LINE_LIMIT = 16 * 1024
"""Bytes of one line that are kept; a program that writes no line ends cannot fill memory."""

_LEVEL_NAMES = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}

Clock = Callable[[], float]


class LogFile:
    """One log with its older parts beside it: `<name>.log`, `<name>_yyyy_MM_dd_HH_<n>.log`."""

    def __init__(
        self, directory: Path, name: str, limits: settings.LogSettings, clock: Clock = time.time
    ) -> None:
        self.path = directory / f"{name}.log"
        self._limits = limits
        self._clock = clock
        self._file: Any = None
        self._size = 0
        self._hour = ""

    def write(self, line: bytes) -> None:
        """Append one line, its end included. A full or broken disk loses the line, no more."""
        try:
            self._make_room(len(line))
            written = self._file.write(line)
            self._size += written
        except OSError:
            written = 0
        if written < len(line):
            self.close()

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _make_room(self, more: int) -> None:
        hour = time.strftime("%Y_%m_%d_%H", time.gmtime(self._clock()))
        if self._file is None:
            self._open(hour)
        if self._size and (self._size + more > self._limits.file_size or hour != self._hour):
            self._set_aside()
            self._open(hour)

    def _open(self, hour: str) -> None:
        # Unbuffered: one write for every line, so a killed nucleus loses none.
        self._file = self.path.open("a+b", buffering=0)
        self.path.chmod(0o600)
        stat = self.path.stat()
        self._size = stat.st_size
        if self._size and os.pread(self._file.fileno(), 1, self._size - 1) != b"\n":
            self._size += self._file.write(b"\n")  # the last line was cut short
        self._hour = (
            time.strftime("%Y_%m_%d_%H", time.gmtime(stat.st_mtime)) if self._size else hour
        )

    def _set_aside(self) -> None:
        self.close()
        parts = self.older_parts()
        index = _number(parts[-1]) + 1 if parts else 0
        self.path.rename(self.path.with_name(f"{self.path.stem}_{self._hour}_{index}.log"))
        kept = self._limits.file_size
        for part in reversed(self.older_parts()):
            kept += part.stat().st_size
            if kept > self._limits.total_size:
                part.unlink(missing_ok=True)

    def older_parts(self) -> list[Path]:
        """Return the parts that were set aside, oldest first."""
        found = self.path.parent.glob(f"{self.path.stem}_[0-9][0-9][0-9][0-9]_*_*.log")
        # Their hours say little where the clock is put right or wrong.
        return sorted((part for part in found if _number(part) >= 0), key=_number)


def _number(part: Path) -> int:
    """Return the number of a part, which counts on from hour to hour; -1 for another file."""
    index = part.stem.rpartition("_")[2]
    return int(index) if index.isdigit() else -1


class Writer:
    """Renders one event as a line of text or JSON into a log file."""

    def __init__(self, file: LogFile, style: str, clock: Clock = time.time) -> None:
        self._file = file
        self._style = style
        self._clock = clock

    def event(
        self,
        level: str,
        logger: str,
        message: str,
        *,
        kind: str = "",
        thread: str = "main",
        fields: Mapping[str, Any] | None = None,
        cause: str = "",
    ) -> None:
        """Write one event."""
        now = self._clock()
        if self._style == "JSON":
            document = {
                "thread": thread,
                "level": level,
                "eventType": kind or None,
                "message": message,
                "contexts": {key: str(value) for key, value in (fields or {}).items()},
                "loggerName": logger,
                "timestamp": round(now * 1000),
                "cause": cause or None,
            }
            text = json.dumps(document, ensure_ascii=False)
        else:
            text = render_text(now, level, logger, message, kind, thread, fields or {})
            if cause:
                text += "\n" + cause
        self._file.write(text.encode("utf-8", "replace") + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def render_text(
    now: float,
    level: str,
    logger: str,
    message: str,
    kind: str,
    thread: str,
    fields: Mapping[str, Any],
) -> str:
    """Return one event as a line of text (contract 2.11)."""
    instant = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    parts = [part for part in (kind, message) if part]
    text = f"{instant.replace('+00:00', 'Z')} [{level}] ({thread}) {logger}: {'. '.join(parts)}."
    if fields:
        text += " {" + ", ".join(f"{key}={value}" for key, value in fields.items()) + "}"
    return text


class Logger:
    """Logs one event per happening: a message and its fields."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"verge.nucleus.{name}")

    def debug(self, message: str, **fields: Any) -> None:
        """Log what only an investigation needs."""
        self._logger.debug(message, extra={"fields": fields})

    def info(self, message: str, **fields: Any) -> None:
        """Log a normal event."""
        self._logger.info(message, extra={"fields": fields})

    def warning(self, message: str, **fields: Any) -> None:
        """Log what someone should look at some day."""
        self._logger.warning(message, extra={"fields": fields})

    def error(self, message: str, **fields: Any) -> None:
        """Log what someone should look at now."""
        self._logger.error(message, extra={"fields": fields})

    def defect(self, message: str, error: BaseException, **fields: Any) -> None:
        """Log an exception that should not have happened, with its traceback."""
        self._logger.error(message, extra={"fields": fields}, exc_info=error)


class Handler(logging.Handler):
    """Carries records of the standard library's loggers into a Writer."""

    def __init__(self, writer: Writer) -> None:
        super().__init__()
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        cause = ""
        if record.exc_info:
            cause = logging.Formatter().formatException(record.exc_info)
        self._writer.event(
            _LEVEL_NAMES.get(record.levelno, record.levelname),
            record.name.removeprefix("verge.nucleus."),
            record.getMessage().removesuffix("."),
            thread=record.threadName or "main",
            fields=getattr(record, "fields", None),
            cause=cause,
        )

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
        super().close()


class _ConsoleFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", None) or {}
        text = f"{record.levelname}: {record.getMessage()}"
        text += "".join(f" {key}={value}" for key, value in fields.items())
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def configure(
    directory: Path, limits: settings.LogSettings, console: TextIO | None = sys.stderr
) -> Callable[[], None]:
    """Send every logger to `greengrass.log`, warnings also to the console; return the undo."""
    root = logging.getLogger()
    former = root.level
    handlers: list[logging.Handler] = [
        Handler(Writer(LogFile(directory, "greengrass", limits), limits.format))
    ]
    if console is not None:
        stream = logging.StreamHandler(console)
        stream.setLevel(logging.WARNING)
        stream.setFormatter(_ConsoleFormatter())
        handlers.append(stream)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(limits.level)

    def undo() -> None:
        for handler in handlers:
            root.removeHandler(handler)
            handler.close()
        root.setLevel(former)

    return undo
