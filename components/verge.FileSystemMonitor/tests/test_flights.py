"""When files are announced, and again."""

import itertools

import pytest
from file_system_monitor.flights import LONGEST_DELAY, Flights
from file_system_monitor.ledger import Entry
from file_system_monitor.states import FileState


def entry(number: int) -> Entry:
    return Entry(number, str(number), FileState(f"/{number}", number, 1, 1))


def announce(flights: Flights, now: float, delay: float = 2) -> list[str]:
    due = [item.id for item in flights.due(now, delay)]
    for identity in due:
        flights.announced(identity, now)
    return due


def test_announces_once_and_again_after_silence() -> None:
    """Silence doubles the wait, up to a limit."""
    flights = Flights()
    flights.take(entry(1))
    times = []
    now = 0.0
    while now < 100:
        if announce(flights, now):
            times.append(now)
        due = flights.next_due(2)
        assert due is not None
        now = due
    waits = [after - before for before, after in itertools.pairwise(times)]
    assert waits[:4] == [2, 4, 8, LONGEST_DELAY]
    assert set(waits[4:]) == {LONGEST_DELAY}


def test_the_window_is_bounded() -> None:
    """No more files are open at a time than the window holds; an answer makes room."""
    flights = Flights(window=2)
    flights.take(entry(1))
    flights.take(entry(2))
    assert flights.room() == 0
    announce(flights, 0)
    flights.answered("1", 1)
    assert flights.room() == 1


def test_answers_keep_the_others_waiting() -> None:
    """While answers come, a long queue is not announced twice."""
    flights = Flights()
    for number in range(10):
        flights.take(entry(number))
    assert announce(flights, 0) == [str(number) for number in range(10)]
    for second, number in enumerate(range(10), start=1):
        assert announce(flights, second) == []
        flights.answered(str(number), second)
    assert flights.next_due(2) is None


def test_an_answer_shows_what_was_lost() -> None:
    """What was announced before the answered one and has no answer is announced at once."""
    flights = Flights()
    for number in (1, 2, 3):
        flights.take(entry(number))
    announce(flights, 0)
    flights.answered("3", 0.5)
    assert announce(flights, 0.5) == ["1", "2"]
    assert announce(flights, 0.6) == []


def test_a_consumer_that_came_back_hears_of_everything() -> None:
    """After a long silence the first answer brings the rest at once."""
    flights = Flights()
    for number in range(5):
        flights.take(entry(number))
    now = 0.0
    for _ in range(6):
        announce(flights, now)
        now = flights.next_due(2) or 0
    announce(flights, now)
    flights.take(entry(7))
    announce(flights, now + 1)
    flights.answered("7", now + 1.1)
    assert announce(flights, now + 1.1) == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("identity", ["1", "unknown"])
def test_dropped_and_unknown_files_do_not_count(identity: str) -> None:
    """A file that needs no answer any more is not announced; a strange answer changes nothing."""
    flights = Flights()
    flights.take(entry(1))
    flights.drop(identity)
    flights.answered("strange", 1)
    assert announce(flights, 1) == ([] if identity == "1" else ["1"])
