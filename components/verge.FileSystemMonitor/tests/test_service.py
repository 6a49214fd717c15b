"""The monitor at work on real directories, with a nucleus that only remembers."""

import contextlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from edge_ipc import documents, nucleus
from file_system_monitor import directories, inbox, ledger, service, watch


def wait_until(predicate: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    ends = time.monotonic() + 20
    while not predicate():
        assert time.monotonic() < ends
        time.sleep(0.01)


class Subscription:
    def __init__(self, link: "MemoryLink", topic: str) -> None:
        self.link, self.topic = link, topic

    def close(self) -> None:
        del self.link.subscriptions[self.topic]


class MemoryLink:
    """Remembers what was announced; the tests answer."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        self.subscriptions: dict[str, Callable[[Any], None]] = {}
        self.announced: list[tuple[str, dict[str, Any]]] = []
        self.rejected: list[dict[str, Any]] = []
        self.counted: list[dict[str, Any]] = []
        self.error: nucleus.NucleusError | None = None
        self.failures = 0
        self.changed: Callable[[], None] = lambda: None
        self.condition = threading.Condition()

    def read_configuration(self) -> dict[str, Any]:
        return self.configuration

    def watch_configuration(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def publish(self, topic: str, document: documents.Document) -> None:
        with self.condition:
            if self.error:
                self.failures += 1
                self.condition.notify_all()
                raise self.error
            sent = json.loads(documents.encode(document))
            if topic == "verge/files/counters":
                self.counted.append(sent)
            elif topic == "verge/rejections":
                self.rejected.append(sent)
            else:
                self.announced.append((topic, sent))
            self.condition.notify_all()

    def subscribe(self, topic: str, received: Callable[[Any], None]) -> Subscription:
        self.subscriptions[topic] = received
        return Subscription(self, topic)

    def report_running(self) -> None:
        pass

    def wait_for(self, predicate: Callable[[], bool]) -> None:
        with self.condition:
            assert self.condition.wait_for(predicate, 20), self.announced

    def names(self) -> list[str]:
        return [Path(document["path"]).name for _, document in self.announced]

    def wait_names(self, *names: str) -> None:
        """Wait until files of these names, and no others, were announced."""
        self.wait_for(lambda: set(names) <= set(self.names()))
        assert set(self.names()) == set(names)

    def answer(self, topic: str = "verge/detections") -> None:
        """Answer everything that was announced."""
        for _, document in list(self.announced):
            self.subscriptions[topic]({"id": document["id"]})


class Bench:
    """A monitor with its directory and its ledger, started as often as one likes."""

    def __init__(self, folder: Path) -> None:
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        self.book = folder / "ledger"
        self.configuration: dict[str, Any] = {
            "directories": [str(self.pictures)],
            "patterns": ["*.png"],
            "settleSeconds": "0.2",
            "redeliverAfterSeconds": "0.2",
        }

    @contextlib.contextmanager
    def running(self) -> Iterator[MemoryLink]:
        link = MemoryLink(self.configuration)
        self.inbox = inbox.Inbox()
        self.watcher = watch.Watcher(self.inbox.put_event)
        started = threading.Event()

        def work() -> None:
            # SQLite wants its connection used by the thread that made it.
            book = ledger.Ledger(self.book)
            monitor = service.Service(link, self.inbox, self.watcher, book, "press-01")
            monitor.start()
            started.set()
            monitor.run()
            book.close()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert started.wait(10)
            yield link
        finally:
            self.inbox.put_stop(0, "the test is over")
            thread.join(10)
            self.watcher.close()

    def open_count(self) -> int:
        book = ledger.Ledger(self.book)
        count = book.open_count()
        book.close()
        return count

    def drop(self, name: str, content: bytes = b"content") -> Path:
        path = self.pictures / name
        path.parent.mkdir(exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(content)
        part.rename(path)
        return path


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(directories, "WHEN_MISSING", 0.05)
    monkeypatch.setattr(directories, "WHEN_WATCHED", 0.2)
    return Bench(tmp_path)


def test_announces_complete_files_of_the_patterns(bench: Bench) -> None:
    """A file that is complete and wanted is announced once; a partial or other one is not."""
    with bench.running() as link:
        bench.drop("notes.txt")
        with (bench.pictures / "slow.png").open("wb") as slow:
            slow.write(b"half")
            slow.flush()
            bench.drop("quick.png")
            link.wait_names("quick.png")
            link.answer()
            slow.write(b"whole")
        link.wait_names("quick.png", "slow.png")
        link.answer()
    topic, document = link.announced[-1]
    assert topic == "verge/files"
    assert (document["size"], document["device"]) == (9, "press-01")
    assert bench.open_count() == 0


def test_announces_again_until_answered(bench: Bench) -> None:
    """Silence is followed by the same announcement; an answer or a rejection ends it."""
    with bench.running() as link:
        bench.drop("a.png")
        link.wait_for(lambda: len(link.announced) >= 3)
        assert len({document["id"] for _, document in link.announced}) == 1
        link.answer("verge/rejections")
        bench.drop("b.png")
        link.wait_for(lambda: "b.png" in link.names())
        before = link.names().count("a.png")
        link.wait_for(lambda: link.names().count("b.png") >= 3)
        assert link.names().count("a.png") == before
        link.answer()
    assert bench.open_count() == 0


def test_finds_what_came_before_it_and_while_it_was_down(bench: Bench) -> None:
    """Files from before the start and from between two runs are announced, answered ones not."""
    bench.drop("before.png")
    with bench.running() as link:
        link.wait_names("before.png")
        link.answer()
    bench.drop("between.png")
    with bench.running() as link:
        link.wait_names("between.png")
    with bench.running() as again:
        again.wait_names("between.png")
    assert again.announced[0] == link.announced[0], "the id is the same"


def test_a_lost_ledger_repeats_no_id(bench: Bench) -> None:
    """Without its ledger the monitor announces everything again, under the same ids."""
    bench.drop("a.png")
    with bench.running() as link:
        link.wait_names("a.png")
    for path in bench.book.parent.glob("ledger*"):
        path.unlink()
    with bench.running() as again:
        again.wait_names("a.png")
    assert again.announced[0] == link.announced[0]


def test_a_file_in_the_making_settles_first(bench: Bench) -> None:
    """A file found while it is being written is announced when it is closed, not before."""
    with (bench.pictures / "slow.png").open("wb") as slow:
        slow.write(b"half")
        slow.flush()
        bench.configuration["settleSeconds"] = "3000"
        with bench.running() as link:
            bench.drop("quick.png")
            link.wait_names("quick.png")
            slow.write(b"whole")
            slow.close()
            link.wait_names("quick.png", "slow.png")
    sizes = {document["size"] for _, document in link.announced}
    assert sizes == {7, 9}


def test_a_file_from_a_far_future_is_a_file(bench: Bench) -> None:
    """A time that no ledger can hold, which some file systems can, stops nobody."""
    path = bench.pictures / "future.txt"
    path.touch()
    os.utime(path, (0, 10_413_792_000))  # The first of January 2300.
    path.rename(path.with_suffix(".png"))
    with bench.running() as link:
        bench.drop("today.png")
        link.wait_names("future.png", "today.png")
        link.answer()
    assert bench.open_count() == 0


def test_waits_for_a_missing_directory(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A directory that is not there is said once and watched when it comes, again and again."""
    caplog.set_level("INFO")
    bench.pictures.rmdir()
    with bench.running() as link:
        for name in ("first.png", "second.png"):
            staged = bench.pictures.with_name("staged")
            staged.mkdir()
            (staged / name).touch()
            staged.rename(bench.pictures)
            link.wait_for(lambda name=name: name in link.names())  # type: ignore[misc]
            link.answer()
            shutil.rmtree(bench.pictures)
        bench.pictures.mkdir()
        wait_until(lambda: caplog.text.count("Watching directory=") >= 3)
        bench.drop("third.png")
        link.wait_for(lambda: "third.png" in link.names())
    assert "reason=it does not exist" in caplog.text


def test_a_directory_that_was_replaced_is_watched(bench: Bench) -> None:
    """When another directory takes the place of the watched one, its files count."""
    with bench.running() as link:
        bench.pictures.rename(bench.pictures.with_name("old"))
        bench.pictures.mkdir()
        bench.drop("new.png")
        link.wait_names("new.png")


def test_looks_everywhere_after_lost_events(bench: Bench) -> None:
    """When events were lost, a look at the directories finds what they would have told."""
    with bench.running() as link:
        bench.watcher.clear()
        bench.drop("lost.png")
        bench.inbox.put_event(watch.Overflowed())
        link.wait_names("lost.png")
        link.answer()
        bench.drop("later.png")
        link.wait_names("lost.png", "later.png")


def test_directories_below_count_if_configured(bench: Bench) -> None:
    """Recursively watched, new and moved-in directories bring their files."""
    bench.configuration["recursive"] = "true"
    (bench.pictures / "old").mkdir()
    with bench.running() as link:
        bench.drop("old/a.png")
        bench.drop("new/b.png")
        staged = bench.pictures.with_name("staged")
        (staged / "deep").mkdir(parents=True)
        (staged / "deep" / "c.png").touch()
        staged.rename(bench.pictures / "moved")
        link.wait_names("a.png", "b.png", "c.png")
        link.answer()
        bench.drop("moved/deep/d.png")
        link.wait_names("a.png", "b.png", "c.png", "d.png")


def test_a_directory_below_that_goes_and_comes_back_is_watched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that had another name for a moment brings its files all the same."""
    bench.configuration["recursive"] = "true"
    below = bench.pictures / "below"
    below.mkdir()
    busy, go_on = threading.Event(), threading.Event()
    publish = MemoryLink.publish

    def hold(link: MemoryLink, topic: str, document: Mapping[str, Any]) -> None:
        busy.set()
        assert go_on.wait(20)
        publish(link, topic, document)

    monkeypatch.setattr(MemoryLink, "publish", hold)
    bench.drop("first.png")  # It was there before, so the thread that reads events is free.
    with bench.running() as link:
        assert busy.wait(20)
        below.rename(bench.pictures / "aside")
        (bench.pictures / "aside").rename(below)
        wait_until(lambda: len(bench.inbox._mailbox) == 4)  # It came and went, twice.
        go_on.set()
        bench.drop("last.png")
        link.wait_for(lambda: "last.png" in link.names())
        bench.drop("below/later.png")
        link.wait_for(lambda: "later.png" in link.names())


def test_configuration_changes_while_running(bench: Bench, tmp_path: Path) -> None:
    """Directories, patterns and topics change without a restart."""
    other = tmp_path / "other"
    other.mkdir()
    with bench.running() as link:
        (other / "present.jpg").touch()
        link.configuration = {
            **bench.configuration,
            "directories": [str(other)],
            "patterns": ["*.jpg"],
            "topic": "other/files",
            "acknowledgementTopics": ["other/answers"],
        }
        link.changed()
        link.wait_names("present.jpg")
        bench.drop("old.png")
        (other / "new.jpg").touch()
        link.wait_names("present.jpg", "new.jpg")
        assert {topic for topic, _ in link.announced} == {"other/files"}
        assert list(link.subscriptions) == ["other/answers"]
        link.configuration = {**link.configuration, "patterns": ["a/b"], "topic": "lost"}
        link.changed()
        link.answer("other/answers")
        (other / "newer.jpg").touch()
        link.wait_for(lambda: "newer.jpg" in link.names())
        assert "lost" not in {topic for topic, _ in link.announced}


def test_a_failing_nucleus_is_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A file that could not be announced is announced later; the reason is said once."""
    with bench.running() as link:
        link.error = nucleus.NucleusError("publish to the topic verge/files", "not allowed")
        bench.drop("a.png")
        link.wait_for(lambda: link.failures >= 3)
        link.error = None
        link.wait_names("a.png")
    assert caplog.text.count("Files are not announced") == 1


def test_a_full_ledger_catches_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Files that found no room are announced when others were answered and taken away."""
    monkeypatch.setattr(service, "RETRY_SECONDS", 0.1)
    real = ledger.Ledger.__init__
    monkeypatch.setattr(
        ledger.Ledger, "__init__", lambda book, path, capacity=3: real(book, path, capacity)
    )
    with bench.running() as link:
        for number in range(8):
            bench.drop(f"{number}.png")
        link.wait_for(lambda: len(set(link.names())) >= 3)
        while len(set(link.names())) < 8:
            known = set(link.names())
            link.answer()
            for name in known:
                (bench.pictures / name).unlink(missing_ok=True)
            link.wait_for(lambda known=known: set(link.names()) > known)  # type: ignore[misc]
        link.answer()
    assert bench.open_count() == 0
    assert caplog.text.count("File waits") < 8


def test_a_burst_loses_nothing(bench: Bench) -> None:
    """A thousand files, partly written and renamed, each get one id."""
    with bench.running() as link:

        def answer_all(document: Mapping[str, Any]) -> None:
            if "id" in document:
                link.subscriptions["verge/detections"]({"id": document["id"]})

        real = link.publish

        def publish(topic: str, document: Mapping[str, Any]) -> None:
            real(topic, document)
            answer_all(document)

        link.publish = publish  # type: ignore[method-assign]
        for number in range(500):
            bench.drop(f"renamed-{number}.png")
            with (bench.pictures / f"written-{number}.png").open("wb") as file:
                file.write(b"one")
                file.flush()
                os.write(file.fileno(), b"two")
        link.wait_for(lambda: len(set(link.names())) == 1000)
    assert len({document["id"] for _, document in link.announced}) == 1000
    assert all(d["size"] == 6 for _, d in link.announced if "written" in d["path"])
    assert bench.open_count() == 0


def test_looks_again_at_what_was_another_file(bench: Bench) -> None:
    """Whoever found another file than announced is told of that one, even if no event was."""
    with bench.running() as link:
        path = bench.drop("a.png")
        link.wait_names("a.png")
        first = link.announced[0][1]
        os.utime(path, (1_000_000_000, 1_000_000_000))
        answer = {"schema": "verge.rejection/1", "id": first["id"], "code": "changed"}
        link.subscriptions["verge/rejections"](answer)
        link.wait_for(lambda: link.announced[-1][1]["modified"] == 1_000_000_000)
        link.answer()
        wait_until(lambda: bench.open_count() == 0)


def test_a_file_that_comes_alone_is_announced_by_the_thread_that_saw_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to wake up for it, and it is announced again as soon as any other."""
    monkeypatch.setattr(directories, "WHEN_WATCHED", 3600.0)
    threads = []
    publish = MemoryLink.publish

    def note(link: MemoryLink, topic: str, document: Mapping[str, Any]) -> None:
        threads.append(threading.current_thread())
        publish(link, topic, document)

    monkeypatch.setattr(MemoryLink, "publish", note)
    with bench.running() as link:
        wait_until(lambda: bench.inbox._work is not None)
        bench.drop("alone.png")
        link.wait_for(lambda: len(link.announced) == 2)
        link.answer()
    assert threads[0] is bench.watcher._inotify
    assert threads[1] is not threads[0]


def test_an_error_that_nobody_foresaw_ends_the_monitor(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On the thread that saw the file, too: it leaves to be started anew, and announces it then."""
    with monkeypatch.context() as broken, bench.running() as link:
        wait_until(lambda: bench.inbox._work is not None)
        broken.setattr(link, "publish", lambda *_: 1 / 0)
        bench.drop("odd.png")
        wait_until(lambda: bench.inbox._stop is not None)
        assert bench.inbox._stop == inbox.Stop(1, "a file was not taken")
    assert "A file was not taken path=" in caplog.text
    with bench.running() as link:
        link.wait_names("odd.png")
        link.answer()


def test_the_inbox_is_bounded() -> None:
    """Beyond its limit the inbox remembers only that events were lost, and drops answers."""
    box = inbox.Inbox(limit=2)
    for number in range(5):
        box.put_event(watch.Completed(f"/{number}"))
        box.put_document({"id": "a"})
    for document in (None, {}, {"id": 7}, {"id": "x" * 500}):
        box.put_document(document)
    box.put_change()
    box.put_change()
    found = []
    while (item := box.take(0)) is not None:
        found.append(item)
    assert found == [
        watch.Completed("/0"),
        inbox.Answered("a"),
        watch.Overflowed(),
        inbox.Changed(),
    ]
    box.put_stop(1, "lost")
    box.put_stop(0, "told")
    assert box.take(0) == inbox.Stop(1, "lost")


def hostile(folder: Path) -> dict[str, str]:
    """Make what is no file to announce; return the codes by the paths in the rejections."""
    (folder / "link.png").symlink_to("/etc/hostname")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "two\nlines.png").touch()
    (folder / os.fsdecode(b"\xff.png")).touch()
    (folder / "large.png").write_bytes(b"x" * 101)
    return {
        f"{folder}/link.png": "not_a_file",
        f"{folder}/pipe.png": "not_a_file",
        f"{folder}/folder.png": "not_a_file",
        f"{folder}/two\nlines.png": "bad_name",
        f"{folder}/\\xff.png": "bad_name",
        f"{folder}/large.png": "too_large",
    }


@pytest.mark.parametrize("method", ["inotify", "polling"])
@pytest.mark.parametrize("recursive", ["true", "false"])
@pytest.mark.parametrize("early", [True, False])
def test_what_is_no_file_is_rejected_once(
    bench: Bench, method: str, recursive: str, early: bool
) -> None:
    """Links, pipes, directories, odd names and large files give one rejection each, no more."""
    bench.configuration |= {
        "maxBytes": "100",
        "method": method,
        "recursive": recursive,
        "pollSeconds": "0.1",
    }
    expected = hostile(bench.pictures) if early else {}
    with bench.running() as link:
        expected = expected or hostile(bench.pictures)
        link.wait_for(lambda: len(link.rejected) == len(expected))
        bench.drop("good.png")
        link.wait_names("good.png")
        link.answer()
    with bench.running() as again:
        bench.drop("another.png")
        again.wait_names("another.png")
    found = {document["picture"]["path"]: document["code"] for document in link.rejected}
    assert found == expected
    assert len(link.rejected) == len(expected)
    assert again.rejected == []


def test_a_rejection_that_was_not_sent_is_repeated(bench: Bench) -> None:
    """When publishing fails, the rejection waits for the nucleus like any announcement."""
    with bench.running() as link:
        with link.condition:
            link.error = nucleus.NucleusError("publish", "refused")
        os.mkfifo(bench.pictures / "pipe.png")
        link.wait_for(lambda: link.failures > 0)
        with link.condition:
            link.error = None
        link.wait_for(lambda: bool(link.rejected))
    assert [document["code"] for document in link.rejected] == ["not_a_file"]


def test_counts_what_it_does(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Seen, delivered, redelivered, answered and rejected files are published and logged."""
    caplog.set_level("INFO")
    bench.configuration["countersEverySeconds"] = "0.1"
    with bench.running() as link:
        bench.drop("a.png")
        os.mkfifo(bench.pictures / "pipe.png")
        link.wait_for(lambda: len(link.announced) >= 3 and bool(link.rejected))
        link.answer()
        link.wait_for(lambda: bool(link.counted) and link.counted[-1]["answered"] == 1)
    last = link.counted[-1]
    assert {name: last[name] for name in ("seen", "delivered", "rejected", "waiting")} == {
        "seen": 2,
        "delivered": 1,
        "rejected": 1,
        "waiting": 0,
    }
    assert last["redelivered"] == len(link.announced) - 1
    assert "answered=1" in caplog.text


def test_a_hard_link_is_a_file(bench: Bench) -> None:
    """A link to a file that exists elsewhere is announced once it stayed unchanged."""
    elsewhere = bench.book.with_name("elsewhere.png")
    elsewhere.write_bytes(b"whole")
    with bench.running() as link:
        (bench.pictures / "linked.png").hardlink_to(elsewhere)
        link.wait_names("linked.png")


def test_a_polled_directory_is_as_good(bench: Bench) -> None:
    """Where files are looked for instead of waited for, none is lost and none is doubled."""
    bench.configuration |= {"method": "polling", "pollSeconds": "0.1"}
    with bench.running() as link:
        for number in range(50):
            bench.drop(f"{number}.png")
        link.wait_for(lambda: len(set(link.names())) == 50)
        bench.drop("0.png", b"replaced")
        link.wait_for(lambda: len({document["id"] for _, document in link.announced}) == 51)
        shutil.rmtree(bench.pictures)
        bench.pictures.mkdir()
        bench.drop("back.png")
        link.wait_for(lambda: "back.png" in link.names())
