"""A component's connection, against a peer whose every byte the test decides."""

import json
import queue
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_ipc import connection, framing, headers

TOKEN = "ABCDEF0123456789"
# As AWS's own client sent them (contract 4.7, frames 1 and 3).
GREETING = bytes.fromhex(
    "0000007900000048e9e79475083a76657273696f6e070005302e312e300d3a6d6573736167652d74797065040000"
    "00040e3a6d6573736167652d666c61677304000000000a3a73747265616d2d696404000000007b22617574685"
    "46f6b656e223a202241424344454630313233343536373839227dad04c040"
)
SUBSCRIBE = bytes.fromhex(
    "000000e5000000c01e7255760d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e12"
    "736572766963652d6d6f64656c2d747970650700266177732e677265656e6772617373235375627363726962"
    "65546f546f706963526571756573740d3a6d6573736167652d7479706504000000000e3a6d6573736167652d66"
    "6c61677304000000000a3a73747265616d2d69640400000001096f7065726174696f6e07001f6177732e677265"
    "656e677261737323537562736372696265546f546f7069637b22746f706963223a20226d792f746f706963227d"
    "807a3265"
)


class Peer:
    """The nucleus's end of one connection."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        self._decoder = framing.Decoder()
        self.socket = self._listener

    def accept(self, flags: int = headers.CONNECTION_ACCEPTED) -> None:
        """Take a connection and its greeting, and answer it."""
        self.socket, _ = self._listener.accept()
        self.socket.settimeout(10)
        assert json.loads(self.receive().payload) == {"authToken": TOKEN}
        self.send(0, 5, flags, None)

    def receive(self) -> framing.Message:
        while (frame := self._decoder.next_frame()) is None:
            data = self.socket.recv(65536)
            assert data, "the component closed the connection"
            self._decoder.feed(data)
        return framing.decode_frame(frame)

    def send(
        self, stream: int, kind: int, flags: int, model: str | None, payload: bytes = b""
    ) -> None:
        named = () if model is None else (framing.string("service-model-type", model),)
        numbers = {":message-type": kind, ":message-flags": flags, ":stream-id": stream}
        reserved = [framing.int32(name, value) for name, value in numbers.items()]
        self.socket.sendall(framing.encode((*named, *reserved), payload))

    def answer(self, stream: int, document: Any, flags: int = headers.TERMINATE_STREAM) -> None:
        self.send(stream, 0, flags, "aws.greengrass#Response", json.dumps(document).encode())

    def close(self) -> None:
        self.socket.close()
        self._listener.close()


class Bench:
    """A peer, the component's end, and what that was told."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.peer = Peer(folder / "ipc.socket")
        self.lost: queue.Queue[str] = queue.Queue()
        self.events: queue.Queue[Any] = queue.Queue()
        self.ended = threading.Event()
        greeter = threading.Thread(target=self.peer.accept)
        greeter.start()
        self.link = connection.Connection(self.peer.path, TOKEN, self.lost.put, seconds)
        greeter.join()

    def call(self) -> "queue.Queue[Any]":
        """Start a call in a thread; what came of it is in the queue."""
        return self._start(lambda: self.link.call("GetThing", {"key": "ä"}))

    def subscribe(self) -> "queue.Queue[Any]":
        return self._start(
            lambda: self.link.subscribe("Watch", {}, self.events.put, self.ended.set)
        )

    def _start(self, work: Any) -> "queue.Queue[Any]":
        outcome: queue.Queue[Any] = queue.Queue()

        def run() -> None:
            try:
                outcome.put(work())
            except Exception as error:  # noqa: BLE001 - the test looks at it
                outcome.put(error)

        threading.Thread(target=run, daemon=True).start()
        return outcome

    def close(self) -> None:
        self.link.close()
        self.peer.close()


@pytest.fixture
def seconds() -> float:
    return 10.0


@pytest.fixture
def bench(seconds: float) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="vg") as folder:
        made = Bench(Path(folder), seconds)
        yield made
        made.close()


def test_sends_the_bytes_that_the_clients_of_aws_send() -> None:
    """A greeting and a request are, byte by byte, those of the SDK."""
    assert headers.GREETING.message(0, b'{"authToken": "%s"}' % TOKEN.encode()) == GREETING
    request = headers.request("SubscribeToTopic")
    assert request.message(1, b'{"topic": "my/topic"}') == SUBSCRIBE


def test_answers_find_who_asked(bench: Bench) -> None:
    """Two calls at once get each its own answer, in whatever order they come."""
    first = bench.call()
    assert json.loads(bench.peer.receive().payload) == {"key": "ä"}
    second = bench.call()
    bench.peer.receive()
    bench.peer.answer(2, {"value": 2})
    bench.peer.answer(1, {"value": 1})
    assert (first.get(timeout=10), second.get(timeout=10)) == ({"value": 1}, {"value": 2})


def test_events_follow_the_answer_in_order(bench: Bench) -> None:
    """Events are told in order until the nucleus ends the stream; a broken one stops nothing."""
    stream = bench.subscribe()
    bench.peer.receive()
    bench.peer.answer(1, {}, flags=0)
    assert stream.get(timeout=10) == 1
    for number in range(20):
        bench.peer.answer(1, {"number": number}, flags=0)
    bench.peer.send(1, 0, 0, "aws.greengrass#Event", b"{no JSON")
    bench.peer.answer(1, {"number": 20})
    assert [bench.events.get(timeout=10)["number"] for _ in range(21)] == list(range(21))
    assert bench.ended.wait(10)
    assert bench.lost.empty()


@pytest.mark.parametrize(
    ("kind", "model", "payload", "shape", "text"),
    [
        pytest.param(
            *(1, "aws.greengrass#UnauthorizedError", b'{"message": "no"}'),
            *("UnauthorizedError", "UnauthorizedError: no"),
            id="modelled",
        ),
        pytest.param(
            *(1, "aws.greengrass#ServiceError", b'{"_message": "no"}'),
            *("ServiceError", "ServiceError: no"),
            id="as Lite words it",
        ),
        pytest.param(
            *(0, None, b'{"error": "Unsupported Operation"}', None, "Unsupported Operation"),
            id="unknown operation",
        ),
        pytest.param(*(1, None, b"InternalServerError", None, "InternalServerError"), id="text"),
        pytest.param(*(0, "aws.greengrass#R", b"", "DeserializeError", "cannot read"), id="empty"),
    ],
)
def test_refusals(
    bench: Bench, kind: int, model: str | None, payload: bytes, shape: str | None, text: str
) -> None:
    """What is no answer raises, with the error's shape if it has one and the nucleus's words."""
    outcome = bench.call()
    bench.peer.receive()
    bench.peer.send(1, kind, headers.TERMINATE_STREAM, model, payload)
    error = outcome.get(timeout=10)
    assert isinstance(error, connection.RefusedError)
    assert error.shape == shape
    assert text in str(error)


def test_an_error_that_leaves_the_stream_open_is_ended_here(bench: Bench) -> None:
    """As AWS's clients do, the stream of a refused request is closed."""
    outcome = bench.call()
    bench.peer.receive()
    bench.peer.send(1, 1, 0, "aws.greengrass#ServiceError", b"{}")
    assert isinstance(outcome.get(timeout=10), connection.RefusedError)
    ended = bench.peer.receive()
    assert (ended.get(":stream-id"), ended.get(":message-flags")) == (1, 2)
    assert ended.payload == b""


@pytest.mark.parametrize("seconds", [0.2])
def test_gives_up_on_an_answer_that_does_not_come(bench: Bench) -> None:
    """A call without an answer raises, and a late one is passed over."""
    outcome = bench.call()
    bench.peer.receive()
    assert isinstance(outcome.get(timeout=10), connection.UnansweredError)
    bench.peer.receive()
    bench.peer.answer(1, {"late": True})
    outcome = bench.call()
    bench.peer.receive()
    bench.peer.answer(2, {"late": False})
    assert outcome.get(timeout=10) == {"late": False}


@pytest.mark.parametrize("seconds", [0.2])
def test_gives_up_on_a_nucleus_that_reads_nothing(bench: Bench) -> None:
    """What cannot be sent for too long ends the connection, which is told once."""
    with pytest.raises(connection.LostError, match="takes nothing"):
        bench.link.call("GetThing", {"text": "x" * 10_000_000})
    assert bench.lost.get(timeout=10)
    with pytest.raises(connection.LostError):
        bench.link.call("GetThing", {})
    assert bench.lost.empty()


@pytest.mark.parametrize(
    "last_words",
    [
        pytest.param(b"", id="gone"),
        pytest.param(b"\xff" * 64, id="garbage"),
        pytest.param(
            framing.encode(
                [
                    framing.int32(":message-type", 6),
                    framing.int32(":message-flags", 0),
                    framing.int32(":stream-id", 0),
                ],
                b"wrong",
            ),
            id="protocol error",
        ),
    ],
)
def test_a_lost_connection_is_told_to_all(bench: Bench, last_words: bytes) -> None:
    """Who waits for an answer hears of the loss, and the owner once."""
    waiting, stream = bench.call(), bench.subscribe()
    bench.peer.receive()
    bench.peer.receive()
    bench.peer.socket.sendall(last_words)
    bench.peer.socket.shutdown(socket.SHUT_WR)
    assert isinstance(waiting.get(timeout=10), connection.LostError)
    assert isinstance(stream.get(timeout=10), connection.LostError)
    assert bench.lost.get(timeout=10)
    bench.link.close()
    assert bench.lost.empty()


def test_closing_is_no_loss(bench: Bench) -> None:
    """A connection that is closed here calls nobody back."""
    bench.link.close()
    assert bench.lost.empty()
    with pytest.raises(connection.LostError, match="closed here"):
        bench.link.call("GetThing", {})


@pytest.mark.parametrize(("flags", "message"), [(0, "refused the token"), (None, "does not greet")])
def test_a_greeting_that_is_not_accepted(flags: int | None, message: str) -> None:
    """A refused token and a nucleus that hangs up are told apart."""
    with tempfile.TemporaryDirectory(prefix="vg") as folder:
        peer = Peer(Path(folder) / "ipc.socket")

        def greet() -> None:
            if flags is None:
                peer._listener.accept()[0].close()
            else:
                peer.accept(flags)

        greeter = threading.Thread(target=greet)
        greeter.start()
        with pytest.raises(connection.LostError, match=message):
            connection.Connection(peer.path, TOKEN, print, 10)
        greeter.join()
        peer.close()
