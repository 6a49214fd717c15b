"""Core devices: what they report, what is asked of them and how fast it is answered."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import cloud_doubles
from tests.unit.cloud.greengrass import conftest
from verge.cloud.greengrass import reports

Cloud = conftest.Cloud
refused = conftest.refused
WIRE = Path(__file__).parents[3] / "cases/wire"
LINE = cloud_doubles.group_arn("line1")


def installed(cloud: Cloud, thing: str = "press", topology: str = "ALL") -> dict[str, Any]:
    """Return the components on a device by name."""
    answer = cloud.client.list_installed_components(
        coreDeviceThingName=thing, topologyFilter=topology
    )
    return {each["componentName"]: each for each in answer["installedComponents"]}


def test_record(cloud: Cloud) -> None:
    """A device's record begins with its first message and shows what it says."""
    with refused("ResourceNotFoundException"):
        cloud.client.get_core_device(coreDeviceThingName="press")
    cloud.report("press", overallDeviceStatus="UNHEALTHY")
    found = cloud.client.get_core_device(coreDeviceThingName="press")
    assert found["coreVersion"] == "2.18.0"
    assert (found["platform"], found["architecture"]) == ("linux", "amd64")
    assert found["runtime"] == "aws_nucleus_classic"
    assert found["status"] == "UNHEALTHY"
    assert found["lastStatusUpdateTimestamp"].timestamp() == 1_700_000_000.0


def test_pinned_message(cloud: Cloud) -> None:
    """The pinned message brings components with state, reason, codes and deployment."""
    cloud.things.add("line1", "press-01")
    cloud.publish("com.example.Edge")
    made = [cloud.deploy(LINE, "com.example.Edge")["deploymentId"] for _ in range(3)]
    cloud.service.report("press-01", json.loads((WIRE / "status.json").read_text()))
    edge = installed(cloud, "press-01")["com.example.Edge"]
    assert edge["componentVersion"] == "1.2.0"
    assert edge["lifecycleState"] == "BROKEN"
    assert edge["lifecycleStateDetails"] == "the script ended with 1"
    assert edge["lifecycleStatusCodes"] == ["RUN_ERROR"]
    assert edge["isRoot"] is True
    assert edge["lastInstallationSource"] == made[2]
    assert edge["lastReportedTimestamp"].timestamp() == 1_700_000_031.0


def test_partial_and_complete(cloud: Cloud) -> None:
    """A partial message changes what it lists; a complete one replaces everything."""
    a, b = conftest.component("a"), conftest.component("b", isRoot=False)
    cloud.report("press", components=[a, b])
    broken = conftest.component("a", "BROKEN")
    cloud.report("press", sequenceNumber=2, messageType="PARTIAL", components=[broken])
    assert {n: c["lifecycleState"] for n, c in installed(cloud).items()} == {
        "a": "BROKEN",
        "b": "RUNNING",
    }
    assert set(installed(cloud, topology="ROOT")) == {"a"}
    cloud.report("press", sequenceNumber=3, components=[b])
    assert set(installed(cloud)) == {"b"}


def test_uninstalled(cloud: Cloud) -> None:
    """A component reported UNINSTALLED is gone."""
    cloud.report("press", components=[conftest.component("a")])
    gone = conftest.component("a", "UNINSTALLED")
    cloud.report("press", sequenceNumber=2, messageType="PARTIAL", components=[gone])
    assert installed(cloud) == {}


def test_chunks(cloud: Cloud) -> None:
    """A complete message in chunks replaces everything once its last chunk has come."""
    cloud.report("press", components=[conftest.component("old")])
    chunks = [
        {
            "sequenceNumber": 2,
            "chunkInfo": {"chunkId": number, "totalChunks": 2},
            "components": [conftest.component(name)],
        }
        for number, name in ((1, "a"), (2, "b"))
    ]
    cloud.report("press", **chunks[1])
    assert set(installed(cloud)) == {"old", "b"}
    cloud.report("press", **chunks[1])
    cloud.report("press", **chunks[0])
    assert set(installed(cloud)) == {"a", "b"}


def test_old_messages(cloud: Cloud) -> None:
    """A message that comes again, or after a later one, changes nothing."""
    cloud.report("press", sequenceNumber=5, timestamp=50)
    for sequence, sent in ((5, 50), (4, 40), (4, 50)):
        cloud.report(
            "press",
            sequenceNumber=sequence,
            timestamp=sent,
            overallDeviceStatus="UNHEALTHY",
            components=[conftest.component("a")],
        )
    assert cloud.client.get_core_device(coreDeviceThingName="press")["status"] == "HEALTHY"
    assert installed(cloud) == {}


@pytest.mark.parametrize(("sequence", "sent"), [(0, 60), (6, 10)], ids=["set up anew", "clock"])
def test_numbers_that_begin_again(cloud: Cloud, sequence: int, sent: int) -> None:
    """A device set up anew counts from the start, and one without a clock counts on."""
    cloud.report("press", sequenceNumber=5, timestamp=50, components=[conftest.component("a")])
    cloud.report("press", sequenceNumber=sequence, timestamp=sent)
    assert installed(cloud) == {}


def test_status_change_time(cloud: Cloud) -> None:
    """A component's time of change moves with its state or version only."""
    for number, (sent, state) in enumerate(
        ((1000, "RUNNING"), (2000, "RUNNING"), (3000, "ERRORED")), start=1
    ):
        entry = conftest.component("a", state)
        cloud.report("press", sequenceNumber=number, timestamp=sent, components=[entry])
        found = installed(cloud)["a"]
        assert found["lastReportedTimestamp"].timestamp() == sent / 1000
        assert found["lastStatusChangeTimestamp"].timestamp() == (1 if number < 3 else 3)


def test_local_components(cloud: Cloud) -> None:
    """What no deployment of the cloud brought came locally."""
    entry = conftest.component("a", fleetConfigArns=["f337bbd2-0eba-46bf-8d31-9350d0803082"])
    cloud.report("press", components=[entry])
    assert installed(cloud)["a"]["lastInstallationSource"] == "LOCAL"


def test_filters(cloud: Cloud) -> None:
    """Devices are listed by status, runtime and the groups whose deployments succeeded on them."""
    cloud.things.add("line1", "a", "b", "c")
    cloud.report("a")
    cloud.report("b", overallDeviceStatus="UNHEALTHY", runtime="aws_nucleus_lite")
    cloud.report("c")
    job = cloud.deploy(LINE)["iotJobId"]
    cloud.jobs.step(job, "a", "SUCCEEDED")
    cloud.jobs.step(job, "b", "FAILED")
    cloud.things.remove("line1", "a")

    def names(**filters: str) -> list[str]:
        answer = cloud.client.list_core_devices(**filters)
        return [each["coreDeviceThingName"] for each in answer["coreDevices"]]

    assert names() == ["a", "b", "c"]
    assert names(status="UNHEALTHY") == ["b"]
    assert names(runtime="aws_nucleus_lite") == ["b"]
    assert names(runtime="aws_nucleus_classic", status="UNHEALTHY") == []
    assert names(thingGroupArn=LINE) == ["a"]
    assert names(thingGroupArn=LINE, status="UNHEALTHY") == []
    arn = json.loads(json.dumps(cloud.jobs.created[job].document))["configurationArn"]
    cloud.report(
        "c",
        sequenceNumber=2,
        deploymentInformation={"status": "SUCCEEDED", "fleetConfigurationArnForStatus": arn},
    )
    assert names(thingGroupArn=LINE) == ["a", "c"]


def test_removal(cloud: Cloud) -> None:
    """A removed record takes its tags, components and clients along; the next message is new."""
    cloud.things.add("line1", "press", "sensor")
    cloud.report("press", components=[conftest.component("a")])
    arn = "arn:aws:greengrass:eu-west-1:123456789012:coreDevices:press"
    cloud.client.tag_resource(resourceArn=arn, tags={"team": "edge"})
    cloud.client.batch_associate_client_device_with_core_device(
        coreDeviceThingName="press", entries=[{"thingName": "sensor"}]
    )
    cloud.client.delete_core_device(coreDeviceThingName="press")
    for call in (
        cloud.client.get_core_device,
        cloud.client.delete_core_device,
        cloud.client.list_installed_components,
        cloud.client.list_effective_deployments,
        cloud.client.list_client_devices_associated_with_core_device,
    ):
        with refused("ResourceNotFoundException"):
            call(coreDeviceThingName="press")
    cloud.report("press")
    found = cloud.client.get_core_device(coreDeviceThingName="press")
    assert "tags" not in found
    assert installed(cloud) == {}


def test_client_devices(cloud: Cloud) -> None:
    """Things are associated once, listed by name, and those unknown are named."""
    cloud.things.add("line1", "press", "s1", "s2")
    cloud.report("press")
    client, core = cloud.client, {"coreDeviceThingName": "press"}
    entries = [{"thingName": name} for name in ("s2", "s1", "s1", "none")]
    answer = client.batch_associate_client_device_with_core_device(**core, entries=entries)
    (error,) = answer["errorEntries"]
    assert (error["thingName"], error["code"]) == ("none", "ResourceNotFoundException")
    pages = client.get_paginator("list_client_devices_associated_with_core_device").paginate(
        **core, PaginationConfig={"PageSize": 1}
    )
    named = [d["thingName"] for page in pages for d in page["associatedClientDevices"]]
    assert named == ["s1", "s2"]
    answer = client.batch_disassociate_client_device_from_core_device(**core, entries=entries[1:])
    assert [e["thingName"] for e in answer["errorEntries"]] == ["none"]


@pytest.mark.parametrize("status", [None, "WELL", 7, ["HEALTHY"]])
def test_messages_without_status(cloud: Cloud, status: Any) -> None:
    """A message that does not say how the device is makes no record."""
    with pytest.raises(reports.ReportError, match="overallDeviceStatus"):
        cloud.report("press", overallDeviceStatus=status)
    with refused("ResourceNotFoundException"):
        cloud.client.get_core_device(coreDeviceThingName="press")


VALUES: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({"a": []})
)
KEYS = st.sampled_from([*conftest.status("press"), "chunkInfo", "deploymentInformation", "runtime"])
ENTRIES = st.dictionaries(st.sampled_from(list(conftest.component("a"))), VALUES)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(KEYS, VALUES | st.lists(VALUES | ENTRIES, max_size=3)))
def test_any_message(cloud: Cloud, members: dict[str, Any]) -> None:
    """Whatever a device sends is taken in or refused, and the API answers afterwards."""
    try:
        cloud.service.report("press", {**conftest.status("press"), **members})
    except reports.ReportError:
        return
    shown = cloud.client.get_core_device(coreDeviceThingName="press")
    assert shown["status"] in reports.STATUSES
    installed(cloud)


@pytest.mark.parametrize("digits", [19, 20, 5000])
def test_revision_beyond_all_numbers(cloud: Cloud, digits: int) -> None:
    """A message that names a configuration that cannot be is taken in as one that names none."""
    arn = f"arn:aws:greengrass:eu-west-1:123456789012:configuration:thing/press:{'9' * digits}"
    entry = conftest.component("a", fleetConfigArns=[arn])
    told = {"fleetConfigurationArnForStatus": arn, "status": "SUCCEEDED"}
    cloud.report("press", components=[entry], deploymentInformation=told)
    assert installed(cloud)["a"]["lastInstallationSource"] == "LOCAL"


@pytest.mark.parametrize("sent", [1_700_000_000_000_000, 2**63 - 1])
def test_clock_beyond_all_dates(cloud: Cloud, sent: int) -> None:
    """A device that counts microseconds is listed with the others; its time is that of arrival."""
    entry = conftest.component("a")
    cloud.report("press", timestamp=sent, components=[entry])
    cloud.report("oven")
    listed = cloud.client.list_core_devices()["coreDevices"]
    assert [each["coreDeviceThingName"] for each in listed] == ["oven", "press"]
    assert listed[1]["lastStatusUpdateTimestamp"].timestamp() == cloud.clock.now
    assert installed(cloud)["a"]["lastReportedTimestamp"].timestamp() == cloud.clock.now


def test_pages_of_many_devices(cloud: Cloud) -> None:
    """A page of 2,000 devices that each run twenty components takes 50 ms at most."""
    entries = [conftest.component(f"component-{n}") for n in range(20)]
    with cloud.database.transaction():
        for number in range(2000):
            status = "UNHEALTHY" if number % 40 == 0 else "HEALTHY"
            cloud.report(f"d{number:04}", overallDeviceStatus=status, components=entries)
            cloud.service._registry.succeeded(f"d{number:04}", "line1")
    for filters in ({}, {"status": "UNHEALTHY"}, {"thingGroupArn": LINE}):
        spent: list[float] = []
        seen, token = 0, None
        while token or not spent:
            more: dict[str, str] = {"nextToken": token} if token else {}
            begin = time.perf_counter()
            answer = cloud.client.list_core_devices(maxResults=100, **filters, **more)
            spent.append(time.perf_counter() - begin)
            seen += len(answer["coreDevices"])
            token = answer.get("nextToken")
        assert seen == (50 if "status" in filters else 2000)
        assert sorted(spent)[len(spent) // 2] <= 0.05
