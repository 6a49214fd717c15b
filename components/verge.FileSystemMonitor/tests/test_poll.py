"""Directories that are looked at again and again."""

import logging
import os
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_system_monitor import poll, settings


class Reports:
    """What the poller reported, to be waited for."""

    def __init__(self) -> None:
        self._queue: queue.Queue[poll.Settled] = queue.Queue()
        self.put = self._queue.put

    def next(self) -> str:
        return Path(self._queue.get(timeout=10).sighting.place).name

    def until(self, name: str) -> list[str]:
        found = [self.next()]
        while found[-1] != name:
            found.append(self.next())
        return found


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def poller(reports: Reports) -> Iterator[poll.Poller]:
    running = poll.Poller(reports.put)
    yield running
    running.clear()


def quick(**other: Any) -> settings.Settings:
    return settings.read_settings(
        {"pollSeconds": "0.1", "settleSeconds": "0.2", "patterns": ["*.png"], **other}
    )


def test_an_unchanged_file_is_reported_once(
    poller: poll.Poller, reports: Reports, tmp_path: Path
) -> None:
    """Files are reported once they stay the same, and again only when they are others."""
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "a.txt").touch()
    poller.add(tmp_path, quick())
    assert reports.next() == "a.png"
    (tmp_path / "b.png").touch()
    assert reports.next() == "b.png"
    (tmp_path / "a.png").write_bytes(b"another")
    (tmp_path / "b.png").unlink()
    assert reports.next() == "a.png"
    (tmp_path / "b.png").write_bytes(b"back")
    assert reports.next() == "b.png"


def test_a_growing_file_waits(poller: poll.Poller, reports: Reports, tmp_path: Path) -> None:
    """A file that changes between looks is not reported, however old its time is."""
    growing = tmp_path / "growing.png"
    poller.add(tmp_path, quick(settleSeconds="3000"))
    growing.write_bytes(b"part")
    os.utime(growing, (1, 1))
    os.mkfifo(tmp_path / "mark.png")
    assert reports.until("mark.png") == ["mark.png"], "a pipe needs no settling"
    poller.clear()
    poller.add(tmp_path, quick())
    assert {reports.next(), reports.next()} == {"growing.png", "mark.png"}


def test_a_directory_may_come_and_go(
    poller: poll.Poller, reports: Reports, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A directory that is missing is said once and looked at when it comes."""
    caplog.set_level(logging.INFO)
    late = tmp_path / "late"
    poller.add(late, quick())
    staged = tmp_path / "staged"
    staged.mkdir()
    (staged / "a.png").touch()
    staged.rename(late)
    assert reports.next() == "a.png"
    late.rename(tmp_path / "away")
    late.mkdir()
    (late / "b.png").touch()
    assert reports.next() == "b.png"
    assert caplog.text.count(f"Polling directory={late}") >= 1
