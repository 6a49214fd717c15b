"""The settings a job is created with, checked as the service checks them (contract 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from verge.cloud.jobs import errors

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class _RateIncrease(msgspec.Struct, forbid_unknown_fields=True):
    numberOfNotifiedThings: _Positive | None = None  # noqa: N815
    numberOfSucceededThings: _Positive | None = None  # noqa: N815

    def __post_init__(self) -> None:
        if (self.numberOfNotifiedThings is None) == (self.numberOfSucceededThings is None):
            raise ValueError("name one of numberOfNotifiedThings and numberOfSucceededThings")


class _ExponentialRate(msgspec.Struct, forbid_unknown_fields=True):
    baseRatePerMinute: Annotated[int, msgspec.Meta(ge=1, le=1000)]  # noqa: N815
    incrementFactor: Annotated[float, msgspec.Meta(ge=1, le=5)]  # noqa: N815
    rateIncreaseCriteria: _RateIncrease  # noqa: N815


class _Rollout(msgspec.Struct, forbid_unknown_fields=True):
    maximumPerMinute: _Positive | None = None  # noqa: N815
    exponentialRate: _ExponentialRate | None = None  # noqa: N815


class _Criterion(msgspec.Struct, forbid_unknown_fields=True):
    failureType: Literal["FAILED", "REJECTED", "TIMED_OUT", "ALL"]  # noqa: N815
    action: Literal["CANCEL"]
    thresholdPercentage: Annotated[float, msgspec.Meta(gt=0, le=100)]  # noqa: N815
    minNumberOfExecutedThings: _Positive  # noqa: N815


class _Abort(msgspec.Struct, forbid_unknown_fields=True):
    criteriaList: Annotated[list[_Criterion], msgspec.Meta(min_length=1)]  # noqa: N815


class _Timeout(msgspec.Struct, forbid_unknown_fields=True):
    inProgressTimeoutInMinutes: Annotated[int, msgspec.Meta(ge=1, le=10080)] | None = None  # noqa: N815


_T = TypeVar("_T")


def _check(name: str, value: Mapping[str, Any], kind: type[_T]) -> None:
    if not value:
        return
    try:
        msgspec.convert(dict(value), kind)
    except msgspec.ValidationError as error:
        raise errors.refuse(f"cannot use {name}: {error}") from error


def check(rollout: Mapping[str, Any], abort: Mapping[str, Any], timeout: Mapping[str, Any]) -> None:
    """Refuse settings that the service would refuse. Raises JobError (InvalidRequest)."""
    _check("jobExecutionsRolloutConfig", rollout, _Rollout)
    _check("abortConfig", abort, _Abort)
    _check("timeoutConfig", timeout, _Timeout)
