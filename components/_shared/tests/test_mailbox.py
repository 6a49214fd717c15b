"""A service's one thread of work lends its turn to who brings something while it is idle."""

import threading

from edge_ipc import mailbox


def test_items_come_in_order_and_none_after_the_time() -> None:
    """What was put is taken in order; without anything, waiting ends when its time is over."""
    box: mailbox.Mailbox[str] = mailbox.Mailbox()
    box.put("a")
    box.put("b")
    assert len(box) == 2
    assert [box.take(), box.take(0), box.take(0)] == ["a", "b", None]
    box.wake()
    assert box.take(30) is None


def test_the_turn_is_lent_while_nothing_waits() -> None:
    """Work is done at once if nothing was put that is not worked on to its end."""
    box: mailbox.Mailbox[str] = mailbox.Mailbox()
    done: list[str] = []

    def work() -> bool:
        done.append("work")
        return True

    assert box.at_once(work)
    box.put("a")
    assert not box.at_once(work), "one waits"
    assert box.take() == "a"
    assert not box.at_once(work), "it was taken, and its turn is to come"
    with box.turn():
        assert not box.at_once(work), "it is worked on"
    assert box.at_once(work)
    assert done == ["work"] * 2


def test_work_that_refuses_was_not_done() -> None:
    """Whether it was done is what the work says; after that others have their turn."""
    box: mailbox.Mailbox[str] = mailbox.Mailbox()
    assert not box.at_once(lambda: False)
    assert box.at_once(lambda: True)


def test_waking_the_worker_leaves_it_idle() -> None:
    """Who is woken has nothing in hand, so its turn is lent all the same."""
    box: mailbox.Mailbox[str] = mailbox.Mailbox()
    box.wake()
    assert box.at_once(lambda: True)
    assert box.take(30) is None
    with box.turn():
        pass
    assert box.at_once(lambda: True)


def test_one_thread_at_a_time_has_the_turn() -> None:
    """While many bring and one takes, no two are at work, and everything is worked on once."""
    box: mailbox.Mailbox[int] = mailbox.Mailbox()
    working = threading.Lock()
    done: list[int] = []

    def work(number: int) -> bool:
        assert working.acquire(blocking=False), "two are at work"
        done.append(number)
        working.release()
        return True

    def bring(first: int) -> None:
        for number in range(first, first + 500):
            if not box.at_once(lambda number=number: work(number)):  # type: ignore[misc]
                box.put(number)

    bringing = [threading.Thread(target=bring, args=(first,)) for first in (0, 500, 1000)]
    for thread in bringing:
        thread.start()
    while any(thread.is_alive() for thread in bringing) or len(box):
        item = box.take(0.01)
        with box.turn():
            if item is not None:
                work(item)
    assert sorted(done) == list(range(1500))
