"""When a job that fails on too many things is aborted: `abortConfig` (contract 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from verge.cloud.jobs import states


def met(abort: Mapping[str, Any], counts: Mapping[str, int]) -> str | None:
    """Return which criterion is met, in words, or None; `counts` are executions by status.

    Shares are of the things that have executed the job, whatever came of it. So the first of many
    things that fails does not stop the job before `minNumberOfExecutedThings` have ended it.
    """
    executed = sum(counts.get(status, 0) for status in states.EXECUTED)
    for criterion in abort.get("criteriaList", ()):
        if not executed or executed < criterion["minNumberOfExecutedThings"]:
            continue
        failed = sum(counts.get(each, 0) for each in states.FAILURES[criterion["failureType"]])
        share = 100 * failed / executed
        if failed and share >= criterion["thresholdPercentage"]:
            return (
                f"{criterion['failureType']} on {failed} of {executed} things: {share:.4g} % "
                f"reaches {criterion['thresholdPercentage']:g} %"
            )
    return None
