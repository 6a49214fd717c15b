"""Secrets through both SDK clients (contract 4.8, 4.9)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, sdk

if TYPE_CHECKING:
    from tests.support import ipc_host

NAME = "press/password"
ARN = f"arn:aws:secretsmanager:eu-west-1:123456789012:secret:{NAME}-AbCdEf"


def policy(resource: str) -> dict[str, Any]:
    one = {"operations": ["aws.greengrass#GetSecretValue"], "resources": [resource]}
    return {"accessControl": {"aws.greengrass.SecretManager": {"one": one}}}


@pytest.fixture(autouse=True)
def versions(nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer) -> list[str]:
    nucleus.install(conftest.OTHER, policy(f"{ARN[:-6]}*"))
    put = nucleus.secrets.put
    return [put(NAME, "s3cret-1", arn=ARN).id, put(NAME, "s3cret-2").id]


@pytest.mark.parametrize("wanted", [NAME, ARN, ARN[:-7]], ids=["name", "ARN", "partial ARN"])
def test_current_version(connect: sdk.Connect, versions: list[str], wanted: str) -> None:
    """Name and ARN give the current version, and the answer says which that is."""
    answer = connect(conftest.OTHER).call("get_secret_value", secret_id=wanted, refresh=True)
    assert (answer.secret_id, answer.version_id) == (ARN, versions[1])
    assert answer.version_stage == ["AWSCURRENT"]
    assert answer.secret_value.secret_string == "s3cret-2"
    assert answer.secret_value.secret_binary is None


def test_former_version(connect: sdk.Connect, versions: list[str]) -> None:
    """The version before is there by its stage and by its id."""
    client = connect(conftest.OTHER)
    for fields in ({"version_stage": "AWSPREVIOUS"}, {"version_id": versions[0]}):
        answer = client.call("get_secret_value", secret_id=NAME, **fields)
        assert answer.secret_value.secret_string == "s3cret-1"


def test_secret_is_read_anew(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """A secret that was put meanwhile is the next answer."""
    client = connect(conftest.OTHER)
    client.call("get_secret_value", secret_id=NAME)
    nucleus.secrets.put(NAME, b"\xff")
    value = client.call("get_secret_value", secret_id=NAME).secret_value
    assert (value.secret_string, value.secret_binary) == (None, b"\xff")


@pytest.mark.parametrize("wanted", [NAME, ARN, "press/nothing"])
def test_refusal_tells_nothing(
    nucleus: ipc_host.MemoryHost, connect: sdk.Connect, wanted: str
) -> None:
    """Who may not read a secret does not even learn whether there is one."""
    nucleus.install(conftest.OTHER, policy("arn:aws:secretsmanager:*:secret:other-*"))
    with pytest.raises(model.UnauthorizedError):
        connect(conftest.OTHER).call("get_secret_value", secret_id=wanted)


def test_values_are_never_logged(
    nucleus: ipc_host.MemoryHost, connect: sdk.Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a good answer nor a damaged file brings a value into the log or an error."""
    caplog.set_level(logging.DEBUG, logger="verge")
    client = connect(conftest.OTHER)
    client.call("get_secret_value", secret_id=NAME)
    for file in (nucleus.directory / "secrets").glob("*.json"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(model.ServiceError) as refused:
        client.call("get_secret_value", secret_id=NAME)
    ours = [each for each in caplog.records if each.name.startswith("verge")]
    assert "damaged" in refused.value.message
    assert "s3cret" not in f"{[each.getMessage() for each in ours]}{refused.value.message}"
    assert ours
