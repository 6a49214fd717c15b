"""ResolveComponentCandidates as a device uses it (contract 5.7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contract.cloud import account as accounts

Account = accounts.Account
refused = accounts.refused

pytestmark = accounts.local_only("it is an operation of the data plane, for devices alone")

LINUX = {"os": "linux", "architecture": "amd64", "runtime": "aws_nucleus_lite"}


def resolve(
    account: Account, candidate: dict[str, Any], attributes: dict[str, str] | None = None
) -> dict[str, Any]:
    """Resolve one candidate."""
    (found,) = account.greengrass.resolve_component_candidates(
        platform={"name": "linux", "attributes": attributes or LINUX},
        componentCandidates=[candidate],
    )["resolvedComponentVersions"]
    return dict(found)


def test_highest_version(account: Account) -> None:
    """The highest version that fits is the answer, with its recipe as JSON."""
    name = account.name("c")
    arns = [account.publish(name, version) for version in ("1.0.0", "1.2.0", "2.0.0")]
    found = resolve(
        account,
        {
            "componentName": name,
            "componentVersion": "1.0.0",
            "versionRequirements": {"thinggroup/line": ">=1.0.0 <2.0.0"},
        },
    )
    assert (found["arn"], found["componentVersion"]) == (arns[1], "1.2.0")
    assert found["componentName"] == name
    assert json.loads(found["recipe"])["ComponentVersion"] == "1.2.0"
    assert found["vendorGuidance"] == "ACTIVE"


@pytest.mark.parametrize(
    ("requirements", "attributes", "code", "said"),
    [
        ({"a": "3.0.0"}, LINUX, "ResourceNotFoundException", "no usable version"),
        ({"a": "1.0.0"}, {"os": "windows"}, "ResourceNotFoundException", "claim platform"),
        ({"a": "1.0.0", "b": "2.0.0"}, LINUX, "ConflictException", "exclude one another"),
    ],
)
def test_refusals(
    account: Account,
    requirements: dict[str, str],
    attributes: dict[str, str],
    code: str,
    said: str,
) -> None:
    """What does not fit is refused in the words that nuclei look for."""
    name = account.name("c")
    for version in ("1.0.0", "2.0.0"):
        account.publish(name, version)
    candidate = {"componentName": name, "versionRequirements": requirements}
    with refused(code) as caught:
        resolve(account, candidate, attributes)
    assert said in str(caught.value)
