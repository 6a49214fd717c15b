"""HTTP/1.1 as clients, and those who are none, send it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from werkzeug.wrappers import Request, Response

from tests.support import devices
from verge.cloud import errors
from verge.cloud.http import application, routing, server

LIMIT = 1_000_000


def _echo(request: Request) -> Response:
    if request.path.startswith("/raw"):
        return Response(routing.raw_path(request))
    match request.path:
        case "/raise":
            raise RuntimeError("a defect")
        case "/refuse":
            return Response("no", 403)
        case "/stream":
            return Response(iter([b"one ", b"two"]))
        case "/certificate":
            return Response(str(request.environ["verge.peer_certificate"] is not None))
    return Response(request.get_data())


@pytest.fixture
def listener() -> Iterator[server.Server]:
    running = server.Server(
        "127.0.0.1", 0, application.Application(_echo), option="--port", max_body=LIMIT
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture
def connection(listener: server.Server) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection("127.0.0.1", listener.port, timeout=10)
    yield made
    made.close()


def _raw(port: int, content: bytes) -> bytes:
    """Send bytes and return everything that comes back until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(content)
        sock.shutdown(socket.SHUT_WR)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while block := sock.recv(65536):
                received += block
        return received


def test_a_connection_serves_many_requests(connection: http.client.HTTPConnection) -> None:
    """Keep-alive: bodies read or not, the next request is understood."""
    for path, body, expected in [
        ("/", b"one", b"one"),
        ("/refuse", b"x" * 100_000, b"no"),
        ("/stream", b"", b"one two"),
        ("/", b"", b""),
        ("/", b"two", b"two"),
    ]:
        connection.request("POST", path, body)
        first = connection.sock
        assert connection.getresponse().read() == expected
        assert connection.sock is first


def test_chunked_bodies_are_read(connection: http.client.HTTPConnection) -> None:
    """A body without a length comes in chunks, and the connection goes on after it."""
    for _ in range(2):
        connection.request("POST", "/", iter([b"one ", b"two"]), encode_chunked=True)
        assert connection.getresponse().read() == b"one two"


def test_the_raw_path_is_kept(connection: http.client.HTTPConnection) -> None:
    """An encoded slash is told from a slash."""
    connection.request("GET", "/raw%2Fa/b%20c?d=e")
    assert connection.getresponse().read() == b"/raw%2Fa/b%20c"


def test_a_request_is_told_from_an_idle_connection() -> None:
    """What is to hold during requests begins with each and ends with its answer, also a refusal."""
    inside: list[str] = []
    seen: list[list[str]] = []

    @contextlib.contextmanager
    def during() -> Iterator[None]:
        inside.append("request")
        try:
            yield
        finally:
            inside.clear()

    def answer(_: Request) -> Response:
        seen.append(list(inside))
        return Response(b"done")

    running = server.Server("127.0.0.1", 0, application.Application(answer), during=during)
    running.start()
    try:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        ) as idle:
            for _ in range(2):
                idle.request("GET", "/")
                assert idle.getresponse().read() == b"done"
                devices.until(lambda: not inside, "the request is over")
        assert seen == [["request"], ["request"]]
        assert b"BadRequest" in _raw(running.port, b"GET / HTTP/x\r\n\r\n")
        devices.until(lambda: not inside, "the refused request is over")
    finally:
        running.stop()


def test_a_defect_is_an_error_of_the_server(connection: http.client.HTTPConnection) -> None:
    """What a handler raises becomes a 500 in the envelope of all errors; the server goes on."""
    connection.request("GET", "/raise")
    answer = connection.getresponse()
    document = json.loads(answer.read())
    assert answer.status == 500
    assert document["__type"] == answer.headers["x-amzn-ErrorType"] == "InternalServerException"
    assert document["message"].startswith("internal error: cannot answer GET /raise")
    connection.request("GET", "/")
    assert connection.getresponse().status == 200


def test_too_large_bodies_are_refused(connection: http.client.HTTPConnection) -> None:
    """The limit holds for bodies with a length and for those without."""
    connection.request("POST", "/", b"x" * (LIMIT + 1))
    answer = connection.getresponse()
    assert answer.status == 413
    assert b"larger than" in answer.read()
    connection.close()
    connection.request("POST", "/", iter([b"x" * LIMIT, b"x"]), encode_chunked=True)
    assert connection.getresponse().status == 413


def test_the_client_is_told_to_go_on(listener: server.Server) -> None:
    """`Expect: 100-continue`: go on where the body is wanted, the answer at once where not."""
    head = "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
        sock.sendall((head % "/").encode())
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    with socket.create_connection(("127.0.0.1", listener.port), 10) as sock:
        sock.sendall((head % "/refuse").encode())
        answer = sock.recv(65536)
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"Connection: close" in answer


GARBAGE = {
    "nothing": b"",
    "binary": bytes(range(256)) * 10,
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no method": b"\r\n\r\n\r\n",
    "half a line": b"GET / HT",
    "long line": b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n",
    "long header": b"GET / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "negative length": b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "length in words": b"POST / HTTP/1.1\r\nContent-Length: ten\r\n\r\n",
    "length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "unknown encoding": b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    "bad chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n",
    "negative chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n",
    "long chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "cut chunk": b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "cut body": b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_harms_nobody(
    listener: server.Server, connection: http.client.HTTPConnection, name: str
) -> None:
    """What is no request gets a 4xx or nothing; others are served as before."""
    answer = _raw(listener.port, GARBAGE[name])
    assert answer == b"" or answer.split(b" ")[1][:1] in {b"4", b"5"} or b'"__type"' in answer
    assert b"HTTP/1.1 200" not in answer
    connection.request("POST", "/", b"well")
    assert connection.getresponse().read() == b"well"


def test_silent_connections_do_not_hold_up_others(
    listener: server.Server, connection: http.client.HTTPConnection
) -> None:
    """Clients that connect and say nothing wait alone."""
    with contextlib.ExitStack() as silent:
        for _ in range(50):
            silent.enter_context(socket.create_connection(("127.0.0.1", listener.port), 10))
        connection.request("POST", "/", b"well")
        assert connection.getresponse().read() == b"well"


def test_stopping_ends_idle_connections_and_finishes_requests() -> None:
    """A request that has begun is answered; a connection that waits is closed."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: Request) -> Response:
        begun.set()
        go_on.wait(10)
        return Response("done")

    listener = server.Server("127.0.0.1", 0, application.Application(slow))
    listener.start()
    answers: list[bytes] = []
    client = threading.Thread(
        target=lambda: answers.append(_raw(listener.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
    )
    idle = socket.create_connection(("127.0.0.1", listener.port), 10)
    client.start()
    assert begun.wait(10)
    stopping = threading.Thread(target=listener.stop)
    stopping.start()
    assert idle.recv(1) == b""
    go_on.set()
    stopping.join(10)
    client.join(10)
    idle.close()
    assert not stopping.is_alive()
    assert answers[0].endswith(b"done")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", listener.port), 5)


def test_a_taken_port_is_named(listener: server.Server) -> None:
    """The error says which address, why, and which option chooses another."""
    with pytest.raises(errors.SettingsError) as error:
        server.Server("127.0.0.1", listener.port, application.Application(_echo), option="--port")
    assert str(error.value) == (
        f"cannot listen on 127.0.0.1:{listener.port}: the port is taken; choose another with --port"
    )


def test_an_address_may_come_later() -> None:
    """An address that no interface has can be listened on: a bridge without devices is down."""
    listener = server.Server("198.51.100.7", 0, application.Application(_echo))
    assert listener.address == "198.51.100.7"
    listener.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost in one file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    key = path.with_suffix(".key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + key.read_text())
    return path


def test_handshakes_do_not_hold_up_the_door(certificate: Path) -> None:
    """Clients that never finish a handshake, or speak no TLS, leave others alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = server.Server("127.0.0.1", 0, application.Application(_echo), context=context)
    listener.start()
    trusting = ssl.create_default_context(cafile=str(certificate))
    with contextlib.ExitStack() as silent:
        for _ in range(20):
            silent.enter_context(socket.create_connection(("127.0.0.1", listener.port), 10))
        assert b"200" not in _raw(listener.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with socket.create_connection(("127.0.0.1", listener.port), 10) as plain:
            connection = http.client.HTTPConnection("localhost", listener.port)
            connection.sock = trusting.wrap_socket(plain, server_hostname="localhost")
            for _ in range(2):
                connection.request("GET", "/certificate")
                assert connection.getresponse().read() == b"False"
            connection.close()
    listener.stop()
