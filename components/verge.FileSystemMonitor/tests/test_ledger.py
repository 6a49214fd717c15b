"""The ledger, also after crashes, damage and at its limit."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from file_system_monitor import ledger
from file_system_monitor.states import FileState, look
from hypothesis import given, settings
from hypothesis import strategies as st

SOURCE = Path(ledger.__file__).parents[1]


def state(number: int, path: str | None = None) -> FileState:
    return FileState(path or f"/pictures/{number}.png", number, 10**18 + number, 100)


def fill(book: ledger.Ledger, *numbers: int) -> None:
    for number in numbers:
        assert book.add(str(number), state(number)) is not None


def open_ids(book: ledger.Ledger, after: int = 0) -> list[str]:
    return [entry.id for entry in book.open_entries(after, 1000)]


def test_a_file_stays_open_until_it_is_answered(tmp_path: Path) -> None:
    """Pending and delivered files are open, in the order they came; answered ones are not."""
    book = ledger.Ledger(tmp_path / "ledger")
    fill(book, 1, 2, 3)
    assert book.add("2", state(2)) is None, "it is known already"
    book.mark_delivered("1")
    assert open_ids(book) == ["1", "2", "3"]
    assert book.acknowledge("1")
    assert not book.acknowledge("1"), "answered before"
    assert not book.acknowledge("unknown")
    assert open_ids(book) == ["2", "3"]
    assert book.open_count() == 2
    [first, *_] = book.open_entries(0, 1)
    assert first.file == state(2)
    assert open_ids(book, after=first.sequence) == ["3"]
    book.close()
    again = ledger.Ledger(tmp_path / "ledger")
    assert open_ids(again) == ["2", "3"]
    assert again.add("1", state(1)) is None, "an answered file is not new"


def test_a_newer_state_replaces_one_nobody_heard_of(tmp_path: Path) -> None:
    """What was overwritten before it was announced is forgotten, what was announced is not."""
    book = ledger.Ledger(tmp_path / "ledger")
    assert book.add("1", state(1, "/a")) == []
    assert book.add("2", state(2, "/a")) == ["1"]
    book.mark_delivered("2")
    assert book.add("3", state(3, "/a")) == []
    assert open_ids(book) == ["2", "3"]


def test_forgets_only_what_is_answered_and_gone(tmp_path: Path) -> None:
    """At its limit the ledger forgets answered files that no longer lie on the disk."""
    book = ledger.Ledger(tmp_path / "ledger", capacity=3)
    path = tmp_path / "present.png"
    path.touch()
    present = look(str(path))
    assert present is not None
    book.add("present", present.file)
    fill(book, 1, 2)
    with pytest.raises(ledger.LedgerFullError, match="holds 3 files"):
        book.add("3", state(3))
    book.acknowledge("present")
    book.acknowledge("1")
    assert book.forget_gone() == 1
    assert book.forget_gone() == 0
    fill(book, 3)
    assert open_ids(book) == ["2", "3"]
    path.write_bytes(b"another state")
    assert book.forget_gone() == 1


def test_the_limit_holds_after_a_restart(tmp_path: Path) -> None:
    """Rows written by an earlier process count."""
    book = ledger.Ledger(tmp_path / "ledger", capacity=10)
    fill(book, *range(10))
    book.close()
    again = ledger.Ledger(tmp_path / "ledger", capacity=10)
    with pytest.raises(ledger.LedgerFullError):
        again.add("10", state(10))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"this is no database" * 100, id="garbage"),
        pytest.param(b"SQLite format 3\0" + b"\xff" * 4000, id="garbage behind the header"),
    ],
)
def test_a_damaged_ledger_is_put_aside(tmp_path: Path, content: bytes) -> None:
    """A ledger that cannot be read is kept for people, and a new one begun."""
    path = tmp_path / "ledger"
    path.write_bytes(content)
    book = ledger.Ledger(path)
    fill(book, 1)
    assert (tmp_path / "ledger.damaged").read_bytes() == content


def test_is_tidied_where_nobody_waits(tmp_path: Path) -> None:
    """What was written goes into the file itself when asked, and not in the middle of a change."""

    def held_by_the_file_itself() -> int:
        alone = tmp_path / "alone"
        shutil.copy(tmp_path / "ledger", alone)
        copy = ledger.Ledger(alone)
        try:
            return copy.open_count()
        finally:
            copy.close()

    book = ledger.Ledger(tmp_path / "ledger")
    fill(book, *range(ledger.TIDY_EVERY - 1))
    book.tidy()
    assert held_by_the_file_itself() == 0, "too little for it to be worth the time"
    fill(book, ledger.TIDY_EVERY)
    assert held_by_the_file_itself() == 0, "it was not asked to"
    book.tidy()
    assert held_by_the_file_itself() == ledger.TIDY_EVERY
    book.close()


def test_an_unknown_version_is_put_aside(tmp_path: Path) -> None:
    """A ledger of another version is not guessed at."""
    path = tmp_path / "ledger"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.execute("CREATE TABLE files (x)")
    database.close()
    fill(ledger.Ledger(path), 1)
    assert (tmp_path / "ledger.damaged").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Where no ledger can be made, the path is in the sentence."""
    with pytest.raises(ledger.LedgerError, match=r"cannot open the ledger /.*/absent/ledger"):
        ledger.Ledger(tmp_path / "absent" / "ledger")


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """Every file it said it had noted is there after SIGKILL in the middle of more."""
    script = """
import itertools, sys
from pathlib import Path
from file_system_monitor import ledger, states
book = ledger.Ledger(Path(sys.argv[1]))
for number in itertools.count():
    book.add(str(number), states.FileState(f"/{number}", number, number, 1))
    if number % 2: book.acknowledge(str(number))
    print(number, flush=True)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "ledger")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(SOURCE)}
    ) as process:
        assert process.stdout is not None
        for _ in range(500):
            last = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    noted = int(rest[-1]) if rest and rest[-1].isdigit() else last
    found = open_ids(ledger.Ledger(tmp_path / "ledger"))
    assert set(map(str, range(0, noted + 1, 2))) <= set(found)
    assert len(found) == len(set(found))


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["add", "deliver", "answer", "restart"]), st.integers(0, 6)),
    max_size=40,
)


@settings(max_examples=60)
@given(ACTIONS)
def test_open_means_added_and_not_answered(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]
) -> None:
    """In any order of events and restarts, what is open is what a plain model says."""
    path = tmp_path_factory.mktemp("ledger") / "ledger"
    book = ledger.Ledger(path)
    model: dict[str, bool] = {}
    for action, number in actions:
        identity = str(number)
        match action:
            case "add":
                assert (book.add(identity, state(number)) is None) == (identity in model)
                model.setdefault(identity, True)
            case "deliver":
                book.mark_delivered(identity)
            case "answer":
                assert book.acknowledge(identity) == model.get(identity, False)
                if identity in model:
                    model[identity] = False
            case "restart":
                book.close()
                book = ledger.Ledger(path)
    assert open_ids(book) == [identity for identity, is_open in model.items() if is_open]
    book.close()


def test_takes_over_the_ledger_of_an_earlier_version(tmp_path: Path) -> None:
    """What a ledger without refusals holds stays open, and refusals can be entered."""
    path = tmp_path / "ledger"
    former = sqlite3.connect(path)
    former.executescript(
        "CREATE TABLE files (sequence INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        "path TEXT NOT NULL, inode INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,"
        "size INTEGER NOT NULL, state INTEGER NOT NULL);"
        "INSERT INTO files VALUES (1, 'old', '/pictures/1.png', 1, 1, 1, 0);"
        "PRAGMA user_version = 1;"
    )
    former.close()
    book = ledger.Ledger(path)
    book.add("new", state(2), "not_a_file")
    entries = book.open_entries(0, 10)
    assert [(entry.id, entry.refusal) for entry in entries] == [
        ("old", None),
        ("new", "not_a_file"),
    ]
