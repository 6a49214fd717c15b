"""Acknowledgements wait for a save that began after them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from verge.cloud.broker import saver


class Disk:
    """mosquitto as far as saving goes: asked to save, it may do so, or end."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.asked = 0
        self.was_asked = asyncio.Semaphore(0)
        self.generation = 1
        self.obedient = True
        self._written = 0

    def save(self) -> None:
        """Be asked."""
        self.asked += 1
        self.was_asked.release()
        if self.obedient:
            self.write()

    def write(self) -> None:
        """Replace the file."""
        self._written += 1
        new = self.file.with_suffix(".new")
        new.write_text(str(self._written))
        new.replace(self.file)


@pytest.fixture
async def disk(tmp_path: Path) -> Disk:
    """A file that is not there yet."""
    return Disk(tmp_path / "mosquitto.db")


@pytest.fixture
async def held(disk: Disk) -> AsyncIterator[saver.Saver]:
    """A saver for the disk."""
    made = saver.Saver(file=disk.file, save=disk.save, generation=lambda: disk.generation)
    yield made
    await made.stop()


async def test_released_after_a_save(disk: Disk, held: saver.Saver) -> None:
    """An acknowledgement is let go when the file has been replaced, not before."""
    disk.obedient = False
    released = asyncio.Event()
    held.hold(1, released.set)
    await disk.was_asked.acquire()
    await asyncio.sleep(5 * saver.POLL)
    assert not released.is_set()
    disk.write()
    await released.wait()


async def test_one_save_for_many(disk: Disk, held: saver.Saver) -> None:
    """All that wait share one save, in their order; what comes during it waits for the next."""
    disk.obedient = False
    order: list[int] = []
    done = asyncio.Event()
    for number in range(100):
        held.hold(1, lambda number=number: order.append(number))  # type: ignore[misc]
    await disk.was_asked.acquire()
    held.hold(1, done.set)
    disk.obedient = True
    disk.write()
    await done.wait()
    assert order == list(range(100))
    assert disk.asked == 2


async def test_asked_again(
    disk: Disk, held: saver.Saver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that was lost is made again; a save that never comes is complained of."""
    monkeypatch.setattr(saver, "ASK_AGAIN", 0.01)
    monkeypatch.setattr(saver, "COMPLAIN", 0.02)
    disk.obedient = False
    released = asyncio.Event()
    held.hold(1, released.set)
    for _ in range(5):
        await disk.was_asked.acquire()
    assert not released.is_set()
    assert "cannot save" in caplog.text
    disk.write()
    await released.wait()


async def test_process_that_ended(disk: Disk, held: saver.Saver) -> None:
    """What a process acknowledged before it was killed is never let go by its successor's save."""
    disk.obedient = False
    lost: list[None] = []
    held.hold(1, lambda: lost.append(None))
    await disk.was_asked.acquire()
    disk.generation = 2
    disk.obedient = True
    released = asyncio.Event()
    held.hold(1, lambda: lost.append(None))  # read from the old connection's last bytes
    held.hold(2, released.set)
    await released.wait()
    assert lost == []
