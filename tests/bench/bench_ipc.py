"""IPC: publish → subscriber, beside a floor that answers the same frames and does nothing else.

    PYTHONPATH=src:. python tests/bench/bench_ipc.py [--messages 3000] [--rounds 3]

Publisher and subscriber are processes of their own with awsiotsdk V2 clients. The floor and the
server are measured in turns, so that other load on the machine falls on both. Goals: p50 ≤ 1.5
times the floor and ≤ 0.4 ms, p99 ≤ 1 ms, ≥ 4,000 messages a second with 64 in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "bench/topic"
TEXT = "x" * 200
IN_FLIGHT = 64


def serve_floor(path: str) -> None:
    """Answer the frames of the two clients from bytes, understanding only what it must."""
    from verge.nucleus.ipc import framing, rpc

    accepted = rpc.Template(rpc.MessageType.CONNECT_ACK, rpc.Flag.CONNECTION_ACCEPTED).message(
        0, b""
    )
    name = rpc.NAMESPACE
    message = rpc.MessageType.APPLICATION_MESSAGE
    published = rpc.Template(message, rpc.Flag.TERMINATE_STREAM, f"{name}PublishToTopicResponse")
    subscribed = rpc.Template(message, 0, f"{name}SubscribeToTopicResponse")
    event = rpc.Template(message, 0, f"{name}SubscriptionResponseMessage").headers(1)
    subscribers: list[asyncio.Transport] = []

    class Floor(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport
            self.decoder = framing.Decoder()

        def connection_lost(self, _error: Exception | None) -> None:
            if self.transport in subscribers:
                subscribers.remove(self.transport)

        def data_received(self, data: bytes) -> None:
            self.decoder.feed(data)
            answers: list[bytes] = []
            events: list[bytes] = []
            while (frame := self.decoder.next_frame()) is not None:
                at = frame.headers.find(b":stream-id") + 11
                stream = int.from_bytes(frame.headers[at : at + 4], "big")
                if b":version" in frame.headers:
                    answers.append(accepted)
                elif b"#SubscribeToTopic" in frame.headers:
                    subscribers.append(self.transport)
                    answers.append(subscribed.message(stream, b"{}"))
                elif b"#PublishToTopic" in frame.headers:
                    answers.append(published.message(stream, b"{}"))
                    start = frame.payload.find(b'"publishMessage": ') + 18
                    head = frame.payload[start:-3]
                    payload = head + b',"context":{"topic":"bench/topic"}}}'
                    events.append(rpc.seal(event, payload))
            self.transport.write(b"".join(answers))
            if events:
                for transport in subscribers:
                    transport.write(b"".join(events))

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Floor, path)
        await server.serve_forever()

    asyncio.run(main())


def serve_real(path: str) -> None:
    """Run our server with two components."""
    from tests.support import ipc_host
    from verge.nucleus.ipc import server

    nucleus = ipc_host.MemoryHost()
    for name in ("bench.Publisher", "bench.Subscriber"):
        nucleus.install(name, ipc_host.pubsub_policy("bench/*"))

    async def main() -> None:
        async with server.serve(nucleus, Path(path)):
            await asyncio.Event().wait()

    asyncio.run(main())


def client(path: str, component: str) -> Any:
    """Return a connected V2 client whose callbacks run in order."""
    from awsiot.greengrasscoreipc import clientv2, connect

    connection = connect(ipc_socket=path, authtoken=f"token-of-{component}", timeout=10)
    return clientv2.GreengrassCoreIPCClientV2(client=connection, executor=None)


def subscribe(path: str, expected: int, results: Any, ready: Any) -> None:
    """Receive the messages and report when each was sent and received, in ns."""
    times: list[tuple[int, int]] = []
    done = threading.Event()

    def received(event: Any) -> None:
        times.append((event.json_message.message["sent"], time.perf_counter_ns()))
        if len(times) == expected:
            done.set()

    subscriber = client(path, "bench.Subscriber")
    subscriber.subscribe_to_topic(topic=TOPIC, on_stream_event=received)
    ready.set()
    done.wait(120)
    results.put(times)
    subscriber.close()


def publish(path: str, count: int, in_flight: int) -> None:
    """Publish, with so many unanswered at a time."""
    from awsiot.greengrasscoreipc import model

    publisher = client(path, "bench.Publisher")
    places = threading.Semaphore(in_flight)
    for _ in range(count):
        places.acquire()
        message = {"sent": time.perf_counter_ns(), "text": TEXT}
        sent = publisher.publish_to_topic_async(
            topic=TOPIC,
            publish_message=model.PublishMessage(json_message=model.JsonMessage(message=message)),
        )
        sent.add_done_callback(lambda _: places.release())
        if in_flight == 1:
            time.sleep(0.001)  # an idle device: every message meets processes that sleep
    for _ in range(in_flight):
        places.acquire()
    publisher.close()


@contextlib.contextmanager
def serving(serve: Any, directory: str) -> Iterator[str]:
    """Run a server process and yield its socket path."""
    path = str(Path(directory) / f"{serve.__name__}.socket")
    process = multiprocessing.Process(target=serve, args=(path,), daemon=True)
    process.start()
    while not Path(path).exists():
        time.sleep(0.01)
    try:
        yield path
    finally:
        process.terminate()
        process.join()
        Path(path).unlink(missing_ok=True)


def run(path: str, count: int, in_flight: int) -> tuple[list[float], float]:
    """Return the latencies in ms and the messages a second."""
    results: Any = multiprocessing.Queue()
    ready = multiprocessing.Event()
    subscriber = multiprocessing.Process(target=subscribe, args=(path, count, results, ready))
    subscriber.start()
    ready.wait(20)
    publisher = multiprocessing.Process(target=publish, args=(path, count, in_flight))
    publisher.start()
    times = results.get(timeout=150)
    publisher.join()
    subscriber.join()
    latencies = sorted((received - sent) / 1e6 for sent, received in times)
    return latencies, count / ((times[-1][1] - times[0][0]) / 1e9)


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def measure(messages: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of the rounds for both servers."""
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(rounds):
            for name, serve in (("floor", serve_floor), ("verge", serve_real)):
                with serving(serve, directory) as path:
                    latencies, _ = run(path, messages, 1)
                    _, rate = run(path, messages * 4, IN_FLIGHT)
                figures = found.setdefault(name, {"p50_ms": [], "p99_ms": [], "per_s": []})
                figures["p50_ms"].append(quantile(latencies, 0.5))
                figures["p99_ms"].append(quantile(latencies, 0.99))
                figures["per_s"].append(rate)
    return {
        name: {figure: statistics.median(values) for figure, values in figures.items()}
        for name, figures in found.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    measured = measure(options.messages, options.rounds)
    if options.json:
        print(json.dumps(measured))
        return
    print(f"{'':8}{'floor':>10}{'verge':>10}{'ratio':>8}")
    for figure, floor in measured["floor"].items():
        ours = measured["verge"][figure]
        print(f"{figure:8}{floor:10.3f}{ours:10.3f}{ours / floor:8.2f}")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
