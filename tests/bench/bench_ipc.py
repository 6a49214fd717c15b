"""IPC: publish → subscriber, beside a floor that answers the same frames and does nothing else.

    PYTHONPATH=src:. python tests/bench/bench_ipc.py [--messages 3000] [--rounds 3]

Publisher and subscriber are processes of their own with awsiotsdk V2 clients. The floor and the
server are measured in turns, so that other load on the machine falls on both. Goals: p50 ≤ 1.5
times the floor and ≤ 0.4 ms, p99 ≤ 1 ms, ≥ 4,000 messages a second with 64 in flight. How much
processor time a message costs the server and the two clients says which of them a rate is bound by.

Where there is a C compiler the same floor is measured in native code, too: it tells what the
clients and the machine take whatever the server is, and so which goals can be reached here at all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import math
import multiprocessing
import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TOPIC = "bench/topic"
TEXT = "x" * 200
IN_FLIGHT = 64


def templates() -> dict[str, Any]:
    """Return what a floor answers with."""
    from verge.nucleus.ipc import rpc

    name, message = rpc.NAMESPACE, rpc.MessageType.APPLICATION_MESSAGE
    return {
        "ACCEPTED": rpc.Template(rpc.MessageType.CONNECT_ACK, rpc.Flag.CONNECTION_ACCEPTED),
        "PUBLISHED": rpc.Template(
            message, rpc.Flag.TERMINATE_STREAM, f"{name}PublishToTopicResponse"
        ),
        "SUBSCRIBED": rpc.Template(message, 0, f"{name}SubscribeToTopicResponse"),
        "EVENT": rpc.Template(message, 0, f"{name}SubscriptionResponseMessage"),
    }


def serve_floor(path: str) -> None:
    """Answer the frames of the two clients from bytes, understanding only what it must."""
    from verge.nucleus.ipc import framing, rpc

    answers_with = templates()
    accepted = answers_with["ACCEPTED"].message(0, b"")
    published, subscribed = answers_with["PUBLISHED"], answers_with["SUBSCRIBED"]
    event = answers_with["EVENT"].headers(1)
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


def serve_native(program: str, path: str) -> None:
    """Become the native floor."""
    os.execv(program, [program, path])  # noqa: S606 - no shell is wanted


def build_native(directory: Path) -> Path | None:
    """Compile the native floor; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    mark = 0x5EAF00D5
    lines = ["struct headers { const uint8_t *bytes; size_t length; size_t stream_at; };"]
    for name, template in templates().items():
        found = template.headers(mark)
        at = found.index(mark.to_bytes(4, "big"))
        lines += [
            f"static const uint8_t {name}_BYTES[] = {{{', '.join(map(str, found))}}};",
            f"static const struct headers {name} = {{{name}_BYTES, {len(found)}, {at}}};",
        ]
    (directory / "floor_headers.h").write_text("\n".join([*lines, ""]), encoding="ascii")
    program = directory / "native_floor"
    source = Path(__file__).with_name("native_floor.c")
    words = (compiler, "-O2", "-Wall", "-Werror", f"-I{directory}", str(source), "-o", str(program))
    subprocess.run(words, check=True)
    return program


def serve_real(path: str) -> None:
    """Run our server with two components."""
    from tests.support import ipc_host
    from verge.nucleus.ipc import server

    nucleus = ipc_host.MemoryHost()
    for name in ("bench.Publisher", "bench.Subscriber"):
        nucleus.install(name, ipc_host.pubsub_policy("bench/*"))

    async def main() -> None:
        ended = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
        async with server.serve(nucleus, Path(path)):
            await ended.wait()
        nucleus.close()

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
    began = time.process_time()
    ready.set()
    done.wait(120)
    results.put((times, time.process_time() - began))
    subscriber.close()


def publish(path: str, count: int, in_flight: int, results: Any) -> None:
    """Publish, with so many unanswered at a time, and report the seconds of CPU time."""
    from awsiot.greengrasscoreipc import model

    publisher = client(path, "bench.Publisher")
    places = threading.Semaphore(in_flight)
    began = time.process_time()
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
    results.put(time.process_time() - began)
    publisher.close()


@dataclass(frozen=True)
class Server:
    """A server process."""

    path: str
    pid: int

    def cpu_seconds(self) -> float:
        """Return the CPU time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2]
        user, system = fields.split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Run:
    """What one run of the two clients showed."""

    latencies: list[float]
    """In ms, sorted."""
    per_second: float
    server_us: float
    """CPU time of the server for one message, in microseconds."""
    clients_us: float
    """That of the two clients together."""


@contextlib.contextmanager
def serving(serve: Any, name: str, directory: str) -> Iterator[Server]:
    """Run a server process."""
    path = str(Path(directory) / f"{name}.socket")
    process = multiprocessing.Process(target=serve, args=(path,), daemon=True)
    process.start()
    while not Path(path).exists():
        time.sleep(0.01)
    assert process.pid is not None
    try:
        yield Server(path, process.pid)
    finally:
        process.terminate()
        process.join()
        Path(path).unlink(missing_ok=True)


def run(server: Server, count: int, in_flight: int) -> Run:
    """Send so many messages through a server."""
    received: Any = multiprocessing.Queue()
    published: Any = multiprocessing.Queue()
    ready = multiprocessing.Event()
    subscriber = multiprocessing.Process(
        target=subscribe, args=(server.path, count, received, ready)
    )
    subscriber.start()
    ready.wait(20)
    before = server.cpu_seconds()
    publisher = multiprocessing.Process(
        target=publish, args=(server.path, count, in_flight, published)
    )
    publisher.start()
    times, subscriber_seconds = received.get(timeout=150)
    clients = subscriber_seconds + published.get(timeout=30)
    publisher.join()
    subscriber.join()
    return Run(
        latencies=sorted((arrived - sent) / 1e6 for sent, arrived in times),
        per_second=count / ((times[-1][1] - times[0][0]) / 1e9),
        server_us=(server.cpu_seconds() - before) / count * 1e6,
        clients_us=clients / count * 1e6,
    )


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def measure(messages: int, rounds: int) -> dict[str, dict[str, float]]:
    """Return the medians of the rounds for the servers: floor, native (if there is one), verge."""
    found: dict[str, dict[str, list[float]]] = {}
    servers: dict[str, Any] = {"floor": serve_floor, "verge": serve_real}
    with tempfile.TemporaryDirectory() as directory:
        if native := build_native(Path(directory)):
            servers["native"] = functools.partial(serve_native, str(native))
        for _ in range(rounds):
            for name, serve in servers.items():
                with serving(serve, name, directory) as server:
                    single = run(server, messages, 1)
                    many = run(server, messages * 4, IN_FLIGHT)
                for figure, value in (
                    ("p50_ms", quantile(single.latencies, 0.5)),
                    ("p99_ms", quantile(single.latencies, 0.99)),
                    ("per_s", many.per_second),
                    ("server_us", many.server_us),
                    ("clients_us", many.clients_us),
                ):
                    found.setdefault(name, {}).setdefault(figure, []).append(value)
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
    native = measured.get("native", {})
    print(f"{'':10}{'floor':>10}{'verge':>10}{'ratio':>8}{'native floor':>14}")
    for figure, floor in measured["floor"].items():
        ours = measured["verge"][figure]
        bound = f"{native[figure]:14.3f}" if native else f"{'no cc':>14}"
        ratio = ours / floor if floor else math.nan  # too few messages for the clock of processes
        print(f"{figure:10}{floor:10.3f}{ours:10.3f}{ratio:8.2f}{bound}")


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    main()
