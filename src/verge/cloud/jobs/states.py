"""The words for how far a job and its executions are."""

from __future__ import annotations

QUEUED = "QUEUED"
IN_PROGRESS = "IN_PROGRESS"
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"
REJECTED = "REJECTED"
TIMED_OUT = "TIMED_OUT"
REMOVED = "REMOVED"
CANCELED = "CANCELED"
COMPLETED = "COMPLETED"

PENDING = (IN_PROGRESS, QUEUED)
"""Executions that wait for their thing, in the order in which it is to take them."""
TERMINAL = frozenset({SUCCEEDED, FAILED, REJECTED, TIMED_OUT, REMOVED, CANCELED})
REPORTABLE = frozenset({IN_PROGRESS, SUCCEEDED, FAILED, REJECTED})
"""What a device may say of an execution."""
EXECUTED = frozenset({SUCCEEDED, FAILED, REJECTED, TIMED_OUT})
"""Ends that a device brought about, by what it said or by its silence."""
FAILURES = {
    FAILED: frozenset({FAILED}),
    REJECTED: frozenset({REJECTED}),
    TIMED_OUT: frozenset({TIMED_OUT}),
    "ALL": frozenset({FAILED, REJECTED, TIMED_OUT}),
}
"""What each `failureType` of an abort criterion counts."""
