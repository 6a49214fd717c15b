"""The detection line on a real nucleus: real processes, real model, real pictures, real kills."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import zlib
from pathlib import Path

import pytest
import yaml
from PIL import Image

from tests.integration.components import line as lines

MONITOR, DETECTOR = lines.MONITOR, lines.DETECTOR


def small_pictures(folder: Path, count: int) -> list[Path]:
    """Make pictures that differ, quick to decode."""
    with Image.open(lines.PICTURES / "chelsea.png") as source:
        base = source.resize((226, 150))
    paths = []
    for number in range(count):
        base.putpixel((number % 226, number // 226), (255, 0, 0))
        paths.append(folder / f"source-{number:03}.jpg")
        base.save(paths[-1], quality=90)
    return paths


async def test_finds_what_the_card_promises() -> None:
    """Pictures copied into the watched directory are answered with what the card promises."""
    card = yaml.safe_load((lines.COMPONENTS / lines.MODEL / "model" / "model.yaml").read_text())
    async with lines.running_line() as line:
        for golden in card["golden"]:
            line.drop(lines.PICTURES / golden["picture"], golden["picture"])
        found = await line.results_of(*(golden["picture"] for golden in card["golden"]))
        for golden in card["golden"]:
            document = found[golden["picture"]]
            scores = {entry["label"]: entry["score"] for entry in document["detections"]}
            assert scores.get(golden["label"], 0) >= golden["score"]
            assert document["device"] == "press-01"
            assert document["picture"]["sha256"] == golden["sha256"]
            assert await line.is_drawn(document["annotated"])


async def test_bad_files_are_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    """What is no picture, cut off, enormous or gone gives a rejection; the next one a result."""
    whole = (lines.PICTURES / "chelsea.png").read_bytes()
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + header
    chunk += struct.pack(">I", zlib.crc32(b"IHDR" + header))
    bad = {
        "text.png": (b"no picture at all\n" * 9, "not_a_picture"),
        "cut.png": (whole[: len(whole) // 2], "truncated"),
        "bomb.png": (b"\x89PNG\r\n\x1a\n" + chunk + whole[33:], "too_large"),
        "empty.png": (b"", "not_a_picture"),
    }
    async with lines.running_line() as line:
        for name, (content, _) in bad.items():
            path = tmp_path / name
            path.write_bytes(content)
            line.drop(path, name)
        line.drop(lines.PICTURES / "chelsea.png", "good.png")
        found = await line.results_of(*bad, "good.png")
        assert {name: found[name].get("code") for name in bad} == {
            name: code for name, (_, code) in bad.items()
        }
        assert found["good.png"]["schema"] == "verge.detections/1"
        assert line.process(DETECTOR)


@pytest.mark.timeout(150)
async def test_a_burst_with_kills_gives_one_result_each(tmp_path: Path) -> None:
    """While the monitor, the detector and the nucleus are killed, nothing is lost or doubled."""
    count = 120
    sources = small_pictures(tmp_path, count)
    async with lines.running_line(annotate="false") as line:

        async def produce() -> None:
            for number, source in enumerate(sources):
                if number % 2:
                    line.drop(source, source.name)
                else:
                    # Written in two parts, then renamed into place.
                    part = line.pictures / f".{source.name}.part"
                    data = source.read_bytes()
                    with part.open("wb") as file:
                        file.write(data[:500])
                        file.flush()
                        await asyncio.sleep(0.02)
                        file.write(data[500:])
                    part.rename(line.pictures / source.name)
                await asyncio.sleep(0.01)

        def answered(least: int) -> bool:
            return len(line.documents()) >= least

        async with asyncio.TaskGroup() as group:
            group.create_task(produce())
            await line.nucleus.until(lambda: answered(5), "the first results")
            await line.kill(DETECTOR)
            await line.nucleus.until(lambda: answered(30), "results after the detector's end")
            await line.kill(MONITOR)
            await line.nucleus.until(lambda: answered(50), "results after the monitor's end")
            await line.nucleus.kill()
            await line.nucleus.start()
        await line.ready()
        found = await line.results_of(*(source.name for source in sources))
        assert {document["schema"] for document in found.values()} == {"verge.detections/1"}
        for source in sources:
            assert found[source.name]["picture"]["size"] == source.stat().st_size


async def test_a_deployment_changes_the_configuration_of_what_runs() -> None:
    """A new threshold and new patterns from a deployment hold for the next pictures."""
    update = {
        DETECTOR: {"MERGE": {"scoreThreshold": "0.99"}},
        MONITOR: {"MERGE": {"patterns": ["*.picture"]}},
    }
    async with lines.running_line() as line:
        line.drop(lines.PICTURES / "chelsea.png", "before.png")
        found = await line.results_of("before.png")
        assert found["before.png"]["detections"]
        before = (line.process(MONITOR), line.process(DETECTOR))
        report = await line.nucleus.deploy("--update-config", json.dumps(update))
        assert report["status"] == "SUCCEEDED"
        await line.nucleus.until(
            lambda: all("Configuration changed" in line.log(name) for name in (MONITOR, DETECTOR)),
            "both took the new configuration",
        )
        line.drop(lines.PICTURES / "chelsea.png", "unwanted.png")
        line.drop(lines.PICTURES / "chelsea.png", "after.picture")
        found = await line.results_of("before.png", "after.picture")
        assert found["after.picture"]["detections"] == []
        assert (line.process(MONITOR), line.process(DETECTOR)) == before


async def test_files_wait_for_the_detector() -> None:
    """What came while everything was down is answered when it is up again."""
    async with lines.running_line() as line:
        await line.nucleus.stop()
        line.drop(lines.PICTURES / "chelsea.png", "while-down.png")
        await line.nucleus.start()
        await line.results_of("while-down.png")


async def test_a_consumer_that_was_gone_hears_of_everything() -> None:
    """Pictures that come while the detector is stopped are answered once it runs again."""
    async with lines.running_line() as line:
        await line.nucleus.call("StopComponent", {"componentName": DETECTOR})
        await line.nucleus.until(lambda: line.process(DETECTOR) is None, "the detector has ended")
        for number in range(5):
            line.drop(lines.PICTURES / "chelsea.png", f"{number}.png")
        await line.nucleus.call("RestartComponent", {"componentName": DETECTOR})
        await line.results_of(*(f"{number}.png" for number in range(5)))


async def test_both_leave_when_the_nucleus_is_gone() -> None:
    """Without a nucleus neither component stays behind."""
    async with lines.running_line() as line:
        pids = [line.process(MONITOR), line.process(DETECTOR)]
        await line.nucleus.kill()
        await line.nucleus.until(
            lambda: not any(pid and os.path.exists(f"/proc/{pid}") for pid in pids),  # noqa: PTH110
            "both have ended",
        )


@pytest.mark.timeout(150)
async def test_models_change_while_pictures_stream_in(tmp_path: Path) -> None:
    """A new model takes over between two pictures; one that breaks its promises never does.

    Every picture has one result, the former model's or the new one's, in one sequence; the
    deployment of the broken model fails, and the device goes on with the one before.
    """
    sources = small_pictures(tmp_path, 60)
    async with lines.running_line(annotate="false") as line:
        stream = asyncio.create_task(_drop_slowly(line, sources))
        await line.results_of_at_least(5)
        lines.release_model(line.nucleus.release, "1.0.1")
        report = await line.nucleus.deploy("--merge", f"{lines.MODEL}=1.0.1")
        assert report["status"] == "SUCCEEDED", report
        lines.release_model(line.nucleus.release, "1.0.2", label="zebra")
        policy = ("--failure-handling-policy", "ROLLBACK")
        report = await line.nucleus.deploy("--merge", f"{lines.MODEL}=1.0.2", *policy)
        assert report["status"] == "FAILED", report
        assert "no zebra in chelsea.png" in line.log(lines.MODEL)
        names = await stream
        found = await line.results_of(*names)
        line.drop(sources[0], "after.jpg")
        found = await line.results_of(*names, "after.jpg")
    versions = [found[name]["model"]["version"] for name in names]
    assert versions == sorted(versions)
    assert found["after.jpg"]["model"]["version"] == "1.0.1"


async def _drop_slowly(line: lines.Line, sources: list[Path]) -> list[str]:
    """Drop one picture after the other has a result, and the last ones in a burst."""
    names = []
    for number, source in enumerate(sources):
        names.append(f"picture-{number:03}.jpg")
        line.drop(source, names[-1])
        if number < len(sources) // 2:
            # The detector rests while a deployment tries a broken model three times.
            await line.results_of_at_least(number + 1, patience=90)
    return names
