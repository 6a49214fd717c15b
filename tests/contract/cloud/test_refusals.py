"""Requests that break the service model, and the envelope of refusals (contract 5.1)."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import xform_name

from tests.contract.cloud import account as accounts

Account = accounts.Account
refused = accounts.refused

TARGET = "arn:aws:iot:eu-west-1:123456789012:thinggroup/line"
WRONG: dict[str, list[dict[str, Any]]] = {
    "CreateComponentVersion": [
        {},
        {"inlineRecipe": b"{}", "clientToken": "with space"},
        {"inlineRecipe": b"{}", "tags": {"k" * 129: "v"}},
        {"lambdaFunction": {"lambdaArn": ""}},
    ],
    "DescribeComponent": [{"arn": "arn:x"}],
    "GetComponent": [
        {"arn": "arn:x"},
        {
            "arn": "arn:aws:greengrass:r:1:components:c:versions:1.0.0",
            "recipeOutputFormat": "XML",
        },
    ],
    "DeleteComponent": [{"arn": "arn:aws:greengrass:r:1:components:c"}],
    "ListComponents": [
        {"scope": "EVERYTHING"},
        {"maxResults": 0},
        {"maxResults": 101},
        {"nextToken": "made up"},
    ],
    "ListComponentVersions": [{"arn": "x"}],
    "CreateDeployment": [
        {},
        {"targetArn": "arn:aws:iot:r:1:topic/x"},
        {"targetArn": TARGET, "deploymentName": ""},
        {"targetArn": TARGET, "components": {"c": {}}},
        {"targetArn": TARGET, "components": {"c": {"componentVersion": "1" * 65}}},
        {"targetArn": TARGET, "deploymentPolicies": {"failureHandlingPolicy": "HOPE"}},
        {"targetArn": TARGET, "clientToken": "x" * 65},
    ],
    "ListDeployments": [
        {"targetArn": "arn:x"},
        {"historyFilter": "SOME"},
        {"parentTargetArn": "arn:aws:iot:r:1:thing/x"},
    ],
    "GetCoreDevice": [{"coreDeviceThingName": "x" * 129}],
    "ListCoreDevices": [{"status": "FINE"}, {"thingGroupArn": "x"}],
    "ListInstalledComponents": [{"coreDeviceThingName": "x", "topologyFilter": "LEAF"}],
    "BatchAssociateClientDeviceWithCoreDevice": [
        {"coreDeviceThingName": "x", "entries": []},
        {"coreDeviceThingName": "x", "entries": [{}]},
        {"coreDeviceThingName": "x", "entries": [{"thingName": "y"}] * 101},
    ],
    "TagResource": [
        {"resourceArn": "arn:aws:greengrass:r:1:components:c:versions:1.0.0", "tags": {}},
        {"resourceArn": "arn:aws:greengrass:r:1:other:c", "tags": {"a": "b"}},
    ],
    "UpdateConnectivityInfo": [{"thingName": "x", "connectivityInfo": [{"portNumber": "y"}]}],
}
UNKNOWN: dict[str, dict[str, Any]] = {
    "GetDeployment": {"deploymentId": "none"},
    "CancelDeployment": {"deploymentId": "none"},
    "DeleteDeployment": {"deploymentId": "none"},
    "GetCoreDevice": {"coreDeviceThingName": "none"},
    "DeleteCoreDevice": {"coreDeviceThingName": "none"},
    "ListInstalledComponents": {"coreDeviceThingName": "none"},
    "ListEffectiveDeployments": {"coreDeviceThingName": "none"},
    "ListClientDevicesAssociatedWithCoreDevice": {"coreDeviceThingName": "none"},
    "BatchAssociateClientDeviceWithCoreDevice": {
        "coreDeviceThingName": "none",
        "entries": [{"thingName": "x"}],
    },
    "BatchDisassociateClientDeviceFromCoreDevice": {
        "coreDeviceThingName": "none",
        "entries": [{"thingName": "x"}],
    },
}


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        pytest.param(operation, params, id=f"{operation}-{number}")
        for operation, cases in WRONG.items()
        for number, params in enumerate(cases)
    ],
)
def test_wrong_requests(account: Account, operation: str, params: dict[str, Any]) -> None:
    """A request that the service model forbids is refused as such, member by member."""
    with refused("ValidationException") as caught:
        getattr(account.unchecked, xform_name(operation))(**params)
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert answer["ResponseMetadata"]["RequestId"]
    assert answer["reason"] == "FIELD_VALIDATION_FAILED"
    assert all(field["name"] and field["message"] for field in answer["fields"])


@pytest.mark.parametrize("operation", UNKNOWN)
def test_unknown_names(account: Account, operation: str) -> None:
    """What does not exist is refused with its name and kind."""
    with refused("ResourceNotFoundException") as caught:
        getattr(account.greengrass, xform_name(operation))(**UNKNOWN[operation])
    answer = caught.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 404
    assert answer["resourceId"] == "none"
    assert answer["resourceType"]


@accounts.local_only("before the service stands a gateway that answers in its own words")
@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b'{"a":' * 30_000])
def test_bodies_that_cannot_be_read(account: Account, body: bytes) -> None:
    """A body that is no JSON object is refused as CANNOT_PARSE."""
    client = account.unchecked

    def replace(params: dict[str, Any], **_: Any) -> None:
        params["body"] = body

    client.meta.events.register("before-call.greengrassv2", replace)
    try:
        with refused("ValidationException") as caught:
            client.create_deployment(targetArn=TARGET)
    finally:
        client.meta.events.unregister("before-call.greengrassv2", replace)
    assert caught.value.response["reason"] == "CANNOT_PARSE"
    assert caught.value.response["Error"]["Message"].startswith("cannot read")


@accounts.local_only("other accounts are real there")
def test_other_accounts(account: Account) -> None:
    """What belongs to another account is not shown."""
    arn = f"arn:aws:greengrass:{account.region}:999999999999:components:c"
    with refused("AccessDeniedException"):
        account.greengrass.list_component_versions(arn=arn)
    with refused("AccessDeniedException"):
        account.greengrass.describe_component(arn=f"{arn}:versions:1.0.0")
