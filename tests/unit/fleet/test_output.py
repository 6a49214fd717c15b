"""Progress goes to stderr, answers to stdout."""

from __future__ import annotations

import json

import pytest

from verge.fleet import errors, output


def test_progress_and_answer_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` output stays parseable while progress is shown."""
    reporter = output.Reporter()
    reporter.step("Building")
    reporter.detail("one")
    reporter.now("shown on a terminal only")
    output.print_json({"b": 1, "a": [2]})
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"a": [2], "b": 1}
    assert shown.err == "* Building\n  > one\n"


def test_error_ends_with_its_next_step() -> None:
    """An error is one sentence, then a TIP."""
    error = errors.FleetError("cannot deploy to press-07", hint="add it to the inventory")
    assert output.render_error(error) == (
        "ERROR cannot deploy to press-07\nTIP add it to the inventory"
    )


def test_table_keeps_markup_like_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets in a log line or a reason are text, not style."""
    output.print_table(["why"], [["exit code [1] of [red]"]])
    assert "exit code [1] of [red]" in capsys.readouterr().out
