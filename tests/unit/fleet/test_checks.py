"""Checks run as commands; how they end decides."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from verge.fleet import checks, errors, output, project


def _check(name: str, code: str) -> checks.Check:
    return checks.Check(name, (sys.executable, "-c", code))


def test_failed_checks_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every check runs, and the ones that failed are named and show their output."""
    results = checks.run_checks(
        project.Project(tmp_path),
        [_check("good", "pass"), _check("bad", "print('a stain'); raise SystemExit(4)")],
        output.Reporter(),
    )
    with pytest.raises(errors.FleetError, match="1 of 2 checks failed: bad"):
        checks.raise_for_failures(results)
    assert "a stain" in capfd.readouterr().err


def test_passed_checks_raise_nothing(tmp_path: Path) -> None:
    """A run without failures is silent."""
    results = checks.run_checks(
        project.Project(tmp_path), [_check("good", "pass")], output.Reporter()
    )
    checks.raise_for_failures(results)
    assert [result.passed for result in results] == [True]


def test_live_check_that_fails_stops_the_suite(tmp_path: Path) -> None:
    """A long test that fails raises with its name."""
    with pytest.raises(errors.FleetError, match="slow failed"):
        checks.run_live(
            project.Project(tmp_path), _check("slow", "raise SystemExit(1)"), output.Reporter()
        )
