"""Run a playbook and read what it did, event by event."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verge.fleet import errors, files, output, project

DEPLOYMENT_MODULE = "verge_deployment"
"""The module of role `deployment`, whose result lists changes by component."""

WITHOUT_CLOUD: Mapping[str, Any] = {"site_cloud": "none"}
"""Variables of a run that leaves the devices without a cloud."""

LOG_LINES_KEPT = 2000
"""Lines of an Ansible message shown at most; a log tail fits, a runaway message does not."""


@dataclass(frozen=True)
class HostSummary:
    """What happened on one host; counts of tasks."""

    changed: int = 0
    failed: int = 0
    unreachable: int = 0


@dataclass(frozen=True)
class TaskFailure:
    """The task that stopped a host, and what it said."""

    host: str
    task: str
    message: str

    def __str__(self) -> str:
        return f"{self.host}: {self.task}: {self.message}"


@dataclass
class PlaybookResult:
    """The outcome of one run."""

    playbook: str
    hosts: Mapping[str, HostSummary] = field(default_factory=dict)
    changes: list[tuple[str, str]] = field(default_factory=list)
    """(host, task) of each task that changed something, in order."""
    failures: dict[str, TaskFailure] = field(default_factory=dict)
    """The last failure of each host."""
    deployments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """What the deployment did or, in a check, would do on each host: `component`, `action`,
    `before`, `after`, `path`."""
    notes: list[str] = field(default_factory=list)
    """Lines that are no event: warnings, and why Ansible did not start."""


class PlaybookError(errors.FleetError):
    """A playbook failed; `.result` holds what happened."""

    def __init__(self, message: str, result: PlaybookResult, hint: str | None) -> None:
        super().__init__(message, hint=hint)
        self.result = result


def run_playbook(
    where: project.Project,
    name: str,
    *,
    inventory: Path,
    limit: Sequence[str] = (),
    variables: Mapping[str, Any] | None = None,
    check: bool = False,
    diff: bool = False,
    reporter: output.Reporter,
) -> PlaybookResult:
    """Run `playbooks/<name>.yml` and return what it did.

    One playbook runs at a time in a checkout; a second waits and says for whom. Raises
    PlaybookError if a host failed or was unreachable, or if Ansible could not start. The events go
    to `.verge/logs/<name>.jsonl`.
    """
    command = [str(Path(sys.executable).with_name("ansible-playbook"))]
    command += ["--inventory", str(inventory), str(where.root / "playbooks" / f"{name}.yml")]
    if limit:
        command += ["--limit", ",".join(limit)]
    for key, value in (variables or {}).items():
        command += ["--extra-vars", json.dumps({key: value})]
    command += ["--check"] * check + ["--diff"] * diff
    log = where.state_dir / "logs" / f"{name}.jsonl"
    log.parent.mkdir(parents=True, exist_ok=True)
    result = PlaybookResult(name)
    with (
        files.held(where.state_dir / "playbook", f"playbook {name}", reporter.detail) as lock,
        log.open("w", encoding="utf-8") as record,
        subprocess.Popen(
            command,
            cwd=where.root,
            env=_environment(where),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Ansible outlives a command that is killed; the next run waits for its end.
            pass_fds=[lock],
        ) as process,
    ):
        for line in process.stdout or ():
            record.write(line)
            _read_line(line, result, reporter)
    reporter.clear()
    if process.returncode:
        raise _failure(result, process.returncode, log)
    return result


def _environment(where: project.Project) -> dict[str, str]:
    environment = dict(os.environ)
    # Without .pyc files Ansible starts twice as slowly.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment["ANSIBLE_CONFIG"] = str(where.root / "ansible.cfg")
    environment["ANSIBLE_STDOUT_CALLBACK"] = "ansible.posix.jsonl"
    environment["ANSIBLE_DEPRECATION_WARNINGS"] = "False"
    # Ansible refuses to start under a locale that is not UTF-8.
    environment.setdefault("LC_ALL", "C.UTF-8")
    return environment


def _read_line(line: str, result: PlaybookResult, reporter: output.Reporter) -> None:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if not isinstance(event, dict) or "_event" not in event:
        if line.strip():
            result.notes.append(line.rstrip())
        return
    kind = event["_event"]
    if kind.endswith("_task_start"):
        reporter.now(event["task"]["name"])
    elif kind == "v2_playbook_on_stats":
        result.hosts = dict(_read_summaries(event["stats"]))
    elif kind.startswith("v2_runner_on_"):
        _read_outcome(kind, event, result, reporter)


def _read_summaries(stats: Mapping[str, Any]) -> Iterator[tuple[str, HostSummary]]:
    for host, counts in stats.items():
        yield (
            host,
            HostSummary(
                changed=counts.get("changed", 0),
                failed=counts.get("failures", 0),
                unreachable=counts.get("unreachable", 0),
            ),
        )


def _read_outcome(
    kind: str, event: Mapping[str, Any], result: PlaybookResult, reporter: output.Reporter
) -> None:
    task = event["task"]["name"]
    for host, outcome in event.get("hosts", {}).items():
        if outcome.get("action") == DEPLOYMENT_MODULE and "changes" in outcome:
            result.deployments[host] = outcome["changes"]
        if kind == "v2_runner_on_ok" and outcome.get("changed"):
            result.changes.append((host, task))
            reporter.detail(f"{host}: {task}")
        elif kind in ("v2_runner_on_failed", "v2_runner_on_unreachable"):
            result.failures[host] = TaskFailure(host, task, _message(outcome))


def _message(outcome: Mapping[str, Any]) -> str:
    """Return what a failed task says, the items of a loop included."""
    parts = [str(outcome.get("msg", "")).strip()]
    parts += [
        str(item.get("msg", "")).strip()
        for item in outcome.get("results", [])
        if isinstance(item, dict) and item.get("failed")
    ]
    parts += [str(outcome[key]).strip() for key in ("stderr", "module_stderr") if outcome.get(key)]
    lines = "\n".join(dict.fromkeys(part for part in parts if part)).splitlines()
    return "\n".join(lines[:LOG_LINES_KEPT]) or "no message"


def _failure(result: PlaybookResult, code: int, log: Path) -> PlaybookError:
    lost = [name for name, host in result.hosts.items() if host.failed or host.unreachable]
    if not lost:
        said = "\n".join(result.notes[-20:]) or f"ansible-playbook exited with {code}"
        return PlaybookError(
            f"cannot run playbooks/{result.playbook}.yml: {said}", result, f"all events: {log}"
        )
    told = [
        str(result.failures[name])
        if name in result.failures
        else f"{name}: stopped because another device failed"
        for name in lost
    ]
    hint = f"all events: {log}"
    if any(result.hosts[name].unreachable for name in lost):
        hint = "check that the device runs and that SSH reaches it (./inv status), then repeat"
    return PlaybookError("\n".join(told), result, hint)
