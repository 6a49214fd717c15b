"""What a client that misbehaves costs the others: their latency, and the memory of the nucleus.

Server, misbehaving client and bystander are three processes. Rounds with and without the client
take turns, and of each kind the quicker ones count: what else a machine does can only add to both,
while the client is at work in every round that is its own.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.ipc import raw
from tests.support import ipc_process, misbehaving
from verge.nucleus.ipc import limits

GOOD = "com.example.Good"
BAD = "com.example.Bad"
ROUNDS = 12
MOST_ROUNDS = 48
"""As many are played where the first ones decide nothing, on a machine that is busy otherwise."""

ROUND = 0.1
"""Seconds; long enough for a frame of 24 MiB to be sent, read and answered in it."""

PACE = 0.001
"""Seconds from one message of the bystander to its next."""

MOST = 2.0
"""How much slower a publication may become, by the median."""

KEPT = 12 * limits.MIB
"""Memory that the process may keep: freed, but not given back by the C library's arenas."""


class Bystander:
    """A component that publishes to itself."""

    def __init__(self, path: Path) -> None:
        self._client = raw.RawClient(path, timeout=20).shake_hands(f"token-of-{GOOD}")
        self._client.call(1, "SubscribeToTopic", {"topic": "bystander"})
        self._stream = 1

    def publish(self) -> float:
        """Return the seconds from a publication to its event; both answers must come."""
        self._stream += 1
        message = {"jsonMessage": {"message": "x" * 200}}
        frame = raw.request_frame(
            self._stream, "PublishToTopic", {"topic": "bystander", "publishMessage": message}
        )
        start = time.perf_counter()
        self._client.send(frame)
        assert raw.shape(self._client.receive()) == "PublishToTopicResponse"
        assert raw.shape(self._client.receive()) == "SubscriptionResponseMessage"
        return time.perf_counter() - start

    def median(self) -> float:
        """Publish for a round, of which the beginning does not count."""
        for _ in range(3):
            self.publish()
        end = time.perf_counter() + ROUND
        found: list[float] = []
        while time.perf_counter() < end or len(found) < 5:
            # A component rests between its messages. One that never does keeps both processes on
            # the processor, which makes its latency a measure of the scheduler.
            time.sleep(PACE)
            found.append(self.publish())
        return statistics.median(found)

    def close(self) -> None:
        self._client.socket.close()


def ratio(beside: list[float], usual: list[float]) -> float:
    """Return how much slower the quicker quarter of rounds has become."""
    return sorted(beside)[len(beside) // 4] / sorted(usual)[len(usual) // 4]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The socket and the process id of a server that has seen every behaviour before."""
    path = tmp_path_factory.mktemp("ipc") / "s"
    with ipc_process.serving(path, GOOD, BAD) as process:
        yield path, process.pid


def attack(path: Path, behaviour: str) -> subprocess.Popen[bytes]:
    return ipc_process.started("tests.support.misbehaving", str(path), f"token-of-{BAD}", behaviour)


@pytest.mark.parametrize("behaviour", misbehaving.BEHAVIOURS)
def test_others_stay_quick_and_memory_returns(served: tuple[Path, int], behaviour: str) -> None:
    """The median latency of others stays within twice the usual, and memory comes back."""
    path, server = served
    before = ipc_process.resident(server)
    bystander = Bystander(path)
    bad = attack(path, behaviour)
    usual: list[float] = []
    beside: list[float] = []
    try:
        while len(beside) < ROUNDS or (ratio(beside, usual) > MOST and len(beside) < MOST_ROUNDS):
            bad.send_signal(signal.SIGSTOP)
            usual.append(bystander.median())
            bad.send_signal(signal.SIGCONT)
            beside.append(bystander.median())
        assert bad.poll() is None, "the client has given up"
    finally:
        bad.kill()
        bad.communicate()
    assert ratio(beside, usual) <= MOST, (sorted(beside), sorted(usual))
    deadline = time.monotonic() + 10
    while (kept := ipc_process.resident(server) - before) > KEPT:
        assert time.monotonic() < deadline, f"{kept} bytes did not come back"
        bystander.publish()
    bystander.close()
