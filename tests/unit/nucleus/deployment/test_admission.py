"""Which deployments of the cloud are carried out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from verge.nucleus.deployment import admission, device_documents, failures, groups
from verge.nucleus.deployment.documents import Channel, Fleet, Record
from verge.nucleus.ipc import host
from verge.nucleus.store import database

WIRE = Path(__file__).parents[3] / "cases" / "wire"
DOCUMENT = json.loads((WIRE / "device_document.json").read_text())
GROUP, ARN = "thinggroup/line1", DOCUMENT["configurationArn"]


@pytest.fixture
def known(tmp_path: Path) -> Iterator[groups.Groups]:
    """Return groups of which one had a deployment made at the time 100."""
    opened = database.Database(tmp_path / "db")
    found = groups.Groups(opened)
    found.note(GROUP, 100.0, ARN, [GROUP])
    yield found
    opened.close()


def record(created: float = 200.0, group: str = GROUP, **members: Any) -> Record:
    fleet = Fleet(
        channel=Channel.JOB, deployment_id="d", configuration_arn=ARN, group=group, **members
    )
    return Record(id="d", created=created, request=host.LocalDeployment(), fleet=fleet)


@pytest.mark.parametrize(
    ("created", "group"), [(200.0, GROUP), (100.0, GROUP), (1.0, "thinggroup/other")]
)
def test_newer_or_equal_is_carried_out(known: groups.Groups, created: float, group: str) -> None:
    """The same deployment may come again, and every group has its own time."""
    admission.check(record(created, group), known)


def test_older_is_rejected(known: groups.Groups) -> None:
    """A document made before the last success of its group is stale (contract 3.4)."""
    with pytest.raises(admission.StaleError, match=GROUP) as error:
        admission.check(record(99.0), known)
    assert error.value.error_stack[-1] == "REJECTED_STALE_DEPLOYMENT"


def test_unknown_capability_fails(known: groups.Groups) -> None:
    """What this nucleus cannot do fails the deployment by name (contract 3.2)."""
    with pytest.raises(failures.DeploymentError, match="TELEPATHY") as error:
        admission.check(record(capabilities=["TELEPATHY"]), known)
    assert error.value.code == "NUCLEUS_MISSING_REQUIRED_CAPABILITIES"


def test_reference_is_replaced_by_the_document() -> None:
    """The downloaded document counts, and the job it came with stays."""
    one = record(capabilities=[device_documents.LARGE_CONFIGURATION], job_id="j", queued_at=5.0)
    assert one.fleet
    assert admission.is_reference(one.fleet)
    content = {**DOCUMENT, "requiredCapabilities": [device_documents.LARGE_CONFIGURATION]}
    admission.replace(one, content, 0.0)
    assert not admission.is_reference(one.fleet)
    assert (one.fleet.job_id, one.fleet.queued_at, one.fleet.deployment_id) == ("j", 5.0, "d")
    assert set(one.request.roots_to_add) == set(DOCUMENT["components"])
    assert one.created == 1_700_000_000


def test_reference_to_another_document_is_refused() -> None:
    """A document about another configuration than the one announced is not used."""
    other = {**DOCUMENT, "configurationArn": ARN.replace(":3", ":4")}
    with pytest.raises(device_documents.MalformedError, match=":4"):
        admission.replace(record(), other, 0.0)
