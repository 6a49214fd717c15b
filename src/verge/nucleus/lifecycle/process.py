"""One process of a component, from launch to the end of its output (contract 2.2 and 2.9)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from verge.nucleus.lifecycle import output, users


@dataclass(frozen=True)
class Command:
    """A script and all that running it takes."""

    script: str
    directory: Path
    environment: Mapping[str, str]
    user: users.Identity
    shell: str = "sh"
    prepare: Callable[[int], None] | None = None
    """Called with the process id before the script begins, in order to limit the process."""

    @property
    def arguments(self) -> list[str]:
        """What to launch; a script that is to be limited waits for a line of input first."""
        if self.prepare is None:
            return [self.shell, "-c", self.script]
        return ["sh", "-c", 'read -r _ && exec "$0" -c "$1"', self.shell, self.script]


@dataclass(frozen=True)
class Exit:
    """How a process ended: `code` as `subprocess` gives it, negative for a signal."""

    code: int

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exited with code {self.code}"
        try:
            name = signal.Signals(-self.code).name
        except ValueError:
            name = f"signal {-self.code}"
        return f"was ended by {name}"


@dataclass
class Watch:
    """Whom a process tells what happens."""

    line: Callable[[str, bytes], None]
    """Called with "stdout" or "stderr" and one line."""
    exited: Callable[[Exit], None]
    """Called once, unless the process is released before."""
    held_open: Callable[[], None] = field(default=lambda: None)
    """Called if the process has ended well but others hold its output open."""


class Process:
    """A running shell script in a session of its own.

    An end without error counts only when both outputs have reached their end too: a script may
    leave its program in the background. Any other end counts at once.
    """

    def __init__(self, command: Command, watch: Watch) -> None:
        """Launch it. Raises OSError if that fails."""
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        switch = _Switch.to(command.user)
        self._popen = subprocess.Popen(
            command.arguments,
            cwd=command.directory,
            env=dict(command.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            user=switch.user,
            group=switch.group,
            extra_groups=switch.groups,
        )
        assert self._popen.stdout and self._popen.stderr  # noqa: S101, PT018 - pipes, see above
        self.pid = self._popen.pid
        self._exit: Exit | None = None
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._ended)
        self._readers = [
            self._read("stdout", self._popen.stdout.fileno()),
            self._read("stderr", self._popen.stderr.fileno()),
        ]
        self._popen.stdout.close()
        self._popen.stderr.close()
        if command.prepare:
            command.prepare(self.pid)
            self._begin()

    @property
    def running(self) -> bool:
        """Whether the process itself has not ended."""
        return self._exit is None

    def release(self) -> None:
        """Tell nothing more; the process must have ended or been killed."""
        self._watch = Watch(self._watch.line, lambda _: None)
        for reader in self._readers:
            reader.drain()
        self._close_input()
        if self._exit is None and self._popen.poll() is not None:
            self._forget_pidfd()
        # One that was killed a moment ago may take another to end; then `_ended` reaps it.

    def _begin(self) -> None:
        assert self._popen.stdin  # noqa: S101 - a pipe, see above
        with contextlib.suppress(OSError):
            self._popen.stdin.write(b"\n")
            self._popen.stdin.flush()

    def _read(self, stream: str, pipe: int) -> output.Reader:
        def line(text: bytes) -> None:
            self._watch.line(stream, text)

        return output.Reader(os.dup(pipe), line, self._output_ended)

    def _ended(self) -> None:
        self._exit = Exit(self._popen.wait())
        self._forget_pidfd()
        self._close_input()
        if self._exit.code != 0:
            for reader in self._readers:
                reader.drain()
            self._tell()
        elif any(reader.open for reader in self._readers):
            self._loop.call_later(2.0, self._tell_held_open)
        else:
            self._tell()

    def _output_ended(self) -> None:
        if self._exit is not None and not any(reader.open for reader in self._readers):
            self._tell()

    def _tell(self) -> None:
        if self._exit is not None:
            self._watch.exited(self._exit)
            self._watch.exited = lambda _: None

    def _tell_held_open(self) -> None:
        if any(reader.open for reader in self._readers):
            self._watch.held_open()

    def _close_input(self) -> None:
        if self._popen.stdin:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()

    def _forget_pidfd(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


@dataclass(frozen=True)
class _Switch:
    """What the child process changes about itself; None keeps what the nucleus has."""

    user: int | None = None
    group: int | None = None
    groups: Sequence[int] | None = None

    @classmethod
    def to(cls, user: users.Identity) -> _Switch:
        if os.geteuid() != 0 or user.is_current:
            return cls()
        return cls(user.uid, user.gid, user.groups)
