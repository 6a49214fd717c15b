"""Processes, their output and their end; users."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from verge.nucleus import logs
from verge.nucleus.lifecycle import process, reaper, users


class Observer:
    """Notes what a process says and how it ends."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, bytes]] = []
        self.end: asyncio.Future[process.Exit] = asyncio.get_running_loop().create_future()
        self.noted: Callable[[], None] = lambda: None

    def watch(self) -> process.Watch:
        return process.Watch(line=self._note, exited=self.end.set_result)

    def _note(self, stream: str, line: bytes) -> None:
        self.lines.append((stream, line))
        self.noted()


def launch(script: str, directory: Path, observer: Observer, mark: str = "none") -> process.Process:
    environment = {"PATH": os.environ["PATH"], "SVCUID": mark}
    command = process.Command(script, directory, environment, users.current())
    return process.Process(command, observer.watch())


async def test_output_arrives_before_the_end(tmp_path: Path) -> None:
    """Every line of both streams is told, then the exit."""
    observer = Observer()
    launched = launch("echo out; echo err >&2; printf rest; exit 3", tmp_path, observer)
    assert await observer.end == process.Exit(3)
    assert sorted(observer.lines) == [
        ("stderr", b"err"),
        ("stdout", b"out"),
        ("stdout", b"rest"),
    ]
    launched.release()


async def test_good_end_counts_when_the_output_has_ended(tmp_path: Path) -> None:
    """A script that leaves its program in the background ends with that program."""
    observer = Observer()
    os.mkfifo(tmp_path / "gate")
    launched = launch("(cat gate; echo done) & exit 0", tmp_path, observer)
    # Opening the pipe for writing waits for the program in the background to read it.
    await asyncio.to_thread((tmp_path / "gate").write_text, "go\n")
    assert await observer.end == process.Exit(0)
    assert observer.lines == [("stdout", b"go"), ("stdout", b"done")]
    launched.release()


async def test_bad_end_counts_at_once(tmp_path: Path) -> None:
    """A program that fails is not kept alive by what it started."""
    observer = Observer()
    token = uuid.uuid4().hex
    launched = launch("sleep 1000 & kill -9 $$", tmp_path, observer, token)
    ended = await observer.end
    assert (ended.code, str(ended)) == (-9, "was ended by SIGKILL")
    assert await reaper.end(lambda: reaper.find([launched.pid], [token]), grace=0) == set()
    launched.release()


async def test_bad_end_counts_although_what_was_started_floods_the_output(tmp_path: Path) -> None:
    """A program in the background that never stops writing does not hold the nucleus up."""
    observer, flooded = Observer(), asyncio.Event()
    observer.noted = lambda: flooded.set() if len(observer.lines) > 100_000 else None
    token = uuid.uuid4().hex
    launched = launch("yes & exec sleep 1000", tmp_path, observer, token)
    await flooded.wait()
    os.kill(launched.pid, signal.SIGKILL)
    try:
        assert await observer.end == process.Exit(-signal.SIGKILL)
    finally:
        assert await reaper.end(lambda: reaper.find([launched.pid], [token]), grace=0) == set()
        launched.release()


async def test_endless_line_is_cut(tmp_path: Path) -> None:
    """Of a line that is too long the beginning is kept, and the next line is told."""
    observer = Observer()
    launched = launch("head -c 500000 /dev/zero | tr '\\0' x; echo; echo next", tmp_path, observer)
    await observer.end
    assert observer.lines == [("stdout", b"x" * logs.LINE_LIMIT), ("stdout", b"next")]
    launched.release()


async def test_descendants_are_found_wherever_they_are(tmp_path: Path) -> None:
    """Processes in other sessions and with other parents are found by their token."""
    observer = Observer()
    token = uuid.uuid4().hex
    os.mkfifo(tmp_path / "up")
    script = "setsid -f sh -c 'echo up > up; exec sleep 1000'; exec sleep 1000"
    launched = launch(script, tmp_path, observer, token)
    await asyncio.to_thread((tmp_path / "up").read_text)
    found = reaper.find([launched.pid], [token])
    assert launched.pid in found
    assert len(found) == 2
    assert await reaper.end(lambda: reaper.find([launched.pid], [token])) == set()
    assert await observer.end == process.Exit(-signal.SIGTERM)
    launched.release()


async def test_who_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """SIGKILL follows after the grace."""
    observer = Observer()
    os.mkfifo(tmp_path / "up")
    script = "trap '' TERM; echo up > up; while :; do sleep 1000; done"
    launched = launch(script, tmp_path, observer, token := uuid.uuid4().hex)
    await asyncio.to_thread((tmp_path / "up").read_text)
    left = await reaper.end(lambda: reaper.find([launched.pid], [token]), grace=0.2)
    assert left == set()
    assert await observer.end == process.Exit(-signal.SIGKILL)
    launched.release()


async def test_journal_finds_what_was_left(tmp_path: Path) -> None:
    """The journal of one nucleus tells the next one what still runs, and nothing else."""
    observer = Observer()
    journal = reaper.Journal(tmp_path / "processes")
    journal.begin()
    launched = launch("exec sleep 1000", tmp_path, observer, token := uuid.uuid4().hex)
    journal.add(launched.pid, token)
    search = reaper.Journal(tmp_path / "processes").leftovers()
    assert search() == {launched.pid}
    await reaper.end(search, grace=0)
    await observer.end
    assert search() == set()
    launched.release()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("garbage\n\x00\xff 1 2 3\n", id="garbage"),
        pytest.param("another-boot\n{pid} {started} token\n", id="another-boot"),
        pytest.param("{boot}\n{pid} 1 token\n{pid}\n{pid} x y\n", id="reused-process-id"),
    ],
)
def test_journal_never_blames_a_stranger(tmp_path: Path, text: str) -> None:
    """A damaged or outdated journal leads to nobody's end."""
    stat = reaper.read_stat(os.getppid())
    assert stat
    filled = text.format(boot=reaper.boot_id(), pid=stat.pid, started=stat.started)
    (tmp_path / "processes").write_text(filled)
    assert reaper.Journal(tmp_path / "processes").leftovers()() == set()


def test_missing_journal_means_nothing_is_left(tmp_path: Path) -> None:
    """The first nucleus has no predecessor."""
    assert reaper.Journal(tmp_path / "processes").leftovers()() == set()


@pytest.mark.parametrize("text", ["no-such-user", "root:no-such-group", "no:such"])
def test_unknown_user_is_refused(text: str) -> None:
    """A user or group that does not exist is named."""
    with pytest.raises(users.UserError, match="there is no such"):
        users.resolve(text)


def test_numbers_are_users_too() -> None:
    """Users and groups may be given by number, known or not."""
    found = users.resolve(f"{os.geteuid()}:12345")
    assert (found.uid, found.gid) == (os.geteuid(), 12345)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_files_may_go_while_a_directory_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that removes its temporary files meanwhile makes no step fail."""
    for name in ("passing", "staying"):
        (tmp_path / name).touch()
    walk = os.fwalk

    def walk_late(*arguments: Any, **options: Any) -> Iterator[Any]:
        for found in walk(*arguments, **options):
            (tmp_path / "passing").unlink()
            yield found

    monkeypatch.setattr(os, "fwalk", walk_late)
    users.give(tmp_path, nobody := users.resolve("nobody"))
    assert (tmp_path / "staying").stat().st_uid == nobody.uid


def test_process_that_cannot_be_noted_is_no_error() -> None:
    """A disk that is full keeps no component from starting."""
    reaper.Journal(Path("/dev/full")).add(os.getpid(), "TOKEN")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_links_are_given_and_never_followed(tmp_path: Path) -> None:
    """Giving a directory away does not reach what its links point at."""
    (tmp_path / "outside").write_text("root's")
    given = tmp_path / "given"
    (given / "deep").mkdir(parents=True)
    (given / "deep" / "file").write_text("x")
    (given / "link").symlink_to(tmp_path / "outside")
    (given / "way-out").symlink_to(tmp_path)
    users.give(given, nobody := users.resolve("nobody"))
    assert (given / "deep" / "file").stat().st_uid == nobody.uid
    assert (given / "link").lstat().st_uid == nobody.uid
    assert (tmp_path / "outside").stat().st_uid == 0
    assert tmp_path.stat().st_uid == 0


async def test_one_that_ends_after_its_release_is_reaped(tmp_path: Path) -> None:
    """A process that is killed and takes a moment to end leaves no zombie and tells nothing."""
    observer = Observer()
    launched = launch("exec sleep 60", tmp_path, observer)
    launched.release()
    os.kill(launched.pid, signal.SIGKILL)
    end = asyncio.get_running_loop().time() + 10
    while launched.running:
        assert asyncio.get_running_loop().time() < end
        await asyncio.sleep(0.01)
    with pytest.raises(ProcessLookupError):
        os.kill(launched.pid, 0)
    assert not observer.end.done()
