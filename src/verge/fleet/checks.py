"""The checks and tests that CI runs, as named commands."""

from __future__ import annotations

import concurrent.futures
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verge.fleet import errors, output, project

# Tests that only read the repository.
_STATIC_TESTS = (
    "tests/unit/test_architecture.py",
    "tests/unit/test_docs.py",
    "tests/unit/roles/test_interfaces.py",
)


@dataclass(frozen=True)
class Check:
    """A command that must succeed."""

    name: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CheckResult:
    """How a check ended."""

    name: str
    passed: bool
    seconds: float
    output: str = ""


def static_checks(where: project.Project) -> list[Check]:
    """Return the checks that run nothing of the product."""
    python = sys.executable
    component_sources = sorted(
        str(path.relative_to(where.root)) for path in (where.root / "components").glob("*/src")
    )
    return [
        Check("ruff", (python, "-m", "ruff", "check", ".")),
        Check("ruff format", (python, "-m", "ruff", "format", "--check", ".")),
        Check("mypy", (python, "-m", "mypy", "src", "tests", "tasks.py", "molecule")),
        *(
            Check(f"mypy {Path(source).parent.name}", (python, "-m", "mypy", source))
            for source in component_sources
        ),
        Check("codespell", ("codespell",)),
        Check("yamllint", ("yamllint", "--strict", ".")),
        Check("ansible-lint", ("ansible-lint", "-q", "playbooks", "roles", "molecule")),
        Check("architecture, roles and docs", (python, "-m", "pytest", "-q", *_STATIC_TESTS)),
    ]


def run_checks(
    where: project.Project, checks: Sequence[Check], reporter: output.Reporter
) -> list[CheckResult]:
    """Run the checks side by side, one a core, and return how each ended."""
    results = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        futures = [pool.submit(_run_check, where, check) for check in checks]
        for future in concurrent.futures.as_completed(futures):
            result = future.result()
            word = "ok" if result.passed else "FAILED"
            reporter.detail(f"{result.name}: {word} in {result.seconds:.1f} s")
            if not result.passed:
                sys.stderr.write(result.output + "\n")
            results.append(result)
    return results


def _run_check(where: project.Project, check: Check) -> CheckResult:
    began = time.monotonic()
    done = subprocess.run(
        check.command,
        cwd=where.root,
        env={**os.environ, **dict(check.environment)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return CheckResult(
        check.name, done.returncode == 0, time.monotonic() - began, output=done.stdout
    )


def raise_for_failures(results: Sequence[CheckResult]) -> None:
    """Raise FleetError if a check failed."""
    failed = sorted(result.name for result in results if not result.passed)
    if failed:
        raise errors.FleetError(
            f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}",
            hint="their output stands above",
        )


def run_live(where: project.Project, check: Check, reporter: output.Reporter) -> None:
    """Run a long test with its output shown as it comes. Raises FleetError if it fails."""
    reporter.step(check.name)
    began = time.monotonic()
    done = subprocess.run(
        check.command, cwd=where.root, env={**os.environ, **dict(check.environment)}, check=False
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise errors.FleetError(
            f"{check.name} failed after {seconds:.0f} s", hint="the reason stands above"
        )
    reporter.detail(f"{check.name}: ok in {seconds:.0f} s")
