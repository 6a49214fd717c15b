"""The components' side of the IPC against the real server."""

from __future__ import annotations

import contextlib
import importlib
import queue
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ipc_host

sys.path.insert(0, str(Path(__file__).parents[3] / "components" / "_shared"))
edge: Any = importlib.import_module("edge_ipc.nucleus")


NAME = "com.example.Press"
ALLOWED = ipc_host.pubsub_policy("press/*")


class Bench:
    """A server, its host, and what connected clients were told."""

    def __init__(self, host: ipc_host.MemoryHost, server: ipc_host.RunningServer) -> None:
        self.host = host
        self.server = server
        self.lost: queue.Queue[str] = queue.Queue()
        self.link = edge.Nucleus.connect(self.lost.put)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="vg") as folder, contextlib.ExitStack() as stack:
        host = ipc_host.MemoryHost()
        token = host.install(NAME, {**ALLOWED, "limit": "7"}, state="STARTING")
        path = Path(folder) / "ipc.socket"
        server = stack.enter_context(ipc_host.running_server(host, path))
        monkeypatch.setenv("SVCUID", token)
        monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT", str(path))
        bench = Bench(host, server)
        stack.callback(bench.link.close)
        yield bench


def test_messages_keep_their_order(bench: Bench) -> None:
    """What is published arrives as it was sent, in order."""
    received: queue.Queue[Any] = queue.Queue()
    bench.link.subscribe("press/files", received.put)
    documents = [{"id": str(number), "score": 0.5, "path": "/Kätzchen"} for number in range(200)]
    for document in documents:
        bench.link.publish("press/files", document)
    assert [received.get(timeout=10) for _ in documents] == documents


RESULT = {
    "id": "1",
    "detections": [{"label": "cat", "score": 0.5, "box": [0.5, 1.0, 2.0, 3.0]}] * 20,
}


@pytest.mark.parametrize(
    ("lite", "kind"), [(True, "binaryMessage"), (False, "jsonMessage")], ids=["lite", "others"]
)
def test_documents_travel_as_the_nucleus_can_deliver_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lite: bool, kind: str
) -> None:
    """Lite is given binary messages, others JSON; who listens is told the same document."""
    name = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH"
    if lite:
        monkeypatch.delenv(name, raising=False)
    else:
        monkeypatch.setenv(name, "somewhere")
    kinds: queue.Queue[bool] = queue.Queue()
    received: queue.Queue[Any] = queue.Queue()
    bench.link.subscribe("press/files", received.put)
    bench.link._link.subscribe(
        *("SubscribeToTopic", {"topic": "press/files"}),
        *(lambda event: kinds.put("jsonMessage" not in event), lambda: None),
    )
    bench.link.publish("press/files", RESULT)
    assert received.get(timeout=10) == RESULT
    assert ("binaryMessage" if kinds.get(timeout=10) else "jsonMessage") == kind


@pytest.mark.parametrize("to_the_cloud", [False, True], ids=["local", "IoT Core"])
def test_a_document_that_lite_cannot_take_is_refused_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, to_the_cloud: bool
) -> None:
    """It is not sent, because Lite would end the connection; the next one goes through."""
    monkeypatch.delenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", raising=False)
    limit = bench.link.message_limit
    publish = bench.link.publish_to_iot_core if to_the_cloud else bench.link.publish
    with pytest.raises(edge.NucleusError, match=f"has {limit + 1} bytes, .* takes {limit}"):
        publish("press/files", {"text": "x" * (limit + 1 - len('{"text":""}'))})
    received: queue.Queue[Any] = queue.Queue()
    bench.link.subscribe("press/files", received.put)
    bench.link.publish("press/files", {"text": "x" * (limit - len('{"text":""}'))})
    assert len(received.get(timeout=10)["text"]) == limit - len('{"text":""}')
    assert bench.lost.empty()


@pytest.mark.parametrize("lite", [True, False], ids=["lite", "others"])
def test_text_that_no_message_can_hold_is_refused_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, lite: bool
) -> None:
    """Half of a pair of characters ends neither the component nor its connection."""
    monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", "somewhere")
    if lite:
        monkeypatch.delenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH")
    with pytest.raises(edge.NucleusError, match="is not valid UTF-8"):
        bench.link.publish("press/files", {"path": "\ud800"})
    bench.link.publish("press/files", {"path": "/x"})
    assert bench.lost.empty()


def test_other_nuclei_have_no_limit(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Lite's limit is kept."""
    monkeypatch.setenv("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH", "somewhere")
    assert bench.link.message_limit is None
    received: queue.Queue[Any] = queue.Queue()
    bench.link.subscribe("press/files", received.put)
    bench.link.publish("press/files", {"text": "x" * 20_000})
    assert len(received.get(timeout=10)["text"]) == 20_000


def test_a_closed_subscription_is_silent_and_no_loss(bench: Bench) -> None:
    """Ending a subscription oneself is not taken for a lost connection."""
    first: queue.Queue[Any] = queue.Queue()
    second: queue.Queue[Any] = queue.Queue()
    subscription = bench.link.subscribe("press/files", first.put)
    subscription.close()
    bench.link.subscribe("press/files", second.put)
    bench.link.publish("press/files", {"id": "1"})
    assert second.get(timeout=10) == {"id": "1"}
    bench.link.publish("press/files", {"id": "2"})
    assert second.get(timeout=10) == {"id": "2"}
    assert first.qsize() <= 1, "only what was under way when it was closed"
    assert bench.lost.empty()


def test_configuration_is_read_and_watched(bench: Bench) -> None:
    """The whole configuration is read, and every change is told."""
    assert bench.link.read_configuration()["limit"] == "7"
    changed: queue.Queue[bool] = queue.Queue()
    bench.link.watch_configuration(lambda: changed.put(True))
    bench.server.do(bench.host.configuration.merge, NAME, [], {"limit": 8}, 10.0)
    assert changed.get(timeout=10)
    assert bench.link.read_configuration()["limit"] == 8


def test_running_is_reported(bench: Bench) -> None:
    """The nucleus learns that the component does its work."""
    bench.link.report_running()
    assert bench.host.components.states[NAME] == "RUNNING"


def test_a_refusal_names_the_topic(bench: Bench) -> None:
    """What the policy does not allow is refused with the topic, and can be tried again."""
    for call in (bench.link.publish, bench.link.subscribe):
        with pytest.raises(edge.NucleusError, match="topic other/files: UnauthorizedError") as e:
            call("other/files", {})
        assert e.value.supported
    assert bench.lost.empty()


def test_iot_core_needs_a_permission_of_its_own(bench: Bench) -> None:
    """A policy for local topics does not open IoT Core, which is a refusal and not a lack."""
    with pytest.raises(edge.NucleusError, match="press/files: UnauthorizedError") as caught:
        bench.link.publish_to_iot_core("press/files", {"id": "1"})
    assert caught.value.supported
    assert bench.lost.empty()


def test_what_the_nucleus_lacks_is_known_as_such(bench: Bench) -> None:
    """An operation that the nucleus does not have is told from one that failed."""
    with pytest.raises(edge.NucleusError) as caught:
        bench.link._call("verify", "VerifyClientDeviceIdentity", credential={})
    assert not caught.value.supported
    assert bench.lost.empty()


def test_a_lost_connection_is_told(bench: Bench) -> None:
    """When the nucleus ends, the component hears of it."""
    bench.link.subscribe("press/files", print)
    bench.server.do(bench.server.server.disconnect, NAME)
    assert bench.lost.get(timeout=10)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        pytest.param("SVCUID", None, "'SVCUID' is not set", id="no token"),
        pytest.param("SVCUID", "wrong", "cannot connect to the nucleus: ", id="wrong token"),
        pytest.param(
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT",
            "/no/such.socket",
            "cannot connect to the nucleus: ",
            id="no socket",
        ),
    ],
)
def test_says_why_it_cannot_connect(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, message: str
) -> None:
    """Without a nucleus, or without the right token, the reason is one sentence."""
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(edge.NucleusError, match=message):
        edge.Nucleus.connect(print)
