"""Many clients at once: one effect for one name, one token, one revision."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from typing import Any

from botocore import exceptions

from tests.support import cloud_doubles
from tests.unit.cloud.greengrass import conftest

Cloud = conftest.Cloud
CLIENTS = 8
LINE = cloud_doubles.group_arn("line1")


def together(call: Callable[[int], Any]) -> list[Any]:
    """Call it from many threads at once; what each got, or the code of its refusal."""
    barrier = threading.Barrier(CLIENTS)

    def one(number: int) -> Any:
        barrier.wait(conftest.PATIENCE)
        try:
            return call(number)
        except exceptions.ClientError as error:
            return error.response["Error"]["Code"]

    with futures.ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(one, range(CLIENTS)))


def test_one_version(cloud: Cloud) -> None:
    """Of many that register the same version one succeeds and the others conflict."""
    text = conftest.recipe("c")
    answers = together(lambda _: cloud.client.create_component_version(inlineRecipe=text)["arn"])
    counted = Counter(answers)
    assert counted.pop("ConflictException") == CLIENTS - 1
    assert list(counted.values()) == [1]


def test_one_token(cloud: Cloud) -> None:
    """Of many with the same token one has an effect; the others get its result or are put off."""
    cloud.things.add("line1")
    answers = together(
        lambda _: cloud.client.create_deployment(targetArn=LINE, clientToken="a-1")["deploymentId"]
    )
    made = set(answers) - {"RequestAlreadyInProgressException"}
    assert len(made) == 1
    assert len(cloud.jobs.created) == 1


def test_revisions(cloud: Cloud) -> None:
    """Many deployments to one target are so many revisions, of which one is active."""
    cloud.things.add("line1")
    together(lambda _: cloud.client.create_deployment(targetArn=LINE))
    listed = cloud.client.list_deployments(targetArn=LINE, historyFilter="ALL")["deployments"]
    assert [each["revisionId"] for each in listed] == [str(n) for n in range(CLIENTS, 0, -1)]
    assert [each["deploymentStatus"] for each in listed] == ["ACTIVE"] + ["INACTIVE"] * (
        CLIENTS - 1
    )
    newest = cloud.client.get_deployment(deploymentId=listed[0]["deploymentId"])["iotJobId"]
    assert set(cloud.jobs.created) - set(cloud.jobs.canceled) == {newest}


def test_reports_and_lists(cloud: Cloud) -> None:
    """Devices report while others list; every page is whole and the last shows all."""

    def work(number: int) -> None:
        for step in range(20):
            cloud.report(f"d{number}-{step:02}", components=[conftest.component("a")])
            answer = cloud.client.list_core_devices(maxResults=10)
            names = [each["coreDeviceThingName"] for each in answer["coreDevices"]]
            assert names == sorted(set(names))

    assert together(work) == [None] * CLIENTS
    pages = cloud.client.get_paginator("list_core_devices").paginate()
    assert sum(len(page["coreDevices"]) for page in pages) == CLIENTS * 20
