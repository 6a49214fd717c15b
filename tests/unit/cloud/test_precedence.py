"""Who goes first in the cloud's process: answers to people, for a while."""

from __future__ import annotations

import threading
import time

import pytest

from verge.cloud import precedence

LONG = 30.0


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> precedence.Precedence:
    """A precedence whose times are longer than any test waits."""
    monkeypatch.setattr(precedence, "LONGEST", LONG)
    monkeypatch.setattr(precedence, "WAIT", LONG)
    return precedence.Precedence()


def waited(answers: precedence.Precedence) -> float:
    """Return how long giving way took, in seconds."""
    began = time.monotonic()
    answers.give_way()
    return time.monotonic() - began


def test_others_wait_for_the_last_answer(answers: precedence.Precedence) -> None:
    """A thread that gives way goes on when the last of several requests is answered."""
    gone_on = threading.Event()

    def work() -> None:
        answers.give_way()
        gone_on.set()

    with answers.held():
        with answers.held():
            thread = threading.Thread(target=work)
            thread.start()
        assert not gone_on.wait(0.1)
    assert gone_on.wait(LONG / 2)
    thread.join()
    assert waited(answers) < LONG / 2


def test_a_long_request_is_let_pass_only_at_first(
    answers: precedence.Precedence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for an upload that goes on."""
    monkeypatch.setattr(precedence, "LONGEST", 0.0)
    with answers.held():
        assert waited(answers) < LONG / 2


def test_requests_without_end_leave_half_of_the_time(
    answers: precedence.Precedence, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has waited in vain works for as long before it waits again; each thread for itself."""
    monkeypatch.setattr(precedence, "WAIT", 1.0)
    with answers.held():
        assert waited(answers) >= 1.0
        assert waited(answers) < 0.9
        others: list[float] = []
        thread = threading.Thread(target=lambda: others.append(waited(answers)))
        thread.start()
        thread.join()
        assert others[0] >= 1.0


def test_a_request_that_fails_holds_nobody(answers: precedence.Precedence) -> None:
    """The precedence ends with its block, also by an error."""
    with pytest.raises(ValueError, match="broken"), answers.held():
        raise ValueError("broken")
    assert waited(answers) < LONG / 2
