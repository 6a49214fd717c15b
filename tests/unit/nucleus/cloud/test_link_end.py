"""The end of the link, whatever fails at that moment."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from unittest import mock

import pytest

from verge.nucleus import paths, settings
from verge.nucleus.cloud import errors, link


async def test_failure_does_not_hide_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is told to end does so, also where its work fails while it is cancelled."""
    begun = asyncio.Event()

    async def live(_: link.Link) -> str:
        begun.set()
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            lost = errors.UnreachableError("the connection was lost")
            raise ExceptionGroup("unhandled errors", [lost]) from None
        return ""

    monkeypatch.setattr(link.Link, "_live", live)
    one = link.Link(settings.Settings(paths.Paths(tmp_path)), mock.MagicMock(), lambda: 0.0)
    running = asyncio.create_task(one.run())
    await begun.wait()
    running.cancel()
    async with asyncio.timeout(5):
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert running.cancelled()
