"""Pictures go through three stages at once and come out in order."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from object_detection import detector, pipeline
from object_detection.errors import PictureError
from object_detection.messages import FileEvent


class Network:
    """Stands for the detector: returns its input, as slowly as the test wants."""

    def __init__(self, batch: int, lookers: int) -> None:
        self.batch = batch
        self.lookers = lookers
        self.groups: list[list[str]] = []
        self.alone: dict[str, bool] = {}
        self.go = threading.Event()
        self.go.set()
        self.broken: set[str] = set()

    def infer(self, pictures: list[Any], *, alone: bool) -> list[detector.Inferred]:
        self.groups.append(group := [one.tensor for one in pictures])
        self.alone |= dict.fromkeys(group, alone)
        assert self.go.wait(10)
        if self.broken & set(group):
            raise RuntimeError("the network broke")
        return [detector.Inferred(one, {}, 0.0) for one in pictures]


class Bench:
    def __init__(self, batch: int, lookers: int) -> None:
        self.network = Network(batch, lookers)
        self.answers: list[tuple[str, Any]] = []
        self.completed: list[str] = []
        self.answered = threading.Condition()
        self.prepared = threading.Semaphore(0)
        self.special: dict[str, Callable[[], Any]] = {}
        self.clear = threading.Event()
        self.clear.set()
        self.expected = threading.Semaphore(0)
        self.pipeline = pipeline.Pipeline(
            self.network,  # type: ignore[arg-type]
            self._prepare,
            lambda _event: self.expected.release(),
            self._answer,
        )

    def _prepare(self, event: FileEvent) -> Any:
        try:
            if event.id in self.special:
                return self.special[event.id]()
            return detector.Prepared(None, event.id, None, {})  # type: ignore[arg-type]
        finally:
            self.prepared.release()

    def _answer(self, event: FileEvent, outcome: pipeline.Outcome) -> pipeline.Rest:
        with self.answered:
            self.answers.append((event.id, outcome))
            self.answered.notify_all()
        if event.id == "unanswerable":
            raise RuntimeError("nobody listens")
        return lambda: self._complete(event)

    def _complete(self, event: FileEvent) -> None:
        assert self.clear.wait(10)
        self.completed.append(event.id)
        if event.id == "incomplete":
            raise RuntimeError("the disk is full")

    def put(self, *names: str) -> None:
        for name in names:
            self.pipeline.put(FileEvent(name, "/x"))

    def ids(self) -> list[str]:
        self.pipeline.wait()
        return [identity for identity, _ in self.answers]


@pytest.fixture(
    params=[(1, 1), (4, 1), (1, 3), (4, 2)], ids=lambda pair: f"batch {pair[0]} lookers {pair[1]}"
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(*request.param)
    yield made
    made.network.go.set()
    made.clear.set()
    made.pipeline.close()


def raise_error() -> None:
    raise PictureError("truncated", "cut")


def break_down() -> None:
    raise RuntimeError("something odd")


def test_answers_come_in_order(bench: Bench) -> None:
    """Slow, stored, rejected and failed pictures are answered in the order they came."""
    slow = threading.Event()
    bench.special = {
        "slow": lambda: slow.wait(10) and detector.Prepared(None, "slow", None, {}),  # type: ignore[arg-type]
        "stored": lambda: pipeline.Stored({"id": "stored"}),
        "rejected": raise_error,
        "failed": break_down,
    }
    names = ["slow", "1", "stored", "rejected"]
    bench.put(*names)
    for _ in names[1:]:
        assert bench.prepared.acquire(timeout=10)
    assert bench.answers == []
    slow.set()
    more = ["failed", *map(str, range(20, 60))]
    bench.put(*more)
    assert bench.ids() == names + more
    outcomes = dict(bench.answers)
    assert outcomes["stored"] == pipeline.Stored({"id": "stored"})
    assert [outcomes[name].code for name in ("rejected", "failed")] == ["truncated", "failed"]


def test_the_answer_is_expected_while_the_network_looks(bench: Bench) -> None:
    """What can be made ready for an answer is, before the network is done."""
    bench.network.go.clear()
    bench.put("picture")
    assert bench.expected.acquire(timeout=10)
    assert bench.answers == []
    bench.network.go.set()
    assert bench.ids() == ["picture"]


def test_a_backlog_is_looked_at_together(bench: Bench) -> None:
    """What is ready while the network is busy goes together; a picture alone waits for nobody."""
    bench.put("alone")
    assert bench.ids() == ["alone"]
    bench.network.go.clear()
    bench.put("first")
    assert bench.prepared.acquire(timeout=10)
    rest = ["a", "b", "c"]
    bench.put(*rest)
    for _ in [1, *rest]:
        assert bench.prepared.acquire(timeout=10)
    bench.network.go.set()
    assert bench.ids() == ["alone", "first", *rest]
    sizes = [len(group) for group in bench.network.groups]
    assert sizes[0] == 1
    assert max(sizes) <= bench.network.batch
    assert sum(sizes) == 5


def test_a_picture_alone_has_all_cores(bench: Bench) -> None:
    """Only a picture that nothing runs or waits beside is looked at as alone."""
    bench.put("alone")
    assert bench.ids() == ["alone"]
    bench.network.go.clear()
    bench.put(*map(str, range(bench.network.batch * bench.network.lookers + 3)))
    bench.network.go.set()
    bench.pipeline.wait()
    bench.put("later")
    assert bench.ids()[-1] == "later"
    assert bench.network.alone["alone"]
    assert bench.network.alone["later"]
    assert not all(bench.network.alone.values())


def test_lookers_work_side_by_side() -> None:
    """As many runs of the network are under way as there are lookers, answered in order."""
    bench = Bench(batch=1, lookers=3)
    together = threading.Barrier(3, timeout=10)
    infer = bench.network.infer

    def meet(pictures: list[Any], *, alone: bool) -> list[detector.Inferred]:
        together.wait()
        return infer(pictures, alone=alone)

    bench.network.infer = meet  # type: ignore[method-assign]
    try:
        bench.put("a", "b", "c", "d", "e", "f")
        assert bench.ids() == list("abcdef")
        assert not any(isinstance(outcome, PictureError) for _, outcome in bench.answers)
    finally:
        bench.pipeline.close()


def test_one_broken_picture_fails_alone(bench: Bench) -> None:
    """When the network fails on several together, only the one that breaks it is rejected."""
    bench.network.broken = {"b"}
    bench.network.go.clear()
    bench.put("first", "a", "b", "c")
    bench.network.go.set()
    assert bench.ids() == ["first", "a", "b", "c"]
    failed = [name for name, outcome in bench.answers if isinstance(outcome, PictureError)]
    assert failed == ["b"]


def test_an_answer_that_fails_blocks_nobody(bench: Bench) -> None:
    """An error while answering leaves room and order for the next."""
    names = ["unanswerable"] * 20 + ["last"]
    bench.put(*names)
    assert bench.ids() == names


def test_what_is_left_to_do_follows_every_answer_once(bench: Bench) -> None:
    """Each answer is followed up once, one by one and in a backlog; a failure stops nothing."""
    for name in ("alone", "again"):
        bench.put(name)
        assert bench.ids()[-1] == name
    bench.network.go.clear()
    backlog = ["first", "incomplete", *map(str, range(20))]
    thread = threading.Thread(target=bench.put, args=backlog)
    thread.start()
    bench.network.go.set()
    thread.join(10)
    assert bench.ids() == bench.completed == ["alone", "again", *backlog]


def test_what_is_left_to_do_holds_up_no_answer(bench: Bench) -> None:
    """Answers go out while nothing of what follows them is done yet."""
    bench.clear.clear()
    names = ["a", "b", "c", "d"]  # There is room for as many.
    bench.put(*names)
    with bench.answered:
        assert bench.answered.wait_for(lambda: len(bench.answers) == len(names), 10)
    assert bench.completed == []
    bench.clear.set()
    assert bench.ids() == bench.completed == names


def test_what_would_have_to_wait_is_refused(bench: Bench) -> None:
    """An offered picture is taken as long as there is room, and again once there is."""
    bench.network.go.clear()
    room = 4 + bench.network.batch * bench.network.lookers
    names = [str(number) for number in range(room + 2)]
    assert [bench.pipeline.offer(FileEvent(name, "/x")) for name in names] == [
        *[True] * room,
        *[False] * 2,
    ]
    bench.network.go.set()
    assert bench.ids() == names[:room]
    assert bench.pipeline.offer(FileEvent("later", "/x"))
    assert bench.ids()[-1] == "later"


def test_only_so_many_are_in_hand(bench: Bench) -> None:
    """Putting waits while the stages are full, so memory does not grow with the backlog."""
    bench.network.go.clear()
    done = threading.Event()

    def put() -> None:
        bench.put(*map(str, range(50)))
        done.set()

    thread = threading.Thread(target=put)
    thread.start()
    for _ in range(4 + bench.network.batch * bench.network.lookers):
        assert bench.prepared.acquire(timeout=10)
    assert not bench.prepared.acquire(timeout=0.2)
    assert not done.is_set()
    bench.network.go.set()
    thread.join(10)
    assert len(bench.ids()) == 50
