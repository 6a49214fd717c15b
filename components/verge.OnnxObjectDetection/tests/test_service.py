"""The detector at work, with the real model and a nucleus that only remembers."""

import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_ipc import documents, nucleus, values
from object_detection import annotate, detector, inbox, service, session
from object_detection.errors import DetectionError, ModelError


class Subscription:
    def __init__(self, link: "MemoryLink", topic: str) -> None:
        self.link, self.topic = link, topic

    def close(self) -> None:
        del self.link.subscriptions[self.topic]


class MemoryLink:
    """Remembers what was published; the tests look at it and send events."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration
        self.subscriptions: dict[str, Callable[[Any], None]] = {}
        self.local: list[tuple[str, dict[str, Any]]] = []
        self.cloud: list[tuple[str, dict[str, Any]]] = []
        self.cloud_error: nucleus.NucleusError | None = None
        self.cloud_attempts = 0
        self.running = False
        self.message_limit: int | None = None
        self.changed: Callable[[], None] = lambda: None
        self.published = threading.Condition()

    def read_configuration(self) -> dict[str, Any]:
        return self.configuration

    def watch_configuration(self, changed: Callable[[], None]) -> None:
        self.changed = changed

    def publish(self, topic: str, document: documents.Document) -> None:
        with self.published:
            self.local.append((topic, json.loads(documents.encode(document))))
            self.published.notify_all()

    def subscribe(self, topic: str, received: Callable[[Any], None]) -> Subscription:
        if topic == "forbidden":
            raise nucleus.NucleusError("subscribe", "not allowed")
        self.subscriptions[topic] = received
        return Subscription(self, topic)

    def publish_to_iot_core(self, topic: str, document: documents.Document) -> None:
        with self.published:
            self.cloud_attempts += 1
            self.published.notify_all()
            if self.cloud_error:
                raise self.cloud_error
            self.cloud.append((topic, json.loads(documents.encode(document))))

    def report_running(self) -> None:
        self.running = True

    def wait(self, count: int) -> list[tuple[str, dict[str, Any]]]:
        with self.published:
            assert self.published.wait_for(lambda: len(self.local) >= count, 30)
            return self.local[:count]

    def wait_cloud(self, attempts: int) -> list[tuple[str, dict[str, Any]]]:
        """Wait for what follows an answer."""
        with self.published:
            assert self.published.wait_for(lambda: self.cloud_attempts >= attempts, 30)
            return list(self.cloud)


class Models:
    """The models that lie on the shelf."""

    def __init__(self, loaded: Any) -> None:
        self.lying: dict[str, tuple[str, Any]] = {"verge.OnnxModel": ("first", loaded)}
        self.loads: list[tuple[str, session.Running]] = []

    def identity(self, component: str) -> str:
        return self.lying.get(component, ("", None))[0]

    def load(self, component: str, running: session.Running) -> Any:
        self.loads.append((component, running))
        if component not in self.lying:
            raise ModelError(f"{component} has not provided a model")
        if isinstance(self.lying[component][1], ModelError):
            raise self.lying[component][1]
        return self.lying[component][1]


class Bench:
    """A running service."""

    def __init__(self, folder: Path, loaded: Any, configuration: dict[str, Any]) -> None:
        self.results = folder / "results"
        self.link = MemoryLink({"outputDirectory": str(self.results), **configuration})
        self.inbox = inbox.Inbox()
        self.models = Models(loaded)
        self.service = service.Service(self.link, self.inbox, self.models, "press-01")
        self.code: int | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Bench":
        self.service.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.inbox.put_stop(0, "the test is over")
        self._thread.join(30)

    def _run(self) -> None:
        self.code = self.service.run()

    def send(self, identity: str, path: Path | str, topic: str = "verge/files") -> None:
        self.link.subscriptions[topic]({"id": identity, "path": str(path)})

    def drawn(self, path: str | Path) -> bytes:
        """Return an annotated picture, which may follow its result."""
        deadline = time.monotonic() + 30
        while not Path(path).exists():
            assert time.monotonic() < deadline, f"{path} was not drawn"
            time.sleep(0.005)
        return Path(path).read_bytes()

    def stored(self, identity: str) -> Any:
        return json.loads((self.results / f"{identity}.json").read_bytes())


@pytest.fixture
def bench(tmp_path: Path, loaded: Any) -> Iterator[Bench]:
    with Bench(tmp_path, loaded, {}) as running:
        yield running


def test_answers_in_order(bench: Bench, pictures: Path, tmp_path: Path) -> None:
    """Results and rejections come in the order of the events, on their topics."""
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    bench.send("1", pictures / "chelsea.png")
    bench.send("2", tmp_path / "text.png")
    bench.send("3", pictures / "astronaut.png")
    bench.send("4", "/no/such/picture.png")
    answers = bench.link.wait(4)
    assert [(topic, document["id"]) for topic, document in answers] == [
        ("verge/detections", "1"),
        ("verge/rejections", "2"),
        ("verge/detections", "3"),
        ("verge/rejections", "4"),
    ]
    assert [document.get("code") for _, document in answers] == [
        *(None, "not_a_picture", None, "missing"),
    ]
    assert {entry["label"] for entry in answers[0][1]["detections"]} == {"cat"}
    for _, document in answers:
        assert bench.stored(document["id"]) == document
    annotated = Path(answers[0][1]["annotated"])
    assert annotated == bench.results / "1.jpg"
    assert bench.drawn(annotated)[:2] == b"\xff\xd8"
    cloud = bench.link.wait_cloud(2)
    assert [topic for topic, _ in cloud] == ["verge/press-01/detections"] * 2
    assert bench.link.running


def test_only_the_newest_results_are_kept(tmp_path: Path, loaded: Any, pictures: Path) -> None:
    """`keepResults` bounds what lies in the output directory, rejections included."""
    with Bench(tmp_path, loaded, {"keepResults": "2"}) as bench:
        for identity in "12345":
            bench.send(identity, pictures / "chelsea.png" if identity > "2" else "/no/picture.png")
        bench.link.wait(5)
    assert {path.stem for path in bench.results.iterdir()} == {"4", "5"}


def test_what_was_driven_out_is_not_drawn(tmp_path: Path, loaded: Any, pictures: Path) -> None:
    """A result that newer ones drove out before it was drawn leaves no annotated picture."""
    with Bench(tmp_path, loaded, {"keepResults": "1"}) as bench:
        for number in range(8):
            bench.send(str(number), pictures / "chelsea.png")
        bench.link.wait(8)
    assert sorted(path.name for path in bench.results.iterdir()) == ["7.jpg", "7.json"]


def test_a_result_beyond_the_limit_of_the_nucleus_is_shortened(
    bench: Bench, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The message says how much it lacks and the log names it; what is stored is whole."""
    bench.link.configuration = {**bench.link.configuration, "scoreThreshold": "0.05"}
    bench.link.changed()
    bench.link.message_limit = 1200
    bench.send("1", pictures / "coffee.png")
    _, told = bench.link.wait(1)[0]
    stored = bench.stored("1")
    kept = len(told["detections"])
    assert 0 < kept < len(stored["detections"])
    assert told == {
        **stored,
        "detections": stored["detections"][:kept],
        "truncated": len(stored["detections"]) - kept,
    }
    scores = [item["score"] for item in stored["detections"]]
    assert scores == sorted(scores, reverse=True), "the best ones stay"
    assert f"Result shortened id=1 detections={len(scores)} left_out={told['truncated']}" in (
        caplog.text
    )
    bench.send("1", pictures / "coffee.png")
    assert bench.link.wait(2)[1][1] == told
    assert [document for _, document in bench.link.wait_cloud(1)][:1] == [told]


def test_an_id_is_analysed_once(bench: Bench, pictures: Path, tmp_path: Path) -> None:
    """An id that comes again gets the stored answer, even if the file is another by now."""
    picture = tmp_path / "picture.png"
    shutil.copy(pictures / "chelsea.png", picture)
    bench.send("1", picture)
    first = bench.link.wait(1)[0]
    shutil.copy(pictures / "astronaut.png", picture)
    bench.send("1", picture)
    assert bench.link.wait(2)[1] == first


def test_the_next_process_knows_the_answers(tmp_path: Path, loaded: Any, pictures: Path) -> None:
    """After a restart a redelivered id is answered from the store."""
    with Bench(tmp_path, loaded, {}) as bench:
        bench.send("1", pictures / "chelsea.png")
        first = bench.link.wait(1)[0]
    with Bench(tmp_path, loaded, {}) as again:
        again.send("1", "/no/such/picture.png")
        assert again.link.wait(1)[0] == first
    assert again.code == 0


def test_configuration_changes_while_running(bench: Bench, pictures: Path, tmp_path: Path) -> None:
    """Topics, thresholds, directory and the annotated picture change without a restart."""
    bench.link.configuration = {
        "outputDirectory": str(tmp_path / "elsewhere"),
        "inputTopic": "other/files",
        "resultTopic": "other/results",
        "scoreThreshold": "0.99",
        "annotate": "false",
        "publishToIoTCore": False,
    }
    bench.link.changed()
    bench.send("1", pictures / "coffee.png")  # Arrives on the old topic, which still stands.
    topic, document = bench.link.wait(1)[0]
    assert (topic, document["detections"], document["annotated"]) == ("other/results", [], None)
    assert list(bench.link.subscriptions) == ["other/files"]
    assert (tmp_path / "elsewhere" / "1.json").is_file()
    bench.service._pipeline.wait()
    assert not bench.link.cloud


def test_a_change_before_it_listens_counts(tmp_path: Path, loaded: Any, pictures: Path) -> None:
    """A configuration that changes after it was read and before changes are told is in force."""
    bench = Bench(tmp_path, loaded, {})
    bench.link.configuration = {**bench.link.configuration, "resultTopic": "other/results"}
    with bench:
        bench.send("1", pictures / "chelsea.png")
        assert bench.link.wait(1)[0][0] == "other/results"


def test_threads_and_providers_change_while_running(bench: Bench, pictures: Path) -> None:
    """Another number of threads loads the model anew; what came before is answered first."""
    bench.send("1", pictures / "chelsea.png")
    bench.link.configuration = {**bench.link.configuration, "threads": "1", "classes": ["dog"]}
    bench.link.changed()
    bench.send("2", pictures / "chelsea.png")
    answers = bench.link.wait(2)
    assert [len(document["detections"]) for _, document in answers] == [1, 0]
    name = "verge.OnnxModel"
    assert bench.models.loads == [(name, session.Running()), (name, session.Running(threads=1))]


@pytest.fixture
def renamed(loaded: Any) -> Any:
    """The same model under another version."""
    card = dataclasses.replace(loaded.card, version="next")
    return detector.Detector(card, loaded._session)


def test_another_model_is_used_when_it_lies_there(
    bench: Bench, pictures: Path, renamed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that was installed since is used for the pictures that come after it."""
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.02)
    bench.send("1", pictures / "chelsea.png")
    bench.models.lying["verge.OnnxModel"] = ("second", renamed)
    versions = []
    for number in range(2, 200):
        bench.send(str(number), pictures / "chelsea.png")
        versions.append(bench.link.wait(number)[-1][1]["model"]["version"])
        if versions[-1] == "next":
            break
    assert versions[-1] == "next"
    assert bench.link.wait(1)[0][1]["model"]["version"] != "next"


def test_a_model_that_cannot_be_used_changes_nothing(
    bench: Bench,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A new model that breaks its promises is said once, and the former one goes on."""
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.02)
    broken = ModelError("cannot use the model: no cat in chelsea.png")
    bench.models.lying["verge.OnnxModel"] = ("second", broken)
    for number in range(1, 200):
        bench.send(str(number), pictures / "chelsea.png")
        assert bench.link.wait(number)[-1][0] == "verge/detections"
        if len(bench.models.loads) > 1:
            break
    bench.send("last", pictures / "chelsea.png")
    assert bench.link.wait(number + 1)[-1][1]["detections"]
    assert caplog.text.count("Model kept as it was") == 1
    assert len(bench.models.loads) == 2


def test_the_configuration_chooses_the_model(bench: Bench, pictures: Path, renamed: Any) -> None:
    """Another component's model is loaded while it runs; one that is not there changes nothing."""
    bench.models.lying["verge.ScratchModel"] = ("other", renamed)
    good = bench.link.configuration
    bench.link.configuration = {**good, "modelComponent": "verge.ScratchModel"}
    bench.link.changed()
    bench.send("1", pictures / "chelsea.png")
    bench.link.wait(1)
    bench.link.configuration = {**good, "modelComponent": "verge.NoModel"}
    bench.link.changed()
    bench.send("2", pictures / "chelsea.png")
    answers = bench.link.wait(2)
    assert [document["model"]["version"] for _, document in answers] == ["next", "next"]


def test_a_model_that_comes_after_its_configuration_is_used(
    bench: Bench, pictures: Path, renamed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A configuration that names a model which is not there yet takes effect when it comes."""
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.02)
    good = bench.link.configuration
    bench.link.configuration = {**good, "modelComponent": "verge.ScratchModel", "classes": ["cat"]}
    bench.link.changed()
    bench.send("1", pictures / "chelsea.png")
    assert bench.link.wait(1)[0][1]["model"]["version"] != "next"
    bench.models.lying["verge.ScratchModel"] = ("other", renamed)
    for number in range(2, 200):
        bench.send(str(number), pictures / "chelsea.png")
        if bench.link.wait(number)[-1][1]["model"]["version"] == "next":
            return
    pytest.fail("the model was never used")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"maxPixels": "many"}, id="no number"),
        pytest.param({"scoreThreshold": [0.5]}, id="list for a number"),
        pytest.param({"threads": {}}, id="map for a number"),
        pytest.param({"inputTopic": "forbidden"}, id="topic not allowed"),
        pytest.param({"modelComponent": "../up"}, id="no name of a component"),
        pytest.param({"outputDirectory": "relative"}, id="relative directory"),
        pytest.param({"outputDirectory": "/proc/results"}, id="directory not possible"),
    ],
)
def test_a_wrong_configuration_changes_nothing(
    bench: Bench, pictures: Path, wrong: dict[str, Any]
) -> None:
    """If any part of a new configuration cannot be used, the former stays in force."""
    good = bench.link.configuration
    bench.link.configuration = {**good, "annotate": False, "resultTopic": "lost", **wrong}
    bench.link.changed()
    bench.send("1", pictures / "chelsea.png")
    topic, document = bench.link.wait(1)[0]
    assert topic == "verge/detections"
    assert document["annotated"]
    assert list(bench.link.subscriptions) == ["verge/files"]


def test_refuses_to_start_with_a_wrong_configuration(tmp_path: Path, loaded: Any) -> None:
    """A first configuration that cannot be used is named, so that the deployment fails."""
    with pytest.raises(values.SettingError, match="setting iouThreshold: 'high'"):
        Bench(tmp_path, loaded, {"iouThreshold": "high"})


def test_a_nucleus_without_iot_core_is_asked_once(
    tmp_path: Path, loaded: Any, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where IoT Core is not supported this is said once, and the results stay local."""
    with Bench(tmp_path, loaded, {}) as bench:
        bench.link.cloud_error = nucleus.NucleusError("publish", "no such thing", supported=False)
        for identity in "123":
            bench.send(identity, pictures / "chelsea.png")
        bench.link.wait(3)
    assert bench.link.cloud_attempts == 1
    assert caplog.text.count("Results stay on the device") == 1


def test_a_failing_iot_core_is_tried_again(
    bench: Bench, pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A passing failure is logged once and does not end publishing."""
    bench.link.cloud_error = nucleus.NucleusError("publish", "the spool is full")
    bench.send("1", pictures / "chelsea.png")
    bench.send("2", pictures / "chelsea.png")
    bench.send("3", "/no/such/picture.png")
    bench.link.wait(3)
    bench.link.wait_cloud(2)
    bench.link.cloud_error = None
    bench.send("4", pictures / "chelsea.png")
    bench.send("5", "/no/such/picture.png")
    bench.link.wait(5)
    assert [document["id"] for _, document in bench.link.wait_cloud(3)] == ["4"]
    assert caplog.text.count("Results stay on the device") == 1


def test_a_full_disk_does_not_stop_the_answers(bench: Bench, pictures: Path) -> None:
    """Where nothing can be stored, the answer is published all the same."""
    shutil.rmtree(bench.results)
    bench.send("1", pictures / "chelsea.png")
    topic, document = bench.link.wait(1)[0]
    assert topic == "verge/detections"
    assert document["annotated"] is None


def test_nobody_waits_for_the_drawing(
    bench: Bench, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result is published before its annotated picture is drawn and before the cloud has it."""
    published = threading.Event()
    draw = annotate.draw_detections

    def draw_late(*arguments: Any) -> bytes:
        assert published.wait(30)
        assert len(bench.link.cloud) == 1
        return draw(*arguments)

    monkeypatch.setattr(annotate, "draw_detections", draw_late)
    bench.send("1", pictures / "chelsea.png")
    document = bench.link.wait(1)[0][1]
    assert not Path(document["annotated"]).exists()
    published.set()
    assert bench.drawn(document["annotated"])


def test_a_drawing_that_fails_is_logged(
    bench: Bench, pictures: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its annotated picture a result is as good, and the next one is drawn."""
    draw = annotate.draw_detections

    def fail_once(*_arguments: Any) -> bytes:
        monkeypatch.setattr(annotate, "draw_detections", draw)
        raise DetectionError("cannot encode")

    monkeypatch.setattr(annotate, "draw_detections", fail_once)
    bench.send("1", pictures / "chelsea.png")
    bench.send("2", pictures / "chelsea.png")
    assert bench.drawn(bench.link.wait(2)[1][1]["annotated"])
    assert "Annotated picture not stored id=1 reason=cannot encode" in caplog.text


def test_whatever_a_library_does_is_a_rejection(
    bench: Bench, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unforeseen error in one analysis rejects this picture and not the next."""
    real = bench.service._detector.infer

    def fail_once(*arguments: Any, **_options: Any) -> Any:
        monkeypatch.setattr(bench.service._detector, "infer", real)
        raise RuntimeError("something odd")

    monkeypatch.setattr(bench.service._detector, "infer", fail_once)
    bench.send("1", pictures / "chelsea.png")
    bench.send("2", pictures / "chelsea.png")
    first, second = bench.link.wait(2)
    assert (first[1]["code"], first[1]["reason"]) == ("failed", "the analysis failed: RuntimeError")
    assert second[0] == "verge/detections"


def test_events_that_come_during_a_change_wait_their_turn(
    bench: Bench, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the configuration changes nothing is looked at; then all is, in the order it came."""
    changing, go_on = threading.Event(), threading.Event()
    read = bench.link.read_configuration

    def read_late() -> dict[str, Any]:
        changing.set()
        assert go_on.wait(30)
        return {**read(), "resultTopic": "other/results"}

    monkeypatch.setattr(bench.link, "read_configuration", read_late)
    bench.link.changed()
    assert changing.wait(30)
    for identity in "123":
        bench.send(identity, pictures / "chelsea.png")
    assert bench.link.local == []
    go_on.set()
    answers = bench.link.wait(3)
    assert [(topic, document["id"]) for topic, document in answers] == [
        ("other/results", identity) for identity in "123"
    ]


def test_the_inbox_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """An id waits once, and what does not fit is dropped for its sender to deliver again."""
    box = inbox.Inbox(limit=2)
    for identity in ("a", "a", "b", "c"):
        box.put_document({"id": identity, "path": "/x"})
    box.put_document("garbage")
    first = box.take()
    assert caplog.text.count("Event dropped") == 1
    assert "id=c" in caplog.text
    box.done(first)  # type: ignore[arg-type]
    box.put_document({"id": "c", "path": "/x"})
    assert [box.take().id, box.take().id] == ["b", "c"]  # type: ignore[union-attr]


def test_only_an_idle_worker_lends_its_work() -> None:
    """An event is offered to the lent work when none waits; one that it refuses waits."""
    box, offered = inbox.Inbox(), []
    for identity in ("early", "a", "b", "c"):
        if identity == "a":
            box.lend(lambda event: bool(offered.append(event.id)) or event.id != "b")
            assert box.take(0).id == "early"  # type: ignore[union-attr]
            with box.turn():
                pass
        box.put_document({"id": identity, "path": "/x"})
    assert offered == ["a", "b"]
    assert [box.take(0).id, box.take(0).id] == ["b", "c"]  # type: ignore[union-attr]


def test_a_stop_comes_before_what_waits() -> None:
    """When the link is lost, nothing is worked on any more; the first reason is the exit code."""
    box = inbox.Inbox()
    box.put_document({"id": "a", "path": "/x"})
    box.put_stop(1, "lost")
    box.put_stop(0, "told")
    assert box.take() == inbox.Stop(1, "lost")
