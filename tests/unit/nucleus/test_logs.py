"""Log files: format, rotation and limits."""

from __future__ import annotations

import io
import json
import logging
import resource
import time
from pathlib import Path

import pytest

from verge.nucleus import logs, settings

NOON = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


def log_file(directory: Path, clock: logs.Clock = lambda: NOON, size: int = 100) -> logs.LogFile:
    limits = settings.LogSettings(file_size=size, total_size=3 * size)
    return logs.LogFile(directory, "com.example.Press", limits, clock)


def test_full_file_is_set_aside(tmp_path: Path) -> None:
    """A file that would exceed its size gets a name with hour and number."""
    log = log_file(tmp_path)
    for _ in range(2):
        log.write(b"x" * 79 + b"\n")
    log.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "com.example.Press.log",
        "com.example.Press_2023_11_14_22_0.log",
    ]


def test_new_hour_begins_a_new_file(tmp_path: Path) -> None:
    """What was written in another hour is set aside under that hour."""
    now = NOON
    log = log_file(tmp_path, lambda: now)
    log.write(b"before\n")
    now += 3600
    log.write(b"after\n")
    log.close()
    assert (tmp_path / "com.example.Press.log").read_bytes() == b"after\n"
    assert (tmp_path / "com.example.Press_2023_11_14_22_0.log").read_bytes() == b"before\n"


def test_total_is_bounded_and_the_newest_stays(tmp_path: Path) -> None:
    """All parts together stay within the total, and the oldest go first, also past ten parts."""
    log = log_file(tmp_path)
    for number in range(200):
        log.write(f"line {number:04}\n".encode())
    log.close()
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 300
    parts = [p.read_text() for p in log.older_parts()]
    text = "".join([*parts, (tmp_path / "com.example.Press.log").read_text()])
    lines = text.splitlines()
    assert lines == [f"line {n:04}" for n in range(200 - len(lines), 200)]


def test_clock_that_is_put_back_changes_no_order(tmp_path: Path) -> None:
    """Parts are as old as their numbers say: a device without a clock begins in another year."""
    now = NOON
    log = log_file(tmp_path, lambda: now)
    for number in range(10):
        now = NOON if number < 5 else 3600.0 * number
        log.write(b"%080d\n" % number)
    log.close()
    assert [int(part.read_text()) for part in log.older_parts()] == [7, 8]
    assert int(log.path.read_text()) == 9


def test_line_that_a_full_disk_cut_spoils_no_other(tmp_path: Path) -> None:
    """The line after one that found no room begins on a line of its own."""
    log = log_file(tmp_path, time.time, size=1000)
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (15, former[1]))  # it cuts as a full disk does
    try:
        log.write(b"line one\n")
        log.write(b"line two\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    log.write(b"line three\n")
    log.close()
    assert log.path.read_text().splitlines() == ["line one", "line t", "line three"]


def test_logs_of_similar_names_are_left_alone(tmp_path: Path) -> None:
    """Parts of a component whose name begins alike are not counted or removed."""
    other = tmp_path / "com.example.Press_2_2023_11_14_22_0.log"
    other.write_text("x" * 1000)
    log = log_file(tmp_path)
    for _ in range(20):
        log.write(b"x" * 79 + b"\n")
    log.close()
    assert other.exists()


def test_vanished_directory_loses_lines_and_nothing_else(tmp_path: Path) -> None:
    """A log that cannot be written is no reason to fail."""
    log = log_file(tmp_path / "missing")
    log.write(b"lost\n")
    (tmp_path / "missing").mkdir()
    log.write(b"kept\n")
    log.close()
    assert (tmp_path / "missing" / "com.example.Press.log").read_bytes() == b"kept\n"


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        pytest.param(
            "TEXT",
            "2023-11-14T22:13:20.000Z [INFO] (main) press: stdout. hello. {step=run}\n",
            id="text",
        ),
        pytest.param("JSON", None, id="json"),
    ],
)
def test_line_format(tmp_path: Path, style: str, expected: str | None) -> None:
    """Lines look as Greengrass writes them (contract 2.11)."""
    writer = logs.Writer(log_file(tmp_path, size=1000), style, lambda: NOON)
    writer.event("INFO", "press", "hello", kind="stdout", fields={"step": "run"})
    writer.close()
    text = (tmp_path / "com.example.Press.log").read_text()
    if expected:
        assert text == expected
    else:
        assert json.loads(text) == {
            "thread": "main",
            "level": "INFO",
            "eventType": "stdout",
            "message": "hello",
            "contexts": {"step": "run"},
            "loggerName": "press",
            "timestamp": 1_700_000_000_000,
            "cause": None,
        }


def test_loggers_reach_file_and_console(tmp_path: Path) -> None:
    """Events go to greengrass.log, warnings to the console as well; undo ends both."""
    console = io.StringIO()
    undo = logs.configure(tmp_path, settings.LogSettings(), console)
    log = logs.Logger("test")
    log.info("Something began", component="press")
    log.warning("Something odd", component="press")
    log.defect("Something broke", ValueError("why"))
    undo()
    log.warning("Unheard")
    text = (tmp_path / "greengrass.log").read_text()
    assert "test: Something began. {component=press}" in text
    assert "ValueError: why" in text
    assert "Unheard" not in text
    assert console.getvalue().startswith("WARNING: Something odd component=press\n")
    assert "began" not in console.getvalue()
    assert not [h for h in logging.getLogger().handlers if isinstance(h, logs.Handler)]
