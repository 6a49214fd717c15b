"""Downloads over a network that breaks."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support import https_server
from verge.nucleus import paths, settings, threads
from verge.nucleus.cloud import artifacts, backoff, downloads, errors, http, sigv4
from verge.nucleus.store import composition, packages

CONTENT = os.urandom(1_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()

Answers = Callable[[https_server.Asked], https_server.Answer]


class Places:
    """Makes requests to one server."""

    def __init__(self, port: int) -> None:
        self.port = port

    def request(self, _wanted: artifacts.Wanted, headers: Any) -> http.Request:
        return http.Request(f"https://127.0.0.1:{self.port}/data", headers=headers)

    def served(self, _wanted: artifacts.Wanted) -> None:
        pass

    def explain(
        self, wanted: artifacts.Wanted, status: int, _headers: Any, body: bytes
    ) -> errors.CloudError:
        return http.failure(status, body, f"download {wanted.name}", "here")


class Bench:
    """A downloader and the server that it asks."""

    def __init__(self, directory: Path, server: https_server.Server) -> None:
        self.server = server
        where = paths.Paths(directory / "root")
        where.create()
        self.settings = settings.Settings(where, root_ca_path=str(server.certificate))
        self.places = Places(server.port)
        self.downloader = downloads.Downloader(
            self.settings, cast(Any, self.places), lambda: backoff.Backoff(0.01, 0.01)
        )
        self.count = downloads.Fetched()

    def wanted(self, sha256: str = SHA256) -> artifacts.Wanted:
        return artifacts.Wanted("com.example.Press", "1.0.0", "", "s3://b/press/data", sha256)

    def fetch(self, sha256: str = SHA256, stop: threads.Stop | None = None) -> Path:
        return self.downloader.fetch(self.wanted(sha256), stop or threads.Stop(), self.count)

    @property
    def part(self) -> Path:
        return self.settings.paths.downloads / f"{SHA256}.part"

    def put_part(self, content: bytes) -> None:
        self.part.parent.mkdir()
        self.part.write_bytes(content)


@pytest.fixture
def answers() -> list[Answers]:
    """Return what the server says to each request in turn; the last one again and again."""
    return [lambda asked: https_server.ranged(CONTENT, asked)]


@pytest.fixture
def bench(tmp_path: Path, answers: list[Answers]) -> Iterator[Bench]:
    """Return a bench of this test's own."""

    def answer(asked: https_server.Asked) -> https_server.Answer:
        return (answers.pop(0) if len(answers) > 1 else answers[0])(asked)

    with https_server.running(tmp_path, answer) as server:
        yield Bench(tmp_path, server)


def cut(after: int) -> Answers:
    return lambda asked: https_server.ranged(CONTENT, asked, cut_after=after)


def refuse(status: int, body: bytes = b"") -> Answers:
    return lambda _asked: https_server.Answer(status, body)


def test_whole_file(bench: Bench) -> None:
    """What was fetched and verified is there, and is not fetched a second time."""
    assert bench.fetch().read_bytes() == CONTENT
    assert bench.count.bytes == len(CONTENT)
    assert bench.fetch().read_bytes() == CONTENT
    assert len(bench.server.asked) == 1
    bench.downloader.clear()
    assert not bench.settings.paths.downloads.exists()


def test_broken_connections_cost_nothing_twice(bench: Bench, answers: list[Answers]) -> None:
    """After every break the rest is asked for, and nothing else."""
    answers[:0] = [cut(300_000), cut(200_000), refuse(503), cut(1)]
    assert bench.fetch().read_bytes() == CONTENT
    assert bench.count.bytes == len(CONTENT)
    ranges = [asked.headers.get("range") for asked in bench.server.asked]
    assert ranges == [None, "bytes=300000-", "bytes=500000-", "bytes=500000-", "bytes=500001-"]


def test_part_of_an_earlier_nucleus_is_used(bench: Bench) -> None:
    """A new nucleus asks for what is missing."""
    bench.put_part(CONTENT[:999_000])
    assert bench.downloader.remaining(bench.wanted(), threads.Stop()) == 1000
    assert bench.fetch().read_bytes() == CONTENT
    assert bench.count.bytes == 1000


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(bytes(500_000), id="zeros-after-a-power-loss"),
        pytest.param(CONTENT + b"more", id="longer-than-the-object"),
        pytest.param(CONTENT[:-1] + b"!", id="complete-but-damaged"),
    ],
)
def test_damaged_part_is_fetched_anew(bench: Bench, part: bytes) -> None:
    """What a power loss left behind does not make a deployment fail."""
    bench.put_part(part)
    assert bench.fetch().read_bytes() == CONTENT


def test_server_without_ranges(bench: Bench, answers: list[Answers]) -> None:
    """A server that always sends everything is understood."""
    answers[:] = [cut(300_000), lambda _asked: https_server.Answer(200, CONTENT)]
    assert bench.fetch().read_bytes() == CONTENT


def test_flipped_byte_is_refused_by_name(bench: Bench, answers: list[Answers]) -> None:
    """The artifact is named, the file is gone, and nothing was ever at the final place."""
    answers[:] = [lambda asked: https_server.ranged(b"!" + CONTENT[1:], asked)]
    with pytest.raises(composition.ChecksumError, match=r"data of com\.example\.Press 1\.0\.0"):
        bench.fetch()
    assert list(bench.settings.paths.downloads.iterdir()) == []


def test_refusal_ends_it(bench: Bench, answers: list[Answers]) -> None:
    """What the cloud will say again is an error with the cloud's own words."""
    body = b"<Error><Code>AccessDenied</Code><Message>not yours</Message></Error>"
    answers[:] = [refuse(403, body)]
    with pytest.raises(errors.RefusedError, match="AccessDenied: not yours"):
        bench.fetch()
    assert len(bench.server.asked) == 1


def test_waiting_can_be_stopped(bench: Bench, answers: list[Answers]) -> None:
    """A download that waits for the network ends at once when it is asked to."""
    answers[:] = [refuse(503)]
    stop = threads.Stop()
    threading.Timer(0.1, stop.request).start()
    with pytest.raises(threads.StoppedError):
        bench.fetch(stop=stop)


def test_full_disk_is_said_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is not begun."""
    little = shutil.disk_usage("/")._replace(free=bench.settings.minimum_free_disk + 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: little)
    with pytest.raises(packages.DiskSpaceError, match="make room"):
        bench.fetch()
    assert not bench.part.exists()


def test_empty_artifact(bench: Bench, answers: list[Answers]) -> None:
    """An artifact without a byte is one, too."""
    answers[:] = [lambda asked: https_server.ranged(b"", asked)]
    nothing = hashlib.sha256(b"").hexdigest()
    assert bench.downloader.remaining(bench.wanted(nothing), threads.Stop()) == 0
    assert bench.fetch(nothing).read_bytes() == b""


class Given:
    """Keys that were refused can be told."""

    def __init__(self) -> None:
        self.forgotten: list[Any] = []

    def keys(self) -> sigv4.Keys:
        return sigv4.Keys("A", "S", "T", 9e9)

    def forget(self, keys: Any = None) -> None:
        self.forgotten.append(keys)


class Plane:
    """Signs addresses."""

    def __init__(self, server: str = "https://signed.example") -> None:
        self.signed = 0
        self._server = server

    def artifact_url(self, _arn: str, artifact: str) -> str:
        self.signed += 1
        return f"{self._server}/{artifact}?{self.signed}"


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> artifacts.Places:
    """Return places in eu-west-1."""
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    given: Any = Given()
    plane: Any = Plane()
    configured = settings.Settings(paths.Paths(tmp_path), region="eu-west-1")
    return artifacts.Places(configured, plane, given)


def at(uri: str) -> artifacts.Wanted:
    return artifacts.Wanted("C", "1.0.0", "arn", uri, SHA256)


@pytest.mark.parametrize(
    ("uri", "url"),
    [
        ("s3://bucket/a/b c.zip", "https://bucket.s3.eu-west-1.amazonaws.com/a/b%20c.zip"),
        ("s3://my.bucket/a", "https://s3.eu-west-1.amazonaws.com/my.bucket/a"),
        ("greengrass:x/y.zip", "https://signed.example/x/y.zip?1"),
    ],
)
def test_addresses_are_those_of_aws(places: artifacts.Places, uri: str, url: str) -> None:
    """Buckets have their own hosts, and AWS's own artifacts signed addresses."""
    assert places.request(at(uri), {}).url == url


def test_endpoint_stands_in_for_s3(
    places: artifacts.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable that AWS's tools read redirects downloads, too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://127.0.0.1:8443/")
    assert places.request(at("s3://bucket/a"), {}).url == "https://127.0.0.1:8443/bucket/a"


def test_another_region_is_learned(places: artifacts.Places) -> None:
    """S3 says where a bucket is, and the next attempt goes there."""
    wanted = at("s3://bucket/a")
    headers = {"x-amz-bucket-region": "us-west-2"}
    error = places.explain(wanted, 301, headers, b"")
    assert isinstance(error, errors.UnreachableError)
    assert "us-west-2" in places.request(wanted, {}).url
    assert isinstance(places.explain(wanted, 301, headers, b""), errors.RefusedError)


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidAccessKeyId", "RequestTimeTooSkewed"])
def test_some_refusals_pass(places: artifacts.Places, code: str) -> None:
    """Keys that have ended and a clock that is wrong are reasons to try again."""
    body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    error = places.explain(at("s3://bucket/a"), 403, {}, body)
    assert isinstance(error, errors.UnreachableError)


def test_signed_address_is_of_one_version(places: artifacts.Places) -> None:
    """The same URI in two versions stands for two files, each with an address of its own."""
    former = at("greengrass:x")
    assert places.request(former, {}).url.endswith("?1")
    newer = dataclasses.replace(former, version="1.1.0", arn="arn of 1.1.0", sha256="0" * 64)
    assert places.request(newer, {}).url.endswith("?2")
    assert places.request(former, {}).url.endswith("?1")


def test_signed_address_is_renewed(places: artifacts.Places) -> None:
    """An address that has ended is asked for again, once for each end."""
    wanted = at("greengrass:x")
    assert places.request(wanted, {}).url.endswith("?1")
    assert places.request(wanted, {}).url.endswith("?1")
    assert isinstance(places.explain(wanted, 403, {}, b""), errors.UnreachableError)
    assert places.request(wanted, {}).url.endswith("?2")
    for _ in range(artifacts.MOST_RENEWALS):
        error = places.explain(wanted, 403, {}, b"")
        places.request(wanted, {})
    assert isinstance(error, errors.RefusedError)


def test_address_may_end_as_often_as_it_serves(bench: Bench, answers: list[Answers]) -> None:
    """A download outlasts any number of signed addresses, each of which brings it on."""
    plane = Plane(f"https://127.0.0.1:{bench.server.port}")
    bench.downloader = downloads.Downloader(
        bench.settings,
        artifacts.Places(bench.settings, cast(Any, plane), cast(Any, None)),
        lambda: backoff.Backoff(0.01, 0.01),
    )
    ends = 2 * artifacts.MOST_RENEWALS
    answers[:0] = [cut(10_000), refuse(403)] * ends
    file = bench.downloader.fetch(at("greengrass:x/data"), threads.Stop(), bench.count)
    assert file.read_bytes() == CONTENT
    assert plane.signed == ends + 1
