"""The uploader at work, with real HTTP to an S3 and a network that can be cut."""

import contextlib
import http.server
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import captures
import pytest
from capture_uploader import choice, service, settings, spool, upload
from edge_ipc import documents

KILLS = int(os.environ.get("VERGE_UPLOADER_KILLS", "5"))
SOURCE = Path(service.__file__).parents[1]


class MemoryLink:
    """The nucleus: hands over results when the test wants."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        self.received: Callable[[Any], None] = lambda _: None
        self.changed: Callable[[], None] = lambda: None

    def read_configuration(self) -> dict[str, Any]:
        return self.configuration

    def watch_configuration(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def publish(self, topic: str, document: documents.Document) -> None:
        pass

    def subscribe(self, topic: str, received: Callable[[Any], None]) -> Any:
        self.received = received
        return contextlib.closing(self)

    def close(self) -> None:
        pass

    def report_running(self) -> None:
        pass


@contextlib.contextmanager
def running(place: captures.Place) -> Iterator[MemoryLink]:
    link, inbox = MemoryLink(place.configuration), service.Inbox()
    kept = spool.Spool(place.work)
    worker = service.Service(link, inbox, kept, upload.make_client)
    worker.start()
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield link
    finally:
        inbox.put_stop(0, "the test is over")
        thread.join(30)
        worker._uploader._thread.join(30)
        kept.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "FIRST_DELAY", 0.05)
    monkeypatch.setattr(upload, "LONGEST_DELAY", 0.2)


def test_a_picture_and_its_result_lie_side_by_side(place: captures.Place) -> None:
    """What was unsure is in S3 under device, day and time, its result beside it; others are not."""
    with running(place) as link:
        unsure = place.analyse("unsure", 0.3)
        for document in (unsure, place.analyse("sure", 0.9), {"schema": "verge.rejection/1"}):
            link.received(document)
        link.received(unsure)
        captures.wait_until(lambda: place.uploaded() == {"unsure"})
    stem = "captures/press-01/2026-11-21/2026-11-21T101502345Z-unsure"
    assert place.keys() == [f"{stem}.jpg", f"{stem}.json"]
    assert place.content(f"{stem}.jpg") == Path(unsure["picture"]["path"]).read_bytes()
    assert json.loads(place.content(f"{stem}.json")) == unsure
    assert list((place.work / "spool").iterdir()) == []


def test_a_shortened_message_is_uploaded_whole(place: captures.Place) -> None:
    """Where the message lacks detections, what the detector has stored goes to S3."""
    with running(place) as link:
        stored = place.analyse("unsure", 0.3)
        link.received({**stored, "detections": stored["detections"][:0], "truncated": 1})
        captures.wait_until(lambda: place.uploaded() == {"unsure"})
    _, document = place.keys()
    assert json.loads(place.content(document)) == stored


def test_a_result_of_a_former_name_holds_nothing_up(
    place: captures.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key names the thing that uploads, whatever the result says: its role allows no other."""
    monkeypatch.setenv("AWS_IOT_THING_NAME", "press-02")
    with running(place) as link:
        link.received(place.analyse("unsure", 0.3))
        captures.wait_until(lambda: place.uploaded() == {"unsure"})
    found = place.keys()
    assert all(key.startswith("captures/press-02/2026-11-21/") for key in found)


def test_catches_up_on_what_it_missed(place: captures.Place) -> None:
    """Results from while it was down are looked at when it starts, each once."""
    place.analyse("early", None)
    with running(place):
        captures.wait_until(lambda: place.uploaded() == {"early"})
    place.analyse("between", 0.1)
    with running(place):
        captures.wait_until(lambda: place.uploaded() == {"early", "between"})


def test_a_result_that_goes_while_it_catches_up_hides_no_other(place: captures.Place) -> None:
    """The detector may remove its oldest result between the listing and the look at it."""
    # What is listed and cannot be found: such a link stays so as long as the test lasts.
    (place.results / "gone.json").symlink_to(place.results / "removed")
    place.analyse("missed", 0.2)
    with running(place):
        captures.wait_until(lambda: place.uploaded() == {"missed"})


def test_waits_for_the_network_and_for_a_bucket(
    place: captures.Place, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a network or a bucket captures wait, in their order, and that is said once."""
    caplog.set_level("INFO")
    place.network.cut()
    place.configuration["bucket"] = ""
    with running(place) as link:
        for number in range(5):
            link.received(place.analyse(str(number), 0.2))
        captures.wait_until(lambda: "no bucket is configured" in caplog.text)
        link.configuration = {**place.configuration, "bucket": captures.BUCKET}
        link.changed()
        captures.wait_until(
            lambda: "Could not connect" in caplog.text or "Connection" in caplog.text
        )
        place.network.mend()
        captures.wait_until(lambda: len(place.uploaded()) == 5)
    uploaded = [line for line in caplog.messages if line.startswith("Capture uploaded")]
    assert [line.split("id=")[1][0] for line in uploaded] == list("01234")
    assert sum("no bucket" in line for line in caplog.messages) == 1


def test_a_bucket_that_is_not_there_holds_nothing_up_for_ever(
    place: captures.Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal by S3 is said with its reason, and the upload follows once it is mended."""
    place.configuration["bucket"] = "no-such-bucket"
    with running(place) as link:
        link.received(place.analyse("1", 0.2))
        captures.wait_until(lambda: "NoSuchBucket" in caplog.text)
        link.configuration = {**place.configuration, "bucket": captures.BUCKET}
        link.changed()
        captures.wait_until(lambda: place.uploaded() == {"1"})


class TokenExchange(http.server.BaseHTTPRequestHandler):
    """Gives credentials as the nucleus does: at first such as are over by the device's clock."""

    given = 0

    def do_GET(self) -> None:
        day = "2020-01-01" if self.given < 2 else "2100-01-01"  # It asks twice at once.
        type(self).given += 1
        body = json.dumps(
            {
                "AccessKeyId": "key",
                "SecretAccessKey": "secret",
                "Token": "token",
                "Expiration": f"{day}T00:00:00Z",
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_credentials_that_are_over_are_asked_for_again(
    place: captures.Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is ahead only delays what is uploaded, though it makes all credentials old."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(TokenExchange, "given", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), TokenExchange) as server:
        threading.Thread(target=server.serve_forever).start()
        address = f"http://127.0.0.1:{server.server_port}/2016-11-01/credentialprovider/"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", address)
        try:
            with running(place) as link:
                link.received(place.analyse("1", 0.2))
                captures.wait_until(lambda: place.uploaded() == {"1"})
        finally:
            server.shutdown()
    assert "still expired" in caplog.text


def test_a_capture_that_comes_while_it_looks_does_not_wait(place: captures.Place) -> None:
    """A picture that is taken just after the uploader found nothing is uploaded at once."""
    kept = spool.Spool(place.work)
    late = choice.read_result(place.analyse("late", 0.2))
    assert late
    coming = [late]

    def read_settings() -> settings.Settings:
        # It is asked for between the look into the spool and the wait.
        if coming:
            kept.take(coming.pop(), 10**9, drop_oldest=True)
        return settings.read_settings(place.configuration)

    uploader = upload.Uploader(kept, read_settings, upload.make_client)
    uploader.start()
    try:
        captures.wait_until(lambda: place.uploaded() == {"late"})
    finally:
        uploader.stop()
        uploader._thread.join(30)
        kept.close()


def test_results_do_not_end_the_pause_after_a_failure(
    place: captures.Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While S3 refuses, pictures that are taken are no reason to ask it again."""
    caplog.set_level("INFO")
    monkeypatch.setattr(upload, "FIRST_DELAY", 600)
    place.configuration["bucket"] = "no-such-bucket"
    attempts = []  # Every attempt after a failure has a client of its own.

    def make_client(make: Callable[[], Any] = upload.make_client) -> Any:
        attempts.append(1)
        return make()

    monkeypatch.setattr(upload, "make_client", make_client)
    with running(place) as link:
        link.received(place.analyse("1", 0.2))
        captures.wait_until(lambda: "NoSuchBucket" in caplog.text)
        for number in range(2, 8):
            link.received(place.analyse(str(number), 0.2))
            captures.wait_until(lambda: f"Capture kept id={number}" in caplog.text)  # noqa: B023
        link.configuration = {**place.configuration, "bucket": captures.BUCKET}
        link.changed()
        captures.wait_until(lambda: len(place.uploaded()) == 7)
    assert len(attempts) == 2


def test_a_lost_file_does_not_hold_up_the_others(
    place: captures.Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A capture whose files somebody removed is named as lost, and the next one is uploaded."""
    place.network.cut()
    with running(place) as link:
        link.received(place.analyse("1", 0.2))
        link.received(place.analyse("2", 0.2))
        captures.wait_until(lambda: len(list((place.work / "spool").iterdir())) == 4)
        for path in (place.work / "spool").glob("1.*"):
            path.unlink()
        place.network.mend()
        captures.wait_until(lambda: place.uploaded() == {"2"})
    assert "Capture lost id=1" in caplog.text


@pytest.mark.timeout(100 + 15 * KILLS)
def test_kills_and_cuts_lose_nothing(place: captures.Place) -> None:
    """Killed at random moments under a network that comes and goes, it uploads each capture once.

    VERGE_UPLOADER_KILLS sets the number of kills.
    """
    dice = random.Random(KILLS)  # noqa: S311 - no secret
    over = threading.Event()

    def weather() -> None:
        while not over.wait(dice.uniform(0.01, 0.3)):
            place.network.cut() if place.network.up else place.network.mend()
        place.network.mend()

    expected: set[str] = set()
    threading.Thread(target=weather).start()
    try:
        for number in range(KILLS):
            child = start(place)
            assert child.stdin
            passed = place.network.passed
            for part in range(4):
                document = place.analyse(f"{number}-{part}", 0.2, dice.randrange(10**6))
                expected.add(document["id"])
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(json.dumps(document) + "\n")
                    child.stdin.flush()
                time.sleep(dice.uniform(0, 0.05))  # moments are what is varied here
            if number % 2:
                # Half of the kills come in the middle of what is uploaded.
                wait_for_traffic(place, passed + dice.randrange(2_000_000))
            child.kill()
            child.communicate()
    finally:
        over.set()
    last = start(place)
    try:
        while missing := expected - place.uploaded():
            captures.wait_until(lambda before=missing: expected - place.uploaded() != before, 60)  # type: ignore[misc]
        assert place.uploaded() == expected
        captures.wait_until(lambda: not list((place.work / "spool").iterdir()))
    finally:
        last.kill()
        last.communicate()
    keys = place.keys()
    assert len(keys) == len(set(keys)) == 2 * len(expected)
    for key in keys:
        if key.endswith(".jpg"):
            identity = key.rpartition("Z-")[2][:-4]
            assert place.content(key) == (place.pictures / f"{identity}.jpg").read_bytes()


def wait_for_traffic(place: captures.Place, passed: int) -> None:
    """Wait until so many bytes went to S3, though not long: there may be no more, or a cut."""
    with contextlib.suppress(AssertionError):
        captures.wait_until(lambda: place.network.passed >= passed, 3)


def start(place: captures.Place) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        [
            sys.executable,
            str(Path(__file__).with_name("uploader_process.py")),
            str(place.work),
            json.dumps(place.configuration),
        ],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout
    while (line := child.stdout.readline()) != "RUNNING\n":
        assert line, "the uploader ended"
    # Nobody reads on, so the log must find room: it is a few lines a run.
    return child
