"""The broker over time: killed, restarted, with files that are broken."""

from __future__ import annotations

import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support import devices
from verge.cloud import errors, ports
from verge.cloud.broker import broker as brokers
from verge.cloud.broker import bus, mosquitto

pytestmark = devices.needs_mosquitto


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory so deep that the path of a socket in it is too long for a socket."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    return deep


def kill(site: devices.Site) -> None:
    """SIGKILL mosquitto and wait for its successor."""
    pid = site.broker.mosquitto_pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    devices.until(lambda: site.broker.mosquitto_pid not in (pid, None), "another mosquitto")


def test_devices_come_back(state: Path) -> None:
    """After mosquitto was killed devices and the cloud are connected again, sessions kept."""
    with devices.running_site(state) as site:
        taken: queue.Queue[bytes] = queue.Queue()
        site.broker.bus.subscribe("verge/+/a", lambda _, payload: taken.put(payload))
        with site.client(site.add("phoenix"), "phoenix", clean=False) as client:
            client.connect()
            assert client.subscribe("$aws/things/phoenix/jobs/#") == [1]
            kill(site)
            assert client.connections.get(timeout=devices.PATIENCE) == (0, True)
            # The subscription of the old session still holds.
            site.broker.bus.publish("$aws/things/phoenix/jobs/notify", b"work")
            assert client.receive()[1] == b"work"
            assert client.publish("verge/phoenix/a", b"done") == 0
            assert taken.get(timeout=devices.PATIENCE) == b"done"


def test_nothing_acknowledged_is_lost(state: Path) -> None:
    """Every message that was acknowledged to a device reaches the cloud, though mosquitto dies."""
    with devices.running_site(state) as site:
        taken: set[bytes] = set()
        hold = threading.Event()
        blocked = threading.Event()

        def take(_: str, payload: bytes) -> None:
            blocked.set()
            hold.wait(2 * devices.PATIENCE)
            taken.add(payload)

        site.broker.bus.subscribe("verge/+/a", take)
        with site.client(site.add("witness"), "witness", clean=False) as client:
            client.connect()
            # The cloud is busy with the first message, so all the others wait in mosquitto.
            acknowledged = {b"0"}
            assert client.publish("verge/witness/a", b"0") == 0
            assert blocked.wait(devices.PATIENCE)
            for number in range(1, 40):
                payload = b"%d" % number
                assert client.publish("verge/witness/a", payload) == 0
                acknowledged.add(payload)
                if number in (10, 20, 30):
                    kill(site)
                    assert client.connections.get(timeout=devices.PATIENCE) == (0, True)
            hold.set()
            devices.until(lambda: acknowledged <= taken, "everything that was acknowledged")


def test_killed_while_messages_flow(state: Path) -> None:
    """Messages on their way when mosquitto is killed arrive; the device sends them again."""
    with devices.running_site(state) as site:
        taken: set[bytes] = set()
        site.broker.bus.subscribe("verge/+/a", lambda _, payload: taken.add(payload))
        with site.client(site.add("stream"), "stream", clean=False) as client:
            client.connect()
            sent = {b"%d" % number for number in range(300)}
            for payload in sent:
                client.paho.publish("verge/stream/a", payload, qos=1)
            client.published.get(timeout=devices.PATIENCE)
            kill(site)
            devices.until(lambda: sent <= taken, "all messages")


def test_cloud_publishes_through_death(state: Path) -> None:
    """What the cloud sends while mosquitto dies reaches a device that has a session, in order."""
    with devices.running_site(state) as site:
        with site.client(site.add("listener"), "listener", clean=False) as client:
            client.connect()
            client.subscribe("verge/listener/a")
            for number in range(100):
                site.broker.bus.publish("verge/listener/a", b"%d" % number)
                if number == 50:
                    kill(site)
            got: list[int] = []
            while 99 not in got:
                got.append(int(client.receive()[1]))
        first = list(dict.fromkeys(got))
        assert first == list(range(100))


@pytest.mark.parametrize("topic", ["$aws/things/a+b/jobs/notify", "t" * 65_536], ids=len)
def test_topic_that_cannot_be_sent_to(state: Path, topic: str) -> None:
    """A message to a topic that is none is dropped; those after it are sent."""
    with devices.running_site(state) as site, site.client(site.add("listener"), "listener") as it:
        it.connect()
        it.subscribe("verge/listener/a")
        site.broker.bus.publish(topic, b"lost")
        site.broker.bus.publish("verge/listener/a", b"sent")
        assert it.receive()[1] == b"sent"


def test_restart_of_everything(state: Path) -> None:
    """Sessions and messages outlive an orderly restart; CA and server certificate stay."""
    with devices.running_site(state) as site:
        identity = site.add("patient")
        with site.client(identity, "patient", clean=False) as client:
            client.connect()
            client.subscribe("verge/patient/a")
        site.broker.bus.publish("verge/patient/a", b"later")
        site.broker.bus.subscribe("verge/+/b", lambda *_: None)
        ca = site.ca.read_bytes()
    with devices.running_site(state) as site:
        assert site.ca.read_bytes() == ca
        site.things.devices[identity.der] = ports.Device("patient", "p" * 64)
        site.things.policies["patient"] = (devices.OWN_TOPICS,)
        with site.client(identity, "patient", clean=False) as client:
            assert client.connect() == (0, True)
            assert client.receive()[1] == b"later"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: b"garbage" * 100, id="garbage"),
        pytest.param(lambda content: b"", id="empty"),
    ],
)
def test_broken_database(state: Path, damage: object) -> None:
    """A database that mosquitto cannot read is put aside, and the cloud starts."""
    assert callable(damage)
    with devices.running_site(state) as site:
        site.broker.bus.subscribe("verge/a", lambda *_: None)
    database = state / "broker" / mosquitto.DATABASE
    database.write_bytes(damage(database.read_bytes()))
    with (
        devices.running_site(state) as site,
        site.client(site.add("newcomer"), "newcomer") as client,
    ):
        client.connect()
        assert client.publish("verge/newcomer/a", b"") == 0


def test_handler_that_fails(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that raises is tried again; one that always raises costs only its message."""
    monkeypatch.setattr(bus, "HANDLER_PAUSES", (0.01, 0.01))
    with devices.running_site(state) as site:
        calls: list[bytes] = []

        def take(_: str, payload: bytes) -> None:
            calls.append(payload)
            if payload == b"poison" or calls.count(payload) < 2:
                raise OSError("no space left on device")

        site.broker.bus.subscribe("verge/a", take)
        for payload in (b"one", b"poison", b"two"):
            site.broker.bus.publish("verge/a", payload)
        devices.until(lambda: calls.count(b"two") == 2, "the last message")
        assert calls == [b"one", b"one", b"poison", b"poison", b"poison", b"two", b"two"]


def test_unfinished_message_comes_again(state: Path) -> None:
    """A message whose handler had not returned when the cloud stopped comes again."""
    begun = threading.Event()
    release = threading.Event()
    with devices.running_site(state) as site:

        def take(_: str, __: bytes) -> None:
            begun.set()
            release.wait(devices.PATIENCE)
            raise OSError("cannot finish")

        site.broker.bus.subscribe("verge/a", take)
        site.broker.bus.publish("verge/a", b"precious")
        assert begun.wait(devices.PATIENCE)
        threading.Timer(0.1, release.set).start()
    taken: queue.Queue[bytes] = queue.Queue()
    site = devices.Site(state)
    site.broker.bus.subscribe("verge/a", lambda _, payload: taken.put(payload))
    site.broker.start()
    try:
        assert taken.get(timeout=devices.PATIENCE) == b"precious"
    finally:
        site.broker.stop()


@pytest.mark.parametrize("qos", [0, 1])
def test_slow_cloud(state: Path, monkeypatch: pytest.MonkeyPatch, qos: int) -> None:
    """While the cloud is behind, a device that floods it waits; others do not; nothing is lost."""
    limit = 512 * 1024
    site = devices.Site(state)
    monkeypatch.setattr(site.backlog, "_limit", limit)
    free, taken = threading.Event(), []

    def take(_: str, payload: bytes) -> None:
        free.wait(2 * devices.PATIENCE)
        taken.append(payload[:4])

    site.broker.bus.subscribe("verge/flood/#", take)
    site.broker.start()
    try:
        with (
            site.client(site.add("flood"), "flood") as flood,
            site.client(site.add("calm"), "calm") as calm,
        ):
            flood.connect()
            calm.connect()
            for number in range(200):
                flood.paho.publish("verge/flood/a", b"%04d" % number + bytes(50_000), qos=qos)
            devices.until(lambda: site.backlog.full, "a full backlog")
            for _ in range(5):
                assert calm.publish("verge/calm/a", b"quick") == 0
            # 10 MB were sent; what passed is the limit and what was on its way in one read.
            assert site.backlog._waiting < limit + 256 * 1024
            free.set()
            devices.until(lambda: len(taken) == 200, "all messages")
            assert taken == [b"%04d" % number for number in range(200)]
    finally:
        free.set()
        site.broker.stop()


def test_connected_callback(state: Path) -> None:
    """Callbacks run at every connection, in the thread of the handlers."""
    site = devices.Site(state)
    threads: queue.Queue[str] = queue.Queue()
    site.broker.bus.on_connect(lambda: threads.put(threading.current_thread().name))
    site.broker.start()
    try:
        assert threads.get(timeout=devices.PATIENCE) == "bus"
        kill(site)
        assert threads.get(timeout=devices.PATIENCE) == "bus"
    finally:
        site.broker.stop()


def test_port_taken(state: Path, tmp_path: Path) -> None:
    """A port that is taken is said by name, with the way out, and nothing keeps running."""
    with devices.running_site(state) as site:
        other = devices.Site(tmp_path)
        other.broker._gate.port = site.broker.port
        with pytest.raises(errors.SettingsError, match=rf"127.0.0.1:{site.broker.port}.*--mqtt"):
            other.broker.start()
        assert other.broker.mosquitto_pid is None


def test_second_broker_on_the_state(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second mosquitto never opens the database of the first."""
    monkeypatch.setattr(mosquitto, "START_TIMEOUT", 0.2)
    second = mosquitto.Mosquitto(state / "broker")
    with (
        devices.running_site(state),
        pytest.raises(errors.BrokerError, match="another one runs there"),
    ):
        second.start()


def test_no_mosquitto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without mosquitto the error says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mosquitto, "_SEARCH", ())
    with pytest.raises(errors.BrokerError, match=r"cannot find mosquitto.*apt-get install"):
        mosquitto.find()


@pytest.mark.parametrize("says", ["mosquitto version 1.6.9", "hello"])
def test_old_mosquitto(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str) -> None:
    """A mosquitto that is too old is refused by its version."""
    program = tmp_path / "mosquitto"
    program.write_text(f"#!/bin/sh\necho '{says}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(errors.BrokerError, match=r"2.0 or newer is needed"):
        mosquitto.find()


def test_mosquitto_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What mosquitto says when it does not start is in the error."""
    real = mosquitto._configuration()
    monkeypatch.setattr(mosquitto, "_configuration", lambda: real + "nonsense true\n")
    with pytest.raises(errors.BrokerError, match="nonsense"):
        mosquitto.Mosquitto(tmp_path / "broker").start()


def block_the_log(broker: Path) -> Path:
    """Let no log of mosquitto be written; return what is in its way."""
    (broker / "mosquitto.log").touch()
    obstacle = broker / "mosquitto.log.old"
    obstacle.unlink(missing_ok=True)
    (obstacle / "d").mkdir(parents=True)
    return obstacle


def test_mosquitto_that_cannot_be_run(tmp_path: Path) -> None:
    """A start that the system refuses ends with its reason and does not wait for ever."""
    (tmp_path / "broker").mkdir()
    block_the_log(tmp_path / "broker")
    with pytest.raises(errors.BrokerError, match=r"cannot start mosquitto: .*mosquitto\.log"):
        mosquitto.Mosquitto(tmp_path / "broker").start()


def test_mosquitto_that_cannot_be_run_for_a_while(tmp_path: Path) -> None:
    """mosquitto is started again once the system allows it, as after a full disk."""
    broker = mosquitto.Mosquitto(tmp_path / "broker")
    broker.start()
    try:
        obstacle = block_the_log(tmp_path / "broker")
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        devices.until(lambda: broker.generation > 2, "two starts that are refused")
        shutil.rmtree(obstacle)
        devices.until(lambda: broker.pid is not None, "another mosquitto")
    finally:
        broker.stop()


def test_nobody_else_enters(state: Path) -> None:
    """Only the owner reaches mosquitto's directory and its socket."""
    with devices.running_site(state):
        assert (state / "broker").stat().st_mode & 0o777 == 0o700
        assert (state / "broker" / mosquitto.SOCKET).stat().st_mode & 0o777 == 0o600


def test_dies_with_the_cloud(tmp_path: Path) -> None:
    """When the cloud is killed mosquitto ends as well, and saves first."""
    script = (
        "import sys; from pathlib import Path; from tests.support import devices\n"
        "site = devices.Site(Path(sys.argv[1])); site.broker.start()\n"
        "print(site.broker.mosquitto_pid, flush=True); sys.stdin.read()\n"
    )
    repository = Path(__file__).parents[4]
    with subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        env={**os.environ, "PYTHONPATH": f"{repository / 'src'}:{repository}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        process.kill()
    with devices.running_site(tmp_path):  # waits for the lock that the old one holds
        gone = Path(f"/proc/{pid}/cmdline")
        assert not gone.exists() or not gone.read_bytes()  # or nobody has asked for its end yet


def test_open_files() -> None:
    """The limit of open files is raised as far as this process may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        brokers.allow_files(1000)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(1000, hard)
        brokers.allow_files(500)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(1000, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
