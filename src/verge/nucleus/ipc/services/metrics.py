"""Metrics of AWS's own components (Greengrass contract 4.8, 4.9)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import msgspec

from verge.nucleus.ipc import authorization, dispatch, errors, rpc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verge.nucleus.ipc import host

OWNERS = "aws."
"""How the names of components begin that may put metrics."""

_LONGEST_NAME = 32

Unit = Literal["BYTES", "BYTES_PER_SECOND", "COUNT", "COUNT_PER_SECOND", "MEGABYTES", "SECONDS"]


class Metric(msgspec.Struct):
    """One value of a metric."""

    name: str | None = None
    unit: Unit | None = None
    value: float | None = None


class PutComponentMetric(msgspec.Struct):
    """The request of PutComponentMetric."""

    metrics: list[Metric] | None = None


class MetricService:
    """Metrics, all of a request or none."""

    def __init__(self, metrics: host.Metrics, authorizer: authorization.Authorizer) -> None:
        self._metrics = metrics
        self._authorizer = authorizer

    def operations(self) -> Iterator[dispatch.Operation]:
        """Yield the operations served here."""
        yield dispatch.Unary(f"{rpc.NAMESPACE}PutComponentMetric", PutComponentMetric, self.put)

    def put(self, call: dispatch.Call, request: PutComponentMetric) -> None:
        """Record the values."""
        component = call.principal.name
        if not component.startswith(OWNERS):
            raise errors.unauthorized(
                f"Principal {component} is not authorized to perform {call.operation}: only "
                f"components whose names begin with {OWNERS} may"
            )
        for name in [metric.name for metric in request.metrics or []] or [None]:
            self._authorizer.check(component, authorization.METRICS, call.operation, name)
        if not request.metrics:
            raise errors.invalid_arguments("metrics is required and must not be empty")
        checked = [_checked(metric) for metric in request.metrics]
        for name, unit, value in checked:
            self._metrics.record(component, name, unit, value)


def _checked(metric: Metric) -> tuple[str, str, float]:
    if not metric.name or len(metric.name.encode()) > _LONGEST_NAME:
        raise errors.invalid_arguments(f"name must have 1 to {_LONGEST_NAME} bytes")
    unit = errors.required("unit", metric.unit)
    value: float = errors.required("value", metric.value)
    if not 0 <= value < math.inf:
        raise errors.invalid_arguments(f"value of {metric.name} must not be negative")
    return metric.name, unit, value
