"""Devices read and write what their role and their deployments allow."""

from __future__ import annotations

import http.client
import urllib.parse
from typing import Any

import msgspec
import pytest
from botocore import exceptions
from werkzeug import test as werkzeug_test

from tests.unit.cloud.objects import conftest
from verge.cloud.objects import signatures

READ = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::artifacts/*"}
LIST = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::artifacts"}
ALL = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


def _get(url: str) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _try(call: Any, **arguments: Any) -> str:
    try:
        call(Bucket="artifacts", **arguments)
    except exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"


CASES = [
    pytest.param([], "get_object", "AccessDenied", id="no policy"),
    pytest.param([READ], "get_object", "done", id="may read"),
    pytest.param([READ], "put_object", "AccessDenied", id="may not write"),
    pytest.param([READ], "delete_object", "AccessDenied", id="may not delete"),
    pytest.param(
        [READ, {**READ, "Effect": "Deny", "Resource": "arn:aws:s3:::artifacts/a"}],
        "get_object",
        "AccessDenied",
        id="a denial wins",
    ),
    pytest.param(
        [{**READ, "Resource": "arn:aws:s3:::artifacts/b"}],
        "get_object",
        "AccessDenied",
        id="another key",
    ),
    pytest.param(
        [{**READ, "Resource": "arn:aws:s3:::artifact./a"}],
        "get_object",
        "AccessDenied",
        id="a dot is a dot",
    ),
    pytest.param([{**READ, "Action": ["S3:getobject"]}], "get_object", "done", id="any case"),
    pytest.param(
        [{"Effect": "Allow", "NotAction": "s3:GetObject", "Resource": "*"}],
        "get_object",
        "AccessDenied",
        id="all but this",
    ),
    pytest.param(
        [{**READ, "Condition": {"Bool": {"aws:SecureTransport": "true"}}}],
        "get_object",
        "AccessDenied",
        id="a condition that cannot be evaluated does not allow",
    ),
    pytest.param(
        [READ, {**ALL, "Effect": "Deny", "Condition": {"Bool": {"x:y": "true"}}}],
        "get_object",
        "AccessDenied",
        id="nor spares from a denial",
    ),
    pytest.param([ALL], "delete_object", "done", id="everything"),
]


@pytest.mark.parametrize(("statements", "operation", "expected"), CASES)
def test_the_policies_of_the_role_decide(
    plant: conftest.Plant, statements: list[Any], operation: str, expected: str
) -> None:
    """An action is allowed by a statement and by no denial."""
    device = plant.device(plant.allow(*statements))
    assert _try(getattr(device, operation), Key="a") == expected


@pytest.mark.parametrize(
    ("resource", "key", "expected"),
    [
        ("captures/${credentials-iot:ThingName}/*", "captures/press-07/a.jpg", "done"),
        ("captures/${credentials-iot:ThingName}/*", "captures/press-08/a.jpg", "AccessDenied"),
        ("captures/${credentials-iot:ThingName}/*", "captures/press-070/a", "AccessDenied"),
        ("captures/${credentials-iot:Unknown}*", "captures/press-07", "AccessDenied"),
        ("${*}/${credentials-iot:ThingName}", "*/press-07", "done"),
        ("${*}/${credentials-iot:ThingName}", "any/press-07", "AccessDenied"),
    ],
)
def test_a_policy_may_speak_of_the_device(
    plant: conftest.Plant, resource: str, key: str, expected: str
) -> None:
    """`${credentials-iot:ThingName}` stands for the thing that got the credentials."""
    statement = {
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::artifacts/{resource}",
    }
    device = plant.device(plant.allow(statement))
    assert _try(device.put_object, Key=key, Body=b"x") == expected


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([READ], "AccessDenied"),
        ([READ, LIST], "NoSuchKey"),
        (
            [READ, {**LIST, "Condition": {"StringLike": {"s3:prefix": ["none*"]}}}],
            "NoSuchKey",
        ),
        (
            [READ, {**LIST, "Condition": {"StringEquals": {"s3:prefix": "b"}}}],
            "AccessDenied",
        ),
    ],
)
def test_only_who_may_list_learns_what_is_missing(
    plant: conftest.Plant, statements: list[Any], expected: str
) -> None:
    """Without leave to list, an object that is not there is denied."""
    device = plant.device(plant.allow(*statements))
    assert _try(device.get_object, Key="none") == expected


@pytest.mark.parametrize(
    ("readable", "expected"), [(True, "done"), (None, "done"), (False, "AccessDenied")]
)
def test_artifacts_are_for_those_they_are_deployed_to(
    plant: conftest.Plant, readable: bool | None, expected: str
) -> None:
    """A component's artifact is not read by a device that no deployment brings it to."""
    device = plant.device(plant.allow(ALL))
    plant.core_devices.readable["a"] = readable
    assert _try(device.get_object, Key="a") == expected


def test_credentials_are_checked_as_a_whole(plant: conftest.Plant) -> None:
    """Key, secret and token belong together, and end."""
    session = plant.allow(ALL)
    replace = msgspec.structs.replace
    for wrong, code in (
        (replace(session, access_key_id="ASIANOBODY"), "InvalidAccessKeyId"),
        (replace(session, secret_access_key="guessed"), "SignatureDoesNotMatch"),
        (replace(session, session_token="guessed"), "InvalidToken"),
        (plant.sessions.issue(role=conftest.ROLE, thing="t", seconds=-1), "InvalidAccessKeyId"),
    ):
        assert _try(plant.device(wrong).get_object, Key="a") == code
    assert _try(plant.device(session).get_object, Key="a") == "done"


def test_keys_of_tools_are_worth_nothing_to_devices(plant: conftest.Plant) -> None:
    """Made-up credentials are for loopback alone."""
    session = plant.allow(ALL)
    made_up = msgspec.structs.replace(
        session, access_key_id="AKIAMADEUP", secret_access_key="any-secret"
    )
    assert _try(plant.device(made_up).get_object, Key="a") == "InvalidAccessKeyId"


def test_devices_do_not_change_buckets(plant: conftest.Plant) -> None:
    """Settings of buckets are for tools, whatever the role says."""
    device = plant.device(plant.allow(ALL))
    assert _try(device.put_bucket_tagging, Tagging={"TagSet": []}) == "AccessDenied"
    assert _try(device.delete_bucket) == "AccessDenied"
    assert device.head_bucket(Bucket="artifacts")["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_our_own_urls_are_good_for_what_they_name(plant: conftest.Plant) -> None:
    """A URL that the cloud presigned reads one object on the port for devices, for a while."""
    host = f"http://127.0.0.1:{plant.devices.port}"
    url = plant.storage.files.presigned_url("artifacts", "a", host=host, seconds=60)
    assert _get(url) == (200, b"a")
    assert len(url) < 2000
    for forged in (
        url.replace("artifacts/a", "artifacts/b"),
        url.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
        url.replace("AKIAVERGE", "AKIAMADEUP"),
        url.replace("127.0.0.1", "localhost"),
    ):
        assert _get(forged)[0] == 403, forged
    ended = plant.storage.files.presigned_url("artifacts", "a", host=host, seconds=1)
    moved = ended.replace("X-Amz-Expires=1&", "X-Amz-Expires=0&")
    assert _get(moved)[0] == 400


@pytest.mark.parametrize("seconds", [1, 3600, 604800])
def test_urls_end_when_they_say(plant: conftest.Plant, seconds: int) -> None:
    """A URL is good until its last second, and never after it."""
    begun = 1_800_000_000.0
    url = signatures.presign(
        host="https://devices:8443",
        path="/artifacts/a",
        key=("AKIA", "secret"),
        region="eu-west-1",
        seconds=seconds,
        now=begun,
    )
    request = werkzeug_test.EnvironBuilder(path="/artifacts/a", query_string=url.partition("?")[2])
    assert signatures.read(request.get_request(), begun + seconds) is not None
    with pytest.raises(Exception, match="has expired"):
        signatures.read(request.get_request(), begun + seconds + 1)
