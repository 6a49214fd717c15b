from __future__ import annotations

import asyncio
import logging

import pytest

from verge.nucleus.ipc import notes

logger = logging.getLogger("verge.test")


async def test_first_is_logged_and_others_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many events of a kind make two lines: the first, and how many more there were."""
    monkeypatch.setattr(notes, "INTERVAL", 0.01)
    taken = notes.Notes(asyncio.get_running_loop())
    for _ in range(100):
        taken.note(logger, "Event dropped", "com.example.A")
    taken.note(logger, "Event dropped", "com.example.B", "slow")
    summed_up = asyncio.Event()
    monkeypatch.setattr(taken, "_watch", lambda *_: summed_up.set())
    await asyncio.wait_for(summed_up.wait(), 10)
    assert caplog.messages == [
        "Event dropped component=com.example.A",
        "Event dropped component=com.example.B reason=slow",
        "Event dropped component=com.example.A more=99",
    ]
    taken.close()


async def test_kinds_are_bounded(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names without end do not take memory without end."""
    monkeypatch.setattr(notes, "_MOST_KINDS", 10)
    taken = notes.Notes(asyncio.get_running_loop())
    for number in range(20):
        taken.note(logger, "Event dropped", str(number))
    assert len(caplog.messages) == 10
    taken.close()
