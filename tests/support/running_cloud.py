"""The real `verge-cloud serve` as a process of its own, on free ports, in a directory of the test.

with running_cloud.running(tmp_path / "cloud") as cloud:
    cloud.client("iot").create_thing(thingName="press-07")
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import boto3
import msgspec
from botocore import config as botocore_config

from verge.cloud import settings

REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT = 40.0
STOP_TIMEOUT = 15.0

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "an-example-secret-of-forty-characters-000"


class RunningCloud:
    """A process; `start` and `kill` may be called again and again on one state directory."""

    def __init__(self, state: Path, options: Sequence[str] = ()) -> None:
        self.state = state
        self._options = tuple(options)
        self._ports: dict[str, int] = {"--port": 0, "--device-port": 0, "--mqtt-port": 0}
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Any] = []

    @property
    def endpoints(self) -> settings.Endpoints:
        """What `endpoints.json` says."""
        content = (self.state / "endpoints.json").read_bytes()
        return msgspec.json.decode(content, type=settings.Endpoints)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running process."""
        assert self._process is not None, "not started"
        return self._process

    @property
    def log(self) -> str:
        """Everything it logged."""
        return self._log_file.read_text(errors="replace")

    @property
    def _log_file(self) -> Path:
        return self.state.with_name(f"{self.state.name}.log")

    def start(self, *, ahead: float = 0.0) -> None:
        """Start it and wait until it is ready; a second time on the same ports as before.

        The clock of its process is so many seconds ahead.
        """
        ports = [word for name, port in self._ports.items() for word in (name, str(port))]
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, *_program(ahead), "serve", "--state", str(self.state)),
                    *ports,
                    *self._options,
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY / "src")},
            )
        self._wait_until_ready()
        self._ports["--port"] = int(self.endpoints.api.rpartition(":")[2])
        self._ports["--device-port"] = self.endpoints.device_port
        self._ports["--mqtt-port"] = self.endpoints.mqtt_port

    def _wait_until_ready(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], START_TIMEOUT)
        if not ready or not stdout.readline().startswith(b"Ready"):
            self.kill()
            raise AssertionError(f"the local cloud does not start:\n{self.log}")

    def kill(self) -> None:
        """SIGKILL: it has no chance to save anything."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self.process, None
        process.send_signal(number)
        try:
            code = process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the local cloud does not stop:\n{self.log}") from None
        finally:
            assert process.stdout is not None
            process.stdout.close()
        return code

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def rss(self) -> int:
        """Resident memory of the process, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    def client(self, service: str, **options: Any) -> Any:
        """Return an unmodified boto3 client; `options` as for `boto3.client`."""
        chosen = {
            "endpoint_url": self.endpoints.api,
            "region_name": self.endpoints.region,
            "aws_access_key_id": ACCESS_KEY,
            "aws_secret_access_key": SECRET_KEY,
            "config": botocore_config.Config(retries={"max_attempts": 1}),
            **options,
        }
        client = boto3.session.Session().client(service, **chosen)
        self._clients.append(client)
        return client

    def close(self) -> None:
        """End the process and close all clients."""
        if self.running:
            self.stop()
        for client in self._clients:
            client.close()


def _program(ahead: float) -> tuple[str, ...]:
    if not ahead:
        return "-m", "verge.cloud"
    return str(Path(__file__).with_name("later_cloud.py")), str(ahead)


@contextlib.contextmanager
def running(state: Path, options: Sequence[str] = ()) -> Iterator[RunningCloud]:
    """Run it for the length of a block. `options` are further words of the command line."""
    cloud = RunningCloud(state, options)
    cloud.start()
    try:
        yield cloud
    finally:
        cloud.close()


def wait_for(condition: Any, what: str, seconds: float = 20.0) -> Any:
    """Return the first true value of a condition. Raises AssertionError after some seconds."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"still not so: {what}"
        time.sleep(0.02)
    return found
