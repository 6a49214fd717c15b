"""Exactly one result for each final content, whatever happens to files and processes.

VERGE_SEEDS (default 1) and VERGE_FILES (default 200) make it longer: 20 and 1000 are what the
components promise.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.integration.components import line as lines

SEEDS = int(os.environ.get("VERGE_SEEDS", "1"))
FILES = int(os.environ.get("VERGE_FILES", "200"))
WRITERS = 8
QUEUE_LIMIT = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


def picture(*parts: int) -> bytes:
    """Return a small picture that no other parts give."""
    dice = random.Random(repr(parts))  # noqa: S311 - no secret
    stream = io.BytesIO()
    Image.frombytes("RGB", (24, 24), dice.randbytes(24 * 24 * 3)).save(stream, "PNG")
    return stream.getvalue()


@dataclass(frozen=True)
class Fate:
    """What happens to one file."""

    name: str
    contents: tuple[bytes, ...]
    """One after the other; the last one is final."""
    way: str
    """slow, rename or plain."""
    deleted: bool

    def carry_out(self, folder: Path, dice: random.Random) -> None:
        for content in self.contents:
            self._write(folder, content, dice)
        if self.deleted:
            (folder / self.name).unlink(missing_ok=True)

    def _write(self, folder: Path, content: bytes, dice: random.Random) -> None:
        path = folder / self.name
        if self.way == "rename":
            part = folder / f".{self.name}.part"
            part.write_bytes(content)
            part.rename(path)
            return
        with path.open("wb") as file:
            cut = len(content) if self.way == "plain" else dice.randrange(len(content))
            file.write(content[:cut])
            if self.way == "slow":
                file.flush()
                time.sleep(dice.uniform(0, 0.02))  # the slowness of the writer is the point
                file.write(content[cut:])


def draw_fates(seed: int, count: int) -> list[Fate]:
    """Half are written slowly, a quarter renamed into place; some are replaced, some deleted."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    fates = []
    for number in range(count):
        way = dice.choice(["slow", "slow", "rename", "plain"])
        versions = 2 if dice.random() < 0.1 else 1
        contents = tuple(picture(seed, number, version) for version in range(versions))
        fates.append(Fate(f"{number:04}.png", contents, way, dice.random() < 0.05))
    return fates


def answers(results: Path) -> Counter[tuple[str, str]]:
    """Count the results by name and SHA-256 of the picture."""
    found: Counter[tuple[str, str]] = Counter()
    for path in results.glob("*.json"):
        document = json.loads(path.read_bytes())
        if document["schema"] == "verge.detections/1":
            name = Path(document["picture"]["path"]).name
            found[name, document["picture"]["sha256"]] += 1
    return found


async def final_answers(line: lines.Line, wanted: set[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """Wait, as long as there is progress, until every final content has an answer."""
    while missing := wanted - set(answers(line.results)):
        await line.nucleus.until(
            lambda before=missing: wanted - set(answers(line.results)) != before,  # type: ignore[misc]
            f"an answer to one of {len(missing)} files, such as {min(missing)[0]}",
        )
    return answers(line.results)


def finals(fates: list[Fate]) -> set[tuple[str, str]]:
    """Return name and SHA-256 of what lies there in the end."""
    return {
        (fate.name, hashlib.sha256(fate.contents[-1]).hexdigest())
        for fate in fates
        if not fate.deleted
    }


async def write_all(folder: Path, fates: list[Fate], seed: int) -> None:
    """Let several writers work at once."""

    def write(fate: Fate) -> None:
        fate.carry_out(folder, random.Random(f"{seed}{fate.name}"))  # noqa: S311 - no secret

    with ThreadPoolExecutor(WRITERS) as writers:
        await asyncio.gather(*(asyncio.wrap_future(writers.submit(write, fate)) for fate in fates))


async def kill_each_once(line: lines.Line, dice: random.Random) -> None:
    """Kill monitor, detector and nucleus at random moments, in random order."""
    victims = [lines.MONITOR, lines.DETECTOR, "nucleus"]
    dice.shuffle(victims)
    for victim in victims:
        await asyncio.sleep(dice.uniform(0, 1))  # random moments are the point
        if victim == "nucleus":
            await line.nucleus.kill()
            await line.nucleus.start()
            await line.ready()
        else:
            await line.kill(victim)


@pytest.mark.timeout(120 + FILES // 2)
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_a_burst_under_kills_has_one_result_for_each_final_content(seed: int) -> None:
    """Files slow, renamed, replaced, deleted; everything killed once: none lost, none doubled."""
    fates = draw_fates(seed, FILES)
    async with lines.running_line(annotate="false", keepResults="100000") as line:
        dice = random.Random(-seed)  # noqa: S311 - no secret
        await asyncio.gather(write_all(line.pictures, fates, seed), kill_each_once(line, dice))
        wanted = finals(fates)
        found = await final_answers(line, wanted)
        assert {key: found[key] for key in wanted} == dict.fromkeys(wanted, 1)
        contents = {
            (fate.name, hashlib.sha256(content).hexdigest())
            for fate in fates
            for content in fate.contents
        }
        assert set(found) <= contents, "nothing half-written was looked at"
        assert set(found.values()) == {1}


def is_stopped(pid: int) -> bool:
    """Whether all threads of a process stand still."""
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)


async def test_lost_events_and_a_lost_directory_lose_no_file() -> None:
    """After an overflow of the kernel's queue, and when the directory comes back, all is found."""
    async with lines.running_line(annotate="false") as line:
        # Before it watches it would find all files by looking, and lose no event.
        await line.nucleus.until(
            lambda: "Ready open=" in line.log(lines.MONITOR), "the monitor watches"
        )
        monitor = line.process(lines.MONITOR)
        assert monitor
        os.kill(monitor, signal.SIGSTOP)
        try:
            await line.nucleus.until(lambda: is_stopped(monitor), "the monitor stands still")
            # Two names in turn: the kernel makes one of events that are equal and neighbours.
            for number in range(QUEUE_LIMIT + 500):
                (line.pictures / f".{number % 2}").write_bytes(b"")
            first = draw_fates(1, 20)
            await write_all(line.pictures, first, 1)
        finally:
            os.kill(monitor, signal.SIGCONT)
        wanted = finals(first)
        found = await final_answers(line, wanted)
        await line.nucleus.until(
            lambda: "Events were lost" in line.log(lines.MONITOR), "the monitor said so"
        )
        shutil.rmtree(line.pictures)
        await line.nucleus.until(
            lambda: "Directory vanished" in line.log(lines.MONITOR), "the monitor noticed"
        )
        line.pictures.mkdir()
        second = [
            Fate(f"back-{fate.name}", fate.contents, fate.way, fate.deleted)
            for fate in draw_fates(2, 20)
        ]
        await write_all(line.pictures, second, 2)
        wanted |= finals(second)
        found = await final_answers(line, wanted)
        assert {key: found[key] for key in wanted} == dict.fromkeys(wanted, 1)
