"""Whatever lies in the watched directory, on a real nucleus: one rejection each, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import os
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.integration.components import line as lines

WHOLE = lines.PICTURES / "chelsea.png"
ROUNDS = 25
"""Of eight hostile files each."""
ROOM = 40_000
"""Kilobytes that a component may grow by over all of them: a decoded picture or two."""


def bomb() -> bytes:
    """Return a small file whose header promises 60,000 by 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + chunk + WHOLE.read_bytes()[33:]


def cut(whole: bytes) -> bytes:
    """Return the first half of a file."""
    return whole[: len(whole) // 2]


def jpeg() -> bytes:
    """Return a whole JPEG."""
    stream = io.BytesIO()
    with Image.open(WHOLE) as picture:
        picture.save(stream, "JPEG")
    return stream.getvalue()


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)


Maker = Callable[[Path], None]


def makers() -> dict[str, tuple[Maker, str]]:
    """Return what makes each hostile thing, and the code it is rejected with, by its name."""
    contents = {
        "cut.png": (cut(WHOLE.read_bytes()), "truncated"),
        "cut.jpg": (cut(jpeg()), "truncated"),
        "bomb.png": (bomb(), "too_large"),
        "text.jpg": (b"no picture at all\n" * 99, "not_a_picture"),
        "empty.jpg": (b"", "not_a_picture"),
        "two\nlines.jpg": (jpeg(), "bad_name"),
        os.fsdecode(b"\xff.jpg"): (jpeg(), "bad_name"),
    }
    made: dict[str, tuple[Maker, str]] = {
        name: (functools.partial(_write, content), code)
        for name, (content, code) in contents.items()
    }
    made["link.jpg"] = lambda path: path.symlink_to(WHOLE), "not_a_file"
    made["pipe.jpg"] = os.mkfifo, "not_a_file"
    made["folder.jpg"] = Path.mkdir, "not_a_file"
    return made


class Listener:
    """Hears everything that is said of files and pictures."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []

    def said(self, topic: str) -> list[dict[str, Any]]:
        """Return the documents on a topic, in their order."""
        return [document for name, document in self.heard if name == topic]

    async def read(self, stream: asyncio.StreamReader) -> None:
        """Take what the subscriber prints."""
        while text := await stream.readline():
            entry = json.loads(text)
            self.heard.append((entry["topic"], entry["message"]))


@contextlib.asynccontextmanager
async def listening(line: lines.Line) -> AsyncIterator[Listener]:
    """Subscribe to all topics of the line."""
    process = await line.nucleus.start_process("pubsub", "sub", "--topic", "verge/+", "--json")
    assert process.stdout
    assert process.stderr
    assert (await process.stderr.readline()).startswith(b"* Subscribed")
    listener = Listener()
    reading = asyncio.create_task(listener.read(process.stdout))
    try:
        yield listener
    finally:
        process.kill()
        await reading
        await process.communicate()


@pytest.fixture
async def line() -> AsyncIterator[lines.Line]:
    """Return a line whose monitor repeats nothing within the time of a test."""
    async with lines.running_line(annotate="false") as running:
        update = {lines.MONITOR: {"MERGE": {"redeliverAfterSeconds": "60"}}}
        report = await running.nucleus.deploy("--update-config", json.dumps(update))
        assert report["status"] == "SUCCEEDED", report
        await running.nucleus.until(
            lambda: "Configuration changed" in running.log(lines.MONITOR), "it has it"
        )
        await running.nucleus.until(
            lambda: "Ready" in running.log(lines.DETECTOR), "nothing is announced in vain"
        )
        yield running


async def test_each_gives_one_rejection_and_nothing_else(line: lines.Line) -> None:
    """Ten kinds of hostile files: ten rejections with their codes; a good picture still a result.

    After a kill of the monitor none is rejected again.
    """
    made = makers()
    async with listening(line) as listener:
        for name, (make, _) in made.items():
            make(line.pictures / name)
        await line.nucleus.until(
            lambda: len(listener.said("verge/rejections")) >= len(made), "all are rejected"
        )
        await line.kill(lines.MONITOR)
        line.drop(WHOLE, "good.png")
        await line.nucleus.until(lambda: listener.said("verge/detections"), "the good picture")
    rejected = listener.said("verge/rejections")
    shown = {name: os.fsencode(name).decode(errors="backslashreplace") for name in made}
    expected = {str(line.pictures / shown[name]): code for name, (_, code) in made.items()}
    assert {found["picture"]["path"]: found["code"] for found in rejected} == expected
    assert len(rejected) == len(expected)
    assert all(found["reason"] for found in rejected)
    [result] = listener.said("verge/detections")
    assert result["picture"]["path"] == str(line.pictures / "good.png")
    read = {name for name, (_, code) in made.items() if code not in {"bad_name", "not_a_file"}}
    announced = [Path(document["path"]).name for document in listener.said("verge/files")]
    assert sorted(announced) == sorted([*read, "good.png"])


async def test_many_take_no_memory(line: lines.Line) -> None:
    """Two hundred hostile files leave monitor and detector as small as some did, and at work."""
    made = {name: one for name, one in makers().items() if one[1] != "bad_name"}
    processes = [line.process(name) for name in (lines.MONITOR, lines.DETECTOR)]
    async with listening(line) as listener:

        async def throw(rounds: range) -> None:
            for number in rounds:
                for name, (make, _) in made.items():
                    make(line.pictures / f"{number}-{name}")
            wanted = rounds.stop * len(made)
            await line.nucleus.until(
                lambda: len(listener.said("verge/rejections")) >= wanted, f"{wanted} rejections"
            )

        await throw(range(3))  # Decoders are loaded, pools are as large as they get.
        before = [_resident(pid) for pid in processes]
        await throw(range(3, 3 + ROUNDS))
        after = [_resident(pid) for pid in processes]
        line.drop(WHOLE, "good.png")
        await line.nucleus.until(lambda: listener.said("verge/detections"), "the good picture")
    assert len(listener.said("verge/rejections")) == (3 + ROUNDS) * len(made)
    assert [line.process(name) for name in (lines.MONITOR, lines.DETECTOR)] == processes
    grown = [late - early for early, late in zip(before, after, strict=True)]
    assert max(grown) < ROOM, f"monitor and detector grew by {grown} kB from {before}"
    print(f"resident {before} kB before, {after} kB after {ROUNDS * len(made)} hostile files")


def _resident(pid: int | None) -> int:
    """Return the resident memory of a process, in kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(row for row in status.splitlines() if row.startswith("VmRSS")).split()[1])
