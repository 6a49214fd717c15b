"""A client that misbehaves, as a process of its own.

    PYTHONPATH=src:. python -m tests.support.misbehaving SOCKET TOKEN BEHAVIOUR

It says "ready" once it has begun. Whoever measures what it does to others stops and continues it
by signals, so that rounds with and without it can take turns.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable
from pathlib import Path

from tests.contract.ipc import raw
from verge.nucleus.ipc import framing

TOPIC = {"topic": "flood", "receiveMode": "RECEIVE_ALL_MESSAGES"}


def publication(size: int) -> dict[str, object]:
    """Return a request that publishes so many bytes."""
    return {"topic": "flood", "publishMessage": {"jsonMessage": {"message": "x" * size}}}


def garbage(path: Path, token: str) -> None:
    """Send noise instead of frames, before and after the handshake, and begin anew."""
    noise = random.Random(5)  # noqa: S311  # noise, the same in every run
    while True:
        with contextlib.suppress(OSError, EOFError), raw.RawClient(path, timeout=0.05) as client:
            if noise.random() < 0.5:
                client.shake_hands(token)
            client.send(noise.randbytes(noise.randrange(1, 5000)))
            client.receive()


def half_frames(path: Path, token: str) -> None:
    """Send the first half of a frame, long ones among them, and leave."""
    frames = [raw.request_frame(1, "PublishToTopic", publication(n)) for n in (1000, 1_000_000)]
    while True:
        for frame in frames:
            with contextlib.suppress(OSError), raw.RawClient(path, timeout=1) as client:
                client.shake_hands(token)
                client.send(frame[: len(frame) // 2])


def longest_frames(path: Path, token: str) -> None:
    """Publish messages of nearly 24 MiB, one after the other."""
    frame = raw.request_frame(1, "PublishToTopic", publication(framing.MAX_MESSAGE_BYTES - 1200))
    while True:
        with contextlib.suppress(OSError, EOFError), raw.RawClient(path, timeout=10) as client:
            client.shake_hands(token)
            client.send(frame)
            client.receive()


def never_reads(path: Path, token: str) -> None:
    """Subscribe to what oneself publishes without end, and never read."""
    while True:
        with contextlib.suppress(OSError), raw.RawClient(path, timeout=0.5) as client:
            client.shake_hands(token)
            client.send(raw.request_frame(1, "SubscribeToTopic", TOPIC))
            for number in range(2, 1_000_000):
                client.send(raw.request_frame(number, "PublishToTopic", publication(1000)))


def thousand_connections(path: Path, token: str) -> None:
    """Hold 1,000 connections open, of which those that are cut are opened again."""
    while True:
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                with contextlib.suppress(OSError, EOFError, AssertionError):
                    client = stack.enter_context(raw.RawClient(path, timeout=1))
                    client.shake_hands(token)


BEHAVIOURS: dict[str, Callable[[Path, str], None]] = {
    "garbage": garbage,
    "half-frames": half_frames,
    "24-mib-frames": longest_frames,
    "never-reads": never_reads,
    "1000-connections": thousand_connections,
}


def main() -> None:
    """Misbehave until killed."""
    print("ready", flush=True)
    BEHAVIOURS[sys.argv[3]](Path(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    main()
