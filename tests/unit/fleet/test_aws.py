"""What boto3 raises, in our words."""

from __future__ import annotations

import socket

import botocore.exceptions
import pytest

from verge.fleet import aws


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("code", "message", "expected", "not_found", "conflict"),
    [
        (
            "ResourceNotFoundException",
            "Component is not found.",
            "cannot do GetComponent: component is not found (ResourceNotFoundException)",
            True,
            False,
        ),
        (
            "ConflictException",
            "ARN\n is taken",
            "cannot do GetComponent: ARN is taken (ConflictException)",
            False,
            True,
        ),
        (
            "Throttled",
            "",
            "cannot do GetComponent: the cloud gave no reason (Throttled)",
            False,
            False,
        ),
    ],
    ids=["not found", "conflict", "no reason"],
)
def test_answers_of_the_cloud_are_one_sentence(
    code: str, message: str, expected: str, not_found: bool, conflict: bool
) -> None:
    """Operation, reason and code are named, in our style, and kept as attributes."""
    answer = {"Error": {"Code": code, "Message": message}}
    with pytest.raises(aws.CloudError) as caught, aws.explained():
        raise botocore.exceptions.ClientError(answer, "GetComponent")
    assert str(caught.value) == expected
    assert (caught.value.not_found, caught.value.conflict) == (not_found, conflict)


def test_a_cloud_that_is_not_reached_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens: the address and the next step are named."""
    monkeypatch.setattr(aws, "_RETRIES", {"max_attempts": 0})
    endpoint = f"http://127.0.0.1:{free_port()}"
    account = aws.Account(aws.Access("eu-west-1", endpoint, "AKIAEXAMPLE", "s" * 40))
    with pytest.raises(aws.CloudError, match="cannot reach the cloud") as caught:
        _ = account.id
    assert endpoint in str(caught.value)
    assert "./inv cloud --status" in str(caught.value.hint)


def test_a_profile_that_does_not_exist_is_said_so() -> None:
    """The next step is to sign in."""
    account = aws.Account(aws.Access("eu-west-1", profile="no-such-profile-here"))
    with pytest.raises(aws.CloudError, match="no-such-profile-here") as caught:
        account.client("s3")
    assert "sign in" in str(caught.value.hint)


def test_a_value_that_no_cloud_takes_is_said_so() -> None:
    """What boto3 refuses by itself is no question of the network."""
    access = aws.Access("eu-west-1", "http://127.0.0.1:1", "AKIAEXAMPLE", "s" * 40)
    with pytest.raises(aws.CloudError) as caught, aws.explained():
        aws.Account(access).client("s3").head_bucket(Bucket="My Bucket")
    assert str(caught.value).startswith("cannot ask the cloud: parameter validation failed: ")
    assert 'Invalid bucket name "My Bucket"' in str(caught.value)
    assert "network" not in str(caught.value.hint)
