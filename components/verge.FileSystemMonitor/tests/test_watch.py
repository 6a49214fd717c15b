"""inotify through watchdog, on real directories."""

import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_system_monitor import watch
from watchdog.observers import inotify_c


class Reports:
    """What the watcher reported, to be waited for."""

    def __init__(self) -> None:
        self._queue: queue.Queue[watch.Event] = queue.Queue()
        self.put = self._queue.put

    def next(self) -> watch.Event:
        return self._queue.get(timeout=10)

    def until_mark(self, directory: Path) -> list[watch.Event]:
        """Return what was reported until now: a file made here is the last of it."""
        mark = directory / "mark"
        mark.write_bytes(b"")
        found = []
        while (event := self.next()) != watch.Completed(str(mark)):
            found.append(event)
        return found


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def watcher(reports: Reports) -> Iterator[watch.Watcher]:
    running = watch.Watcher(reports.put)
    yield running
    running.close()


def test_only_complete_files_count(
    watcher: watch.Watcher, reports: Reports, tmp_path: Path
) -> None:
    """Creating and writing report nothing, closing does; so does a rename into place."""
    watched, other = tmp_path / "watched", tmp_path / "other"
    watched.mkdir()
    other.mkdir()
    watcher.add(watched, recursive=False)
    with (watched / "slow.png").open("wb") as file:
        for _ in range(3):
            file.write(b"part")
            file.flush()
        assert reports.until_mark(watched) == []
    assert reports.next() == watch.Completed(str(watched / "slow.png"))
    (other / "moved.png").touch()
    (other / "moved.png").rename(watched / "moved.png")
    (watched / "slow.png").rename(watched / "renamed.png")
    assert reports.until_mark(watched) == [
        watch.Completed(str(watched / "moved.png")),
        watch.Completed(str(watched / "renamed.png")),
    ]


def test_reading_and_removing_report_nothing(
    watcher: watch.Watcher, reports: Reports, tmp_path: Path
) -> None:
    """What does not make a file complete is not reported."""
    path = tmp_path / "a.png"
    path.touch()
    watcher.add(tmp_path, recursive=False)
    path.read_bytes()
    path.chmod(0o600)
    os.utime(path)
    path.unlink()
    assert reports.until_mark(tmp_path) == []


def test_names_for_what_is_never_written_are_reported(
    watcher: watch.Watcher, reports: Reports, tmp_path: Path
) -> None:
    """Links, pipes and directories are said when they are made: nothing will be closed there."""
    (tmp_path / "file").touch()
    watcher.add(tmp_path, recursive=False)
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "hard").hardlink_to(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    assert reports.until_mark(tmp_path) == [
        watch.Created(str(tmp_path / "link")),
        watch.Created(str(tmp_path / "pipe")),
        watch.Created(str(tmp_path / "hard")),
        watch.Appeared(str(tmp_path / "folder")),
    ]


def test_directories_come_and_go(watcher: watch.Watcher, reports: Reports, tmp_path: Path) -> None:
    """Below a recursive watch, new and moved directories are reported, then can be watched."""
    watcher.add(tmp_path, recursive=True)
    deep = tmp_path / "deep"
    deep.mkdir()
    assert reports.next() == watch.Appeared(str(deep))
    watcher.add(deep, recursive=True)
    (deep / "a.png").touch()
    assert reports.next() == watch.Completed(str(deep / "a.png"))
    deep.rename(tmp_path / "moved")
    events = {reports.next(), reports.next()}
    assert events == {watch.Appeared(str(tmp_path / "moved")), watch.Vanished(str(deep))}


def test_a_removed_directory_is_reported(
    watcher: watch.Watcher, reports: Reports, tmp_path: Path
) -> None:
    """When a watched directory is removed, the watcher says so."""
    watched = tmp_path / "watched"
    watched.mkdir()
    watcher.add(watched, recursive=False)
    watched.rmdir()
    assert reports.next() == watch.Vanished(str(watched))


def test_a_directory_that_is_no_longer_watched_is_silent(
    watcher: watch.Watcher, reports: Reports, tmp_path: Path
) -> None:
    """Removing a watch removes those below it; clearing removes all; both can be added again."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "ab").mkdir()
    watcher.add(tmp_path, recursive=True)
    watcher.remove(tmp_path / "a")
    (tmp_path / "a" / "b" / "x").touch()
    (tmp_path / "ab" / "x").touch()
    assert reports.until_mark(tmp_path) == [watch.Completed(str(tmp_path / "ab" / "x"))]
    watcher.clear()
    (tmp_path / "ab" / "y").touch()
    watcher.add(tmp_path, recursive=False)
    watcher.add(tmp_path, recursive=False)
    assert reports.until_mark(tmp_path) == []


def test_a_lost_event_is_reported(watcher: watch.Watcher, reports: Reports, tmp_path: Path) -> None:
    """When the kernel's queue overflows, that is reported."""
    watcher.add(tmp_path, recursive=False)
    overflow = inotify_c.InotifyEvent(
        inotify_c.WatchDescriptor(-1), inotify_c.InotifyConstants.IN_Q_OVERFLOW, 0, b""
    )
    watcher._inotify.handle_event(overflow)
    assert reports.next() == watch.Overflowed()


@pytest.mark.parametrize("kind", ["absent", "file"])
def test_refuses_what_is_no_directory(watcher: watch.Watcher, tmp_path: Path, kind: str) -> None:
    """What cannot be watched is an error at once."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        watcher.add(tmp_path / kind, recursive=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_refuses_a_directory_it_may_not_read(tmp_path: Path) -> None:
    """Without the right to read a directory, watching it is an error, not silence."""
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        folder.chmod(0o755)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    script = (
        "import os, sys\n"
        "from file_system_monitor import watch\n"
        "os.setuid(65534)\n"
        "watcher = watch.Watcher(print)\n"
        "try: watcher.add(sys.argv[1], recursive=False)\n"
        "except PermissionError: print('refused')\n"
        "watcher.close()\n"
    )
    source = Path(watch.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script, str(closed)],
        env={"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "refused\n", done.stderr
