"""mosquitto as a process: found, configured, watched, restarted, told to save."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from verge.cloud import errors

MAX_PAYLOAD = 128 * 1024
"""Bytes of a message, as in IoT Core."""
MAX_INFLIGHT = 100
MAX_QUEUED_BYTES = 256 * 1024 * 1024
"""What waits for one client; the cloud itself must be able to be slow without losing reports."""
AUTOSAVE_SECONDS = 300  # whatever matters is saved when it is acknowledged (see `saver`)
START_TIMEOUT = 10.0
STOP_TIMEOUT = 10.0  # it saves before it ends
RESTART_PAUSE = 0.1
MAX_RESTART_PAUSE = 5.0
SOCKET = "mosquitto.sock"
DATABASE = "mosquitto.db"

_SEARCH = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_INSTALL = (
    "`./inv up` installs it; by hand it is `systemctl mask mosquitto.service && apt-get install "
    "mosquitto` (its own service is not needed)"
)
_POLL = 0.01

_log = logging.getLogger(__name__)


def find() -> str:
    """Return the path of mosquitto 2.0 or newer. Raises BrokerError."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SEARCH))
    found = shutil.which("mosquitto", path=path)
    if found is None:
        raise errors.BrokerError(f"cannot find mosquitto, the MQTT broker; {_INSTALL}")
    told = subprocess.run([found, "-h"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)\.(\S+)", told)
    if version is None or int(version[1]) < 2:
        told = version[0] if version else "an unknown version"
        raise errors.BrokerError(f"cannot use {found}: {told}, and 2.0 or newer is needed")
    return found


class Mosquitto:
    """Runs in a directory of its own, which nobody else can enter, behind a Unix socket.

    A lock that the process inherits keeps a second one off its database, also when this program
    was killed and the old process is about to save.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._program = find()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._ready = threading.Event()
        self._failure: errors.BrokerError | None = None
        self._lock = -1
        self._entry = -1
        self._code: int | None = None
        self.generation = 0
        """Counts the processes; what one of them acknowledged the next may not know."""

    @property
    def database(self) -> Path:
        """Where it saves sessions, messages and retained messages."""
        return self._directory / DATABASE

    @property
    def address(self) -> str:
        """The path of its socket, short enough for a socket however deep the directory lies."""
        return self.path(SOCKET)

    @property
    def pid(self) -> int | None:
        """The running process."""
        return None if self._process is None else self._process.pid

    def path(self, name: str) -> str:
        """Return a short path, valid in this process only, of a file in the directory."""
        return f"/proc/self/fd/{self._entry}/{name}"

    def start(self) -> None:
        """Start it and wait until it listens. Raises BrokerError."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory.chmod(0o700)
            self._entry = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
            (self._directory / "mosquitto.conf").write_text(_configuration(), encoding="utf-8")
            self._take_lock()
        except OSError as error:
            self._close()
            raise errors.BrokerError(
                f"cannot prepare {self._directory}: {error.strerror}; mend its permissions"
            ) from error
        except errors.BrokerError:
            self._close()
            raise
        self._stopping.clear()
        # The thread lives as long as the process: the kernel ends the process with the thread.
        self._thread = threading.Thread(target=self._supervise, name="mosquitto", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            failure = self._failure
            self.stop()
            raise failure

    def stop(self) -> None:
        """Let it save and end."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT)
            if self._thread.is_alive():
                _log.error("mosquitto does not end; killed")
                self._signal(signal.SIGKILL)
                self._thread.join()
        self._thread = None
        self._close()

    def save(self) -> None:
        """Ask it to save; done when the file has been replaced."""
        self._signal(signal.SIGUSR1)
        # It looks at signals between its waits of 100 ms; a connection ends the wait.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
            knock.setblocking(False)
            knock.connect(self.address)

    def last_words(self, lines: int = 5) -> str:
        """Return the end of its log, on one line."""
        try:
            words = (self._directory / "mosquitto.log").read_text("utf-8", "replace")
        except OSError:
            return ""
        return " / ".join(words.splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None:
            process.send_signal(number)

    def _close(self) -> None:
        for descriptor in (self._lock, self._entry):
            if descriptor != -1:
                os.close(descriptor)
        self._lock = self._entry = -1

    def _take_lock(self) -> None:
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        end = time.monotonic() + START_TIMEOUT
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise errors.BrokerError(
                        f"cannot start mosquitto in {self._directory}: another one runs there; "
                        "stop the local cloud that uses this directory"
                    ) from None
                time.sleep(_POLL * 5)
            else:
                return

    def _supervise(self) -> None:
        pause = RESTART_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            usable, reason = self._attempt()
            if self._stopping.is_set():
                break
            _log.error("mosquitto does not run reason=%s", reason)
            if not (usable or self._ready.is_set()):
                self._failure = errors.BrokerError(f"cannot start mosquitto: {reason}")
                break
            lasted = time.monotonic() - started
            pause = RESTART_PAUSE if lasted > MAX_RESTART_PAUSE else pause * 2
            self._stopping.wait(min(pause, MAX_RESTART_PAUSE))
        self._ready.set()

    def _attempt(self) -> tuple[bool, str]:
        """Run it to its end; return whether it listened, or now may, and why it does not run."""
        try:
            listened = self._run_once()
        except OSError as error:  # no room, no files, no memory: maybe not for long
            return False, str(error)
        words = self.last_words()
        usable = listened or self._stopping.is_set() or self._set_database_aside(words)
        return usable, f"it ended with code {self._code} and said: {words}"

    def _run_once(self) -> bool:
        """Run it to its end; return whether it ever listened."""
        self.generation += 1
        log = self._directory / "mosquitto.log"
        with contextlib.suppress(FileNotFoundError):
            log.replace(log.with_suffix(".log.old"))
        (self._directory / SOCKET).unlink(missing_ok=True)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_with_us(), self._program, "-c", "mosquitto.conf"],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C is for us; it ends in its turn
            )
        self._process = process
        if self._stopping.is_set():
            process.terminate()
        listened = self._wait_until_it_listens(process)
        if listened:
            (self._directory / SOCKET).chmod(0o600)
            self._ready.set()
        process.wait()
        self._process = None
        self._code = process.returncode
        return listened

    def _wait_until_it_listens(self, process: subprocess.Popen[bytes]) -> bool:
        end = time.monotonic() + START_TIMEOUT
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
                knock.connect(self.address)
                return True
            if time.monotonic() > end:
                process.kill()
            time.sleep(_POLL)
        return False

    def _set_database_aside(self, words: str) -> bool:
        """Keep a database that it cannot read under another name; return whether it was that."""
        blamed = "database" in words and "Permission denied" not in words
        if not blamed or not self.database.exists():
            return False
        aside = self.database.with_name(f"{DATABASE}.unreadable")
        self.database.replace(aside)
        _log.error(
            "Sessions and queued messages are lost: mosquitto cannot read its database; kept as %s",
            aside,
        )
        return True


def _with_us() -> list[str]:
    """Return the command that ends mosquitto when this program dies, where there is one."""
    setpriv = shutil.which("setpriv")
    return [] if setpriv is None else [setpriv, "--pdeathsig", "TERM"]


def _configuration() -> str:
    user = pwd.getpwuid(os.geteuid()).pw_name
    return f"""\
# Written at every start of the local cloud.
# Whoever reaches the socket is the gate, which has checked certificate, client id and policies.
listener 0 {SOCKET}
allow_anonymous true
max_qos 1
max_topic_alias 0
user {user}

persistence true
persistence_location ./
persistence_file {DATABASE}
autosave_interval {AUTOSAVE_SECONDS}

message_size_limit {MAX_PAYLOAD}
max_inflight_messages {MAX_INFLIGHT}
max_queued_messages 0
max_queued_bytes {MAX_QUEUED_BYTES}
allow_duplicate_messages false
sys_interval 0

log_dest stdout
log_type error
log_type warning
log_type notice
connection_messages false
"""
