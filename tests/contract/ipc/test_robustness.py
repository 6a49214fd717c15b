"""Clients that misbehave harm only themselves."""

from __future__ import annotations

import contextlib
import random
import statistics
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.contract.ipc import conftest, raw, sdk
from tests.support import ipc_host, ipc_process
from verge.nucleus.ipc import framing, limits

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = f"token-of-{conftest.COMPONENT}"
BAD = "com.example.Bad"
BAD_TOKEN = f"token-of-{BAD}"
SUBSCRIBE = {"topic": "flood", "receiveMode": "RECEIVE_ALL_MESSAGES"}
PUBLISH = {"topic": "flood", "publishMessage": {"jsonMessage": {"message": "x" * 1000}}}


@pytest.fixture(autouse=True)
def bad(nucleus: ipc_host.MemoryHost) -> None:
    nucleus.install(BAD, ipc_host.pubsub_policy("*"))


class Bystander:
    """A component that publishes to itself, and its latencies in seconds."""

    def __init__(self, path: Path) -> None:
        self._client = raw.RawClient(path).shake_hands(TOKEN)
        self._client.call(1, "SubscribeToTopic", {"topic": "bystander"})
        self._stream = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.socket.close()

    def latencies(self, count: int = 100) -> list[float]:
        """Publish and receive so many messages; all must arrive."""
        found = []
        for number in range(count):
            self._stream += 1
            message = {"jsonMessage": {"message": number}}
            start = time.perf_counter()
            self._client.send(
                raw.request_frame(
                    self._stream,
                    "PublishToTopic",
                    {"topic": "bystander", "publishMessage": message},
                )
            )
            assert raw.shape(self._client.receive()) == "PublishToTopicResponse"
            event = self._client.receive()
            found.append(time.perf_counter() - start)
            assert raw.content(event)["jsonMessage"]["message"] == number
        return found


@contextlib.contextmanager
def misbehaving(*behaviours: Any) -> Iterator[threading.Event]:
    """Repeat the behaviours, a thread each, until the block is left; the event says so."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def run(behaviour: Any) -> None:
        try:
            while not stop.is_set():
                # To be cut off or to be left waiting is what such a client deserves.
                with contextlib.suppress(OSError, EOFError):
                    behaviour(stop)
        except BaseException as error:  # noqa: BLE001  # raised again below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(each,)) for each in behaviours]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not failures


def _garbage(path: Path) -> Any:
    noise = random.Random(5)  # noqa: S311  # noise, the same in every run

    def behave(_stop: threading.Event) -> None:
        with raw.RawClient(path, timeout=0.05) as client:
            if noise.random() < 0.5:
                client.shake_hands(BAD_TOKEN)
            client.send(noise.randbytes(noise.randrange(1, 5000)))
            client.receive()

    return behave


def _half_frames(path: Path) -> Any:
    frame = raw.request_frame(1, "PublishToTopic", PUBLISH)

    def behave(_stop: threading.Event) -> None:
        with raw.RawClient(path, timeout=0.05) as client:
            client.shake_hands(BAD_TOKEN)
            client.send(frame[: len(frame) // 2])

    return behave


def _flood(path: Path) -> Any:
    def behave(stop: threading.Event) -> None:
        with raw.RawClient(path, timeout=0.5) as client:
            client.shake_hands(BAD_TOKEN)
            numbers = iter(range(1, 10**9))
            while not stop.is_set():
                frames = [raw.request_frame(next(numbers), "PublishToTopic", PUBLISH)] * 50
                client.send(b"".join(frames))
                client.receive()

    return behave


def _flood_unread(path: Path) -> Any:
    burst = b"".join(raw.request_frame(n, "PublishToTopic", PUBLISH) for n in range(2, 200))

    def behave(stop: threading.Event) -> None:
        with raw.RawClient(path, timeout=0.2) as client:
            client.shake_hands(BAD_TOKEN)
            client.send(raw.request_frame(1, "SubscribeToTopic", SUBSCRIBE))
            while not stop.is_set():
                client.send(burst)

    return behave


@pytest.mark.parametrize("behaviour", [_garbage, _half_frames, _flood, _flood_unread])
def test_others_go_on(running: ipc_host.RunningServer, behaviour: Any) -> None:
    """While a client misbehaves, every message of another component arrives, and soon."""
    with Bystander(running.path) as bystander, misbehaving(*[behaviour(running.path)] * 2):
        latencies = bystander.latencies(300)
    # The clients here share one interpreter with the server, so this bound is a loose one;
    # the bench measures it across processes.
    assert statistics.median(latencies) < 0.1


def test_longest_frames(running: ipc_host.RunningServer) -> None:
    """A message of nearly 24 MiB is passed on, a longer one is refused, others go on."""
    room = framing.MAX_MESSAGE_BYTES - 1200
    fields = {"topic": "flood", "publishMessage": {"jsonMessage": {"message": "x" * room}}}
    with (
        Bystander(running.path) as bystander,
        raw.RawClient(running.path) as client,
        raw.RawClient(running.path) as reader,
    ):
        client.shake_hands(BAD_TOKEN)
        reader.shake_hands(BAD_TOKEN)
        assert reader.call(1, "SubscribeToTopic", SUBSCRIBE)[0] == "SubscribeToTopicResponse"
        assert client.call(1, "PublishToTopic", fields)[0] == "PublishToTopicResponse"
        assert len(reader.receive().payload) > room
        fields["publishMessage"] = {"jsonMessage": {"message": "x" * (room + 300)}}
        assert client.call(2, "PublishToTopic", fields)[0] == "InvalidArgumentsError"
        prelude = framing.encode([], bytes(16))
        assert client.call(3, "GetConfiguration")[0] == "GetConfigurationResponse"
        client.send(_prelude_of(framing.MAX_MESSAGE_BYTES + 1) + prelude)
        assert client.receive().get(":message-type") == 6
        assert statistics.median(bystander.latencies(50)) < 0.1


def _queued(running: ipc_host.RunningServer) -> int:
    """Return how many bytes wait for the bad component."""
    principal = running.do(running.server.principal, BAD)
    assert principal is not None
    queued: int = principal.queued
    return queued


def _prelude_of(total: int) -> bytes:
    lengths = struct.pack(">II", total, 0)
    return lengths + struct.pack(">I", zlib.crc32(lengths))


def test_long_messages_leave_the_process_small(tmp_path: Path) -> None:
    """The memory that messages of 20 MiB take is given back."""
    path = tmp_path / "s"
    with ipc_process.serving(path, BAD) as process:
        before = ipc_process.resident(process.pid)
        message = {"jsonMessage": {"message": "x" * (20 * limits.MIB)}}
        with raw.RawClient(path) as client:
            client.shake_hands(BAD_TOKEN)
            client.call(1, "SubscribeToTopic", SUBSCRIBE)
            for number in (2, 3):
                fields = {"topic": "flood", "publishMessage": message}
                shape, _ = client.call(number, "PublishToTopic", fields)
                assert shape == "PublishToTopicResponse"
                assert len(client.receive().payload) > 20 * limits.MIB
        assert ipc_process.resident(process.pid) - before < 10 * limits.MIB


def test_long_messages_are_followed_by_a_rest(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """Who sends long messages is served no faster than the limit says; others are meanwhile."""
    most = limits.Limits(long_bytes_per_second=4 * limits.MIB)
    frame = raw.request_frame(1, "PublishToTopic", bytes(limits.MIB))
    with (
        ipc_host.running_server(nucleus, tmp_path / "s", most) as running,
        raw.RawClient(running.path) as client,
        raw.RawClient(running.path) as sibling,
        Bystander(running.path) as bystander,
    ):
        client.shake_hands(BAD_TOKEN)
        sibling.shake_hands(BAD_TOKEN)
        client.send(frame)
        start = time.monotonic()
        assert raw.shape(client.receive()) == "ServiceError"
        latencies = bystander.latencies(5)
        assert sibling.call(1, "GetConfiguration")[0] == "GetConfigurationResponse"
        assert time.monotonic() - start >= 0.24
        assert sum(latencies) < 0.24


def test_slow_reader_loses_events_only_of_its_own(
    running: ipc_host.RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A subscriber that does not read loses events, counted and logged; the publisher and the
    other subscribers do not wait, and the slow one gets what was kept once it reads."""
    slow = raw.RawClient(running.path).shake_hands(BAD_TOKEN)
    slow.call(1, "SubscribeToTopic", SUBSCRIBE)
    reader = sdk.V2(running.path, TOKEN)
    stream = reader.subscribe("subscribe_to_topic", topic="flood")
    with raw.RawClient(running.path) as publisher:
        publisher.shake_hands(f"token-of-{conftest.OTHER}")
        message = {"jsonMessage": {"message": "x" * 20_000}}
        for number in range(1, 401):
            fields = {"topic": "flood", "publishMessage": message}
            assert publisher.call(number, "PublishToTopic", fields)[0] == "PublishToTopicResponse"
            stream.next()
    dropped = running.do(lambda: running.server.dropped_events)
    assert 0 < dropped < 400
    assert f"Event dropped, the subscriber is slow component={BAD}" in caplog.text
    for _ in range(400 - dropped):
        assert raw.shape(slow.receive()) == "SubscriptionResponseMessage"
    assert slow.call(2, "GetConfiguration")[0] == "GetConfigurationResponse"
    slow.socket.close()
    reader.close()


def test_queues_of_one_component_are_bounded_together(
    nucleus: ipc_host.MemoryHost, tmp_path: Path
) -> None:
    """Many connections that do not read hold no more than their component's share."""
    most = limits.Limits(principal_queued_bytes=4 * limits.MIB)
    with (
        ipc_host.running_server(nucleus, tmp_path / "s", most) as running,
        contextlib.ExitStack() as stack,
        raw.RawClient(running.path) as publisher,
    ):
        for _ in range(20):
            client = stack.enter_context(raw.RawClient(running.path)).shake_hands(BAD_TOKEN)
            client.call(1, "SubscribeToTopic", SUBSCRIBE)
        publisher.shake_hands(TOKEN)
        fields = {"topic": "flood", "publishMessage": {"jsonMessage": {"message": "x" * 500_000}}}
        for number in range(1, 21):
            assert publisher.call(number, "PublishToTopic", fields)[0] == "PublishToTopicResponse"
        queued = _queued(running)
        assert 3 * limits.MIB < queued <= 4 * limits.MIB


def test_unread_answers_stop_requests(running: ipc_host.RunningServer) -> None:
    """A client that asks without reading the answers is not read any further itself."""
    with raw.RawClient(running.path, timeout=0.3) as client:
        client.shake_hands(BAD_TOKEN)
        numbers = iter(range(1, 10**6))
        with contextlib.suppress(TimeoutError):
            while next(numbers) < 100_000:
                frames = [raw.request_frame(next(numbers), "GetConfiguration") for _ in range(100)]
                client.send(b"".join(frames))
        assert next(numbers) < 100_000
        queued = _queued(running)
        assert queued < 2 * running.server.limits.unread_answers
        with Bystander(running.path) as bystander:
            bystander.latencies(20)


def test_incomplete_frames_of_one_component_are_bounded(
    nucleus: ipc_host.MemoryHost, tmp_path: Path
) -> None:
    """Long frames that never end hold no more than their component's share."""
    most = limits.Limits(principal_arriving=2 * limits.MIB, farewell=0.02)
    frame = raw.request_frame(1, "PublishToTopic", bytes(limits.MIB))
    with (
        ipc_host.running_server(nucleus, tmp_path / "s", most) as running,
        contextlib.ExitStack() as stack,
    ):
        clients = []
        for _ in range(3):
            client = stack.enter_context(raw.RawClient(running.path)).shake_hands(BAD_TOKEN)
            with contextlib.suppress(OSError):
                client.send(frame[:-1])
            clients.append(client)
        assert clients[2].is_closed()
        clients[0].send(frame[-1:])
        assert raw.shape(clients[0].receive()) == "ServiceError"
        with Bystander(running.path) as bystander:
            bystander.latencies(20)


def test_thousand_connections(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """A component that opens 1,000 connections keeps its share of them; others still connect."""
    with (
        ipc_host.running_server(nucleus, tmp_path / "s") as running,
        contextlib.ExitStack() as stack,
        Bystander(running.path) as bystander,
    ):
        accepted = 0
        for _ in range(1000):
            try:
                client = stack.enter_context(raw.RawClient(running.path))
                client.shake_hands(BAD_TOKEN)
            except (AssertionError, EOFError, OSError):
                continue
            accepted += 1
        assert 0 < accepted <= running.server.limits.principal_connections
        bystander.latencies(20)
        with raw.RawClient(running.path) as other:
            other.shake_hands(f"token-of-{conftest.OTHER}")
            assert other.call(1, "GetConfiguration")[0] == "GetConfigurationResponse"


def test_rush_of_connections_waits(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """After a burst, connections are let in at a rate; none is lost, and those open go on."""
    most = limits.Limits(connection_burst=10, connections_per_second=50)
    with (
        ipc_host.running_server(nucleus, tmp_path / "s", most) as running,
        Bystander(running.path) as bystander,
        contextlib.ExitStack() as stack,
    ):
        began = time.monotonic()
        rush = [stack.enter_context(raw.RawClient(running.path)) for _ in range(39)]
        bystander.latencies(20)
        assert all(client.shake_hands(BAD_TOKEN) for client in rush)
        assert time.monotonic() - began >= 30 / 50 - 0.1


def test_strangers_are_bounded(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """Of clients that never shake hands, the oldest go; a component still gets in."""
    most = limits.Limits(strangers=10)
    with (
        ipc_host.running_server(nucleus, tmp_path / "s", most) as running,
        contextlib.ExitStack() as stack,
    ):
        idle = [stack.enter_context(raw.RawClient(running.path)) for _ in range(50)]
        with Bystander(running.path) as bystander:
            bystander.latencies(5)
        assert idle[0].is_closed()
        assert running.do(lambda: len(running.server.strangers.connections)) <= 10


def test_streams_are_bounded(nucleus: ipc_host.MemoryHost, tmp_path: Path) -> None:
    """A component with too many open streams gets an error for further ones."""
    most = limits.Limits(principal_streams=5)
    with (
        ipc_host.running_server(nucleus, tmp_path / "s", most) as running,
        raw.RawClient(running.path) as client,
    ):
        client.shake_hands(BAD_TOKEN)
        shapes = [client.call(n, "SubscribeToTopic", SUBSCRIBE)[0] for n in range(1, 7)]
        assert shapes == ["SubscribeToTopicResponse"] * 5 + ["ServiceError"]
        client.send(raw.request_frame(1, None, flags=2))
        assert client.call(7, "SubscribeToTopic", SUBSCRIBE)[0] == "SubscribeToTopicResponse"


def test_nothing_is_left_of_clients_that_went(running: ipc_host.RunningServer) -> None:
    """After its clients have gone in the middle of everything, a principal is forgotten."""
    for _ in range(20):
        client = raw.RawClient(running.path).shake_hands(BAD_TOKEN)
        client.call(1, "SubscribeToTopic", SUBSCRIBE)
        client.send(raw.request_frame(2, "PublishToTopic", PUBLISH) * 3)
        client.send(raw.request_frame(3, "PublishToTopic", bytes(200_000))[:150_000])
        client.socket.close()
    deadline = time.monotonic() + 10
    while running.do(lambda: running.server.principal(BAD)) is not None:
        assert time.monotonic() < deadline
    assert running.do(lambda: len(running.server.strangers.connections)) == 0
    with Bystander(running.path) as bystander:
        bystander.latencies(5)


def test_defect_of_a_handler(
    nucleus: ipc_host.MemoryHost,
    running: ipc_host.RunningServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unexpected exception is a ServiceError and a log entry, at once and after a while."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(nucleus.components, "list", broken)
    monkeypatch.setattr(nucleus.components, "details", broken)
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{conftest.CLI}")
        for stream, operation in enumerate(("ListComponents", "RestartComponent"), 1):
            shape, body = client.call(stream, operation, {"componentName": "x"})
            assert shape == "ServiceError"
            assert body["message"] == "internal error: ZeroDivisionError('by zero')"
    assert "Operation failed unexpectedly operation=aws.greengrass#ListComponents" in caplog.text
