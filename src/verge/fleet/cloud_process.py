"""The local cloud as a process in the background: start, look, stop, empty.

It belongs to the checkout: one at a time, its state in `.verge/cloud`. What is remembered about the
process (which one, from which code, with which ports) lies beside that directory, so that the
process is found again even after the directory was deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verge.fleet import (
    cloud_endpoints,
    cloud_ports,
    files,
    network,
    output,
    processes,
    project,
)
from verge.fleet.errors import FleetError

START_SECONDS = 60.0
ANSWER_SECONDS = 5.0
_PAUSE = 0.05
_LOG_LIMIT = 20_000_000
_LAST_LINES = 20


@dataclass(frozen=True)
class Status:
    """Whether the local cloud runs, and where."""

    running: bool
    endpoints: cloud_endpoints.Endpoints | None = None
    reason: str = ""
    """Why it does not run."""


@dataclass(frozen=True)
class _Wanted:
    """What the process is to be started with."""

    region: str
    addresses: tuple[str, ...]
    ports: dict[str, int]
    https_port: int | None
    code: str

    @property
    def document(self) -> dict[str, Any]:
        return {
            "region": self.region,
            "addresses": list(self.addresses),
            "ports": self.ports,
            "https_port": self.https_port,
            "code": self.code,
        }


def log_file(where: project.Project) -> Path:
    """Return the file that the local cloud's own output goes to."""
    return cloud_endpoints.state_dir(where) / "cloud.log"


def ensure_cloud(
    where: project.Project,
    region: str,
    reporter: output.Reporter,
    *,
    https_port: int | None = None,
) -> list[str]:
    """Start the local cloud, or anew where its code or its settings changed; return what changed.

    Raises FleetError with the last lines of its log if it does not come up.
    """
    with _lock(where, reporter):
        record = _read_record(where)
        wanted = _wanted(where, region, https_port, record)
        reason = _restart_reason(where, record, wanted)
        if not reason:
            return []
        processes.stop(record)
        reporter.detail(f"Starting the local cloud: {reason}")
        _start(where, wanted)
    return [f"started the local cloud: {reason}"]


def read_status(where: project.Project) -> Status:
    """Return whether the local cloud runs and answers."""
    record = _read_record(where)
    if not processes.is_alive(record):
        return Status(False, reason="it does not run")
    try:
        found = cloud_endpoints.read_endpoints(where)
    except FleetError as error:
        return Status(False, reason=f"process {record['pid']} runs, but {error}")
    if not _answers(found.api):
        return Status(False, found, reason=f"process {found.pid} does not answer at {found.api}")
    return Status(True, found)


def stop_cloud(where: project.Project, reporter: output.Reporter) -> list[str]:
    """Stop the local cloud and keep its state; return what changed."""
    with _lock(where, reporter):
        return ["stopped the local cloud"] if processes.stop(_read_record(where)) else []


def reset_cloud(where: project.Project, reporter: output.Reporter) -> list[str]:
    """Stop the local cloud and delete all it keeps; return what changed."""
    with _lock(where, reporter):
        changes = ["stopped the local cloud"] if processes.stop(_read_record(where)) else []
        state = cloud_endpoints.state_dir(where)
        if state.exists():
            with files.explained("remove", state):
                shutil.rmtree(state)
            changes.append("deleted the state of the local cloud")
        shutil.rmtree(_memory(where), ignore_errors=True)
    return changes


def _memory(where: project.Project) -> Path:
    return where.state_dir / "cloud-process"


def _lock(where: project.Project, reporter: output.Reporter) -> Any:
    # Not in the folder that a reset deletes: two commands must never hold two locks of one name.
    return files.held(where.state_dir / "locks" / "cloud", "the local cloud", reporter.detail)


def _read_record(where: project.Project) -> dict[str, Any]:
    return files.read_state(_memory(where) / "process.json")


def _wanted(
    where: project.Project, region: str, https_port: int | None, record: dict[str, Any]
) -> _Wanted:
    gateway = network.gateway(where)
    # Devices are told the first address.
    addresses = (gateway, cloud_ports.LOOPBACK) if gateway else (cloud_ports.LOOPBACK,)
    former = (record.get("wanted") or {}).get("ports")
    if not isinstance(former, dict) or former.keys() != cloud_ports.USUAL.keys():
        former = cloud_ports.USUAL
    # Devices know the ports, so they stay, unless somebody took one while the cloud was away.
    ports = former if processes.is_alive(record) else cloud_ports.choose_ports(addresses, former)
    return _Wanted(region, addresses, dict(ports), https_port, _code(where))


def _code(where: project.Project) -> str:
    """Return the digest of all that the process is made of."""
    found = hashlib.sha256()
    sources = [
        *sorted((where.root / "src/verge/cloud").rglob("*")),
        *sorted((where.root / "src/verge/recipe").rglob("*.py")),
        where.root / "requirements.lock",
    ]
    for path in sources:
        if path.is_file() and path.suffix != ".pyc":
            found.update(f"{where.relative(path)}\n".encode() + path.read_bytes())
    return found.hexdigest()


def _restart_reason(where: project.Project, record: dict[str, Any], wanted: _Wanted) -> str:
    if not processes.is_alive(record):
        return "it did not run"
    former = record.get("wanted") or {}
    if former.get("code") != wanted.code:
        return "its code has changed"
    if former != wanted.document:
        return "its settings have changed"
    status = read_status(where)
    return "" if status.running else status.reason


def _start(where: project.Project, wanted: _Wanted) -> None:
    state = cloud_endpoints.state_dir(where)
    log = log_file(where)
    with files.explained("write", state):
        state.mkdir(parents=True, exist_ok=True)
        (state / "endpoints.json").unlink(missing_ok=True)
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as stream:
            process = subprocess.Popen(
                _command(state, wanted),
                cwd=where.root,
                env=_process_environment(where),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                # Ctrl-C at the terminal ends the command and not the cloud.
                start_new_session=True,
            )
    record = {
        "pid": process.pid,
        "started": processes.start_time(process.pid),
        "wanted": wanted.document,
    }
    files.write_json(_memory(where) / "process.json", record)
    _wait_ready(where, process)


def _command(state: Path, wanted: _Wanted) -> list[str]:
    command = [sys.executable, "-m", "verge.cloud", "serve", "--state", str(state)]
    command += ["--region", wanted.region]
    for name, port in wanted.ports.items():
        command += [f"--{name}", str(port)]
    if wanted.https_port:
        command += ["--https-port", str(wanted.https_port)]
    for address in wanted.addresses:
        command += ["--device-address", address]
    return command


def _process_environment(where: project.Project) -> dict[str, str]:
    # Nothing of the user's AWS configuration may lead the local cloud elsewhere.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "PYTHONPATH": str(where.root / "src"), "PYTHONUNBUFFERED": "1"}


def _wait_ready(where: project.Project, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise FleetError(
                f"cannot start the local cloud: it ended with {process.returncode}\n"
                + _last_lines(where),
                f"all of its output: {log_file(where)}",
            )
        with contextlib.suppress(FleetError):
            found = cloud_endpoints.read_endpoints(where)
            if found.pid == process.pid and _answers(found.api):
                # It outlives this command and is not waited for.
                process.returncode = 0
                return
        time.sleep(_PAUSE)
    processes.kill(process.pid, signal.SIGKILL)
    process.wait()
    raise FleetError(
        f"cannot start the local cloud: not ready within {START_SECONDS:.0f} s\n"
        + _last_lines(where),
        f"all of its output: {log_file(where)}",
    )


def _last_lines(where: project.Project) -> str:
    try:
        lines = log_file(where).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(f"  {line}" for line in lines[-_LAST_LINES:])


def _answers(api: str) -> bool:
    """Whether something answers requests there, be it with an error of the API's."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{api}/greengrass/v2/components", timeout=ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except (OSError, ValueError):
        return False


def read_log(where: project.Project, lines: int) -> list[str]:
    """Return the last lines of the local cloud's log. Raises FleetError if there is none."""
    path = log_file(where)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        raise FleetError(
            "cannot show the log of the local cloud: it has never run", "`./inv cloud` starts it"
        ) from None
    return text.splitlines()[-lines:]


def describe(status: Status) -> dict[str, Any]:
    """Return a status as one plain document."""
    import msgspec

    endpoints = msgspec.to_builtins(status.endpoints) if status.endpoints else None
    document: dict[str, Any] = json.loads(
        json.dumps({"running": status.running, "reason": status.reason, "endpoints": endpoints})
    )
    return document
