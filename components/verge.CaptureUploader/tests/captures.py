"""A place with pictures and results, S3 behind a network that can be cut, and an uploader."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import socketserver
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "inspection"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test-key-of-captures",
    "AWS_SECRET_ACCESS_KEY": "test-secret-of-captures",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
}


def wait_until(predicate: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that nobody announces."""
    ends = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < ends
        time.sleep(0.01)


class Network:
    """A way to a port that can be cut, also in the middle of what passes."""

    def __init__(self, port: int) -> None:
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self.up = True
        self.passed = 0
        """Bytes that went to the port."""
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                if not outer.up:
                    return
                with socket.create_connection(("127.0.0.1", port)) as far:
                    outer._pump(self.request, far)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: Any) -> None:
                """A connection that breaks is what this is for."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def cut(self) -> None:
        """End all connections and let no new one through."""
        self.up = False
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self.up = True

    def close(self) -> None:
        self.cut()
        self._server.shutdown()
        self._server.server_close()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        with self._lock:
            self._open |= {near, far}
        back = threading.Thread(target=self._copy, args=(far, near), daemon=True)
        back.start()
        self._copy(near, far, self._count)
        back.join()
        with self._lock:
            self._open -= {near, far}

    def _count(self, size: int) -> None:
        with self._lock:
            self.passed += size

    @staticmethod
    def _copy(
        source: socket.socket,
        target: socket.socket,
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
                count(len(data))
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Place:
    """What a device has, and what S3 has got."""

    def __init__(self, folder: Path, network: Network, port: int) -> None:
        self.pictures, self.results = folder / "pictures", folder / "results"
        self.work = folder / "work"
        for made in (self.pictures, self.results, self.work):
            made.mkdir()
        self.network = network
        self._s3 = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="eu-west-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
        )
        self.configuration: dict[str, Any] = {
            "bucket": BUCKET,
            "resultsDirectory": str(self.results),
        }

    def analyse(self, identity: str, score: float | None, size: int = 3000) -> dict[str, Any]:
        """Do what the detector does with a picture: store its result; return it."""
        picture = self.pictures / f"{identity}.jpg"
        content = os.urandom(size)
        picture.write_bytes(content)
        document = {
            "schema": "verge.detections/1",
            "id": identity,
            "device": "press-01",
            "picture": {
                "path": str(picture),
                "sha256": hashlib.sha256(content).hexdigest(),
                "width": 1,
                "height": 1,
                "size": size,
            },
            "detections": [] if score is None else [{"label": "cat", "score": score}],
            "time": "2026-11-21T10:15:02.345Z",
        }
        part = self.results / f".{identity}.json.part"
        part.write_text(json.dumps(document), encoding="utf-8")
        part.rename(self.results / f"{identity}.json")
        return document

    def make_bucket(self) -> None:
        self._s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        self._s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})

    def keys(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def uploaded(self) -> set[str]:
        """Return the ids of the captures that are whole in S3."""
        return {key.rpartition("Z-")[2][:-5] for key in self.keys() if key.endswith(".json")}

    def content(self, key: str) -> bytes:
        data: bytes = self._s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return data


@contextlib.contextmanager
def running_place(folder: Path) -> Iterator[Place]:
    """Serve S3, and make a place on a device."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # The memory of moto is the process's, so an earlier test's buckets may be there.
    reset = urllib.request.Request(f"http://127.0.0.1:{port}/moto-api/reset", method="POST")
    urllib.request.urlopen(reset).close()  # noqa: S310 - loopback
    network = Network(port)
    try:
        yield Place(folder, network, port)
    finally:
        network.close()
        server.stop()
