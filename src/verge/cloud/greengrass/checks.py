"""What CreateDeployment refuses beyond its shape (contract 3.1 and 5.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from verge.cloud import ports, strict_json
from verge.cloud.greengrass import arns, components, faults
from verge.recipe import errors, pointer

TIMEOUT_MINUTES = range(1, 10_081)

Request = Mapping[str, Any]


def target(field: str, request: Request, names: arns.Names, things: ports.Things) -> arns.Target:
    """Return the thing or group that a field names. Raises NotFoundFault."""
    arn = request[field]
    found = arns.Target.parse(arn)
    if found is None:
        raise faults.invalid(field, f"{arn} is the ARN of neither a thing nor a thing group")
    exists = things.exists if found.kind == arns.THING else things.group_exists
    if not names.owns(found.region, found.account) or not exists(found.name):
        raise faults.NotFoundFault(f"cannot find the target {arn}", arn, found.kind)
    return found


def versions(request: Request, store: components.Store) -> None:
    """Refuse components that do not exist or cannot be deployed."""
    for name, spec in request.get("components", {}).items():
        version = spec["componentVersion"]
        found = store.find(name, version)
        label = f"{name}:{version}"
        if found is None:
            raise faults.NotFoundFault(
                f"cannot find the component version {label}; publish it first",
                label,
                "componentVersion",
            )
        if found.state != components.DEPLOYABLE:
            raise faults.ConflictFault(
                f"the component version {label} is {found.state}, not DEPLOYABLE",
                store.arn(found),
                "componentVersion",
            )


def values(request: Request) -> None:
    """Refuse configuration updates and job settings that mean nothing."""
    found = [*_configuration(request), *_rollout(request), *_abort(request), *_timeout(request)]
    if found:
        text = "; ".join(f"{field}: {reason}" for field, reason in found)
        raise faults.ValidationFault(f"Invalid Input: {text}", fields=found)


def _configuration(request: Request) -> Iterator[tuple[str, str]]:
    for name, spec in request.get("components", {}).items():
        update = spec.get("configurationUpdate", {})
        place = f"components.{name}.configurationUpdate"
        if "merge" in update and not _is_object(update["merge"]):
            yield f"{place}.merge", "must be the text of a JSON object"
        for path in update.get("reset", ()):
            try:
                pointer.parse(path)
            except errors.RecipeError as error:
                yield f"{place}.reset", str(error)


def _is_object(text: str) -> bool:
    try:
        return isinstance(strict_json.parse(text), dict)
    except ValueError:
        return False


def _rollout(request: Request) -> Iterator[tuple[str, str]]:
    config = request.get("iotJobConfiguration", {}).get("jobExecutionsRolloutConfig", {})
    rate = config.get("exponentialRate")
    if rate is None:
        return
    place = "iotJobConfiguration.jobExecutionsRolloutConfig.exponentialRate"
    if len(rate["rateIncreaseCriteria"]) != 1:
        yield (
            f"{place}.rateIncreaseCriteria",
            "must have exactly one of numberOfNotifiedThings and numberOfSucceededThings",
        )
    if _decimals(rate["incrementFactor"]) > 1:
        yield f"{place}.incrementFactor", "must have at most one digit after the decimal point"
    if config.get("maximumPerMinute", rate["baseRatePerMinute"]) < rate["baseRatePerMinute"]:
        yield f"{place}.baseRatePerMinute", "must not be more than maximumPerMinute"


def _abort(request: Request) -> Iterator[tuple[str, str]]:
    criteria = request.get("iotJobConfiguration", {}).get("abortConfig", {})
    for index, criterion in enumerate(criteria.get("criteriaList", ()), start=1):
        place = f"iotJobConfiguration.abortConfig.criteriaList.{index}.member"
        threshold = criterion["thresholdPercentage"]
        if threshold <= 0 or _decimals(threshold) > 2:
            yield (
                f"{place}.thresholdPercentage",
                "must be more than 0 and have at most two digits after the decimal point",
            )


def _timeout(request: Request) -> Iterator[tuple[str, str]]:
    config = request.get("iotJobConfiguration", {}).get("timeoutConfig", {})
    minutes = config.get("inProgressTimeoutInMinutes")
    if minutes is not None and minutes not in TIMEOUT_MINUTES:
        yield (
            "iotJobConfiguration.timeoutConfig.inProgressTimeoutInMinutes",
            f"must be from {TIMEOUT_MINUTES[0]} to {TIMEOUT_MINUTES[-1]}",
        )


def _decimals(number: float) -> int:
    exponent = Decimal(str(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0
