"""Take pictures, announce each one, and delete it once somebody has answered.

The program that takes a picture knows when it is complete, so it needs no watched directory: it
publishes the same message as verge.FileSystemMonitor. A picture's file name is its id, and the file
lies there until it is answered, so kills and power cuts lose nothing: what still lies there at the
start is announced again.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import queue
import shutil
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from awsiot.greengrasscoreipc import clientv2, model

FILES = "verge/files"
ANSWERS = ("verge/detections", "verge/rejections")
REPEAT_SECONDS = 5.0
_STOP = "stop"

_log = logging.getLogger(__name__)


class Camera:
    """Stands for your camera: copies the pictures of a folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._sources = itertools.cycle(sorted(folder.glob("*.jpg")) or [None])

    def take(self, target: Path) -> bool:
        """Write one picture; return False if there is none."""
        source = next(self._sources)
        if source is None:
            return False
        # Until it is complete the file has another name, so a restart never announces half of it.
        part = target.with_suffix(".part")
        shutil.copyfile(source, part)
        part.rename(target)
        return True


class Announcer:
    """Announces the files of a folder until they are answered."""

    def __init__(self, client: Any, shots: Path, device: str) -> None:
        self._client = client
        self._shots = shots
        self._device = device
        self._sent: dict[str, float] = {}

    def announce(self, now: float) -> None:
        """Publish what is new and what has had no answer for a while."""
        for path in sorted(self._shots.glob("*.jpg")):
            if now - self._sent.get(path.stem, float("-inf")) >= REPEAT_SECONDS:
                self._publish(path)
                self._sent[path.stem] = now

    def answered(self, identity: str) -> None:
        """Delete the picture that an answer is about."""
        if self._sent.pop(identity, None) is not None:
            (self._shots / f"{identity}.jpg").unlink(missing_ok=True)
            _log.info("Picture answered id=%s", identity)

    def _publish(self, path: Path) -> None:
        status = path.stat()
        message = {
            "schema": "verge.file/1",
            "id": path.stem,
            "device": self._device,
            "path": str(path),
            "size": status.st_size,
            "modified": status.st_mtime,
        }
        self._client.publish_to_topic(
            topic=FILES,
            publish_message=model.PublishMessage(json_message=model.JsonMessage(message=message)),
        )


def main() -> int:
    """Work until asked to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where pictures wait")
    parser.add_argument("--source", type=Path, required=True, help="what the camera sees")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between pictures")
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(levelname)s %(message)s")
    shots = options.work / "shots"
    shots.mkdir(parents=True, exist_ok=True)
    events: queue.SimpleQueue[str] = queue.SimpleQueue()
    signal.signal(signal.SIGTERM, lambda *_: events.put(_STOP))

    client = clientv2.GreengrassCoreIPCClientV2()
    for topic in ANSWERS:
        client.subscribe_to_topic(
            topic=topic,
            on_stream_event=lambda event: events.put(_id_of(event)),
            on_stream_error=lambda _error: True,
            on_stream_closed=lambda: events.put(_STOP),
        )
    camera = Camera(options.source)
    announcer = Announcer(client, shots, os.environ.get("AWS_IOT_THING_NAME", "unknown"))
    next_shot = time.monotonic()
    while True:
        if time.monotonic() >= next_shot:
            camera.take(shots / f"{uuid.uuid4().hex}.jpg")
            next_shot += options.every
        announcer.announce(time.monotonic())
        try:
            identity = events.get(timeout=max(0.0, next_shot - time.monotonic()))
        except queue.Empty:
            continue
        if identity == _STOP:
            return 0
        announcer.answered(identity)


def _id_of(event: model.SubscriptionResponseMessage) -> str:
    # On AWS's Nucleus Lite the same JSON travels as a binary message.
    document: Any = None
    if event.json_message:
        document = event.json_message.message
    elif event.binary_message:
        with contextlib.suppress(ValueError):
            document = json.loads(event.binary_message.message)
    return str(document.get("id", "")) if isinstance(document, dict) else ""


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # The IPC library's threads may still hold the connection.
