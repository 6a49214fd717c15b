"""Who may do what, through the SDK (contract 4.9)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, raw, sdk

if TYPE_CHECKING:
    from tests.support import ipc_host

DENIED = "com.example.Denied"
PUBSUB = "aws.greengrass.ipc.pubsub"
CLI = "aws.greengrass.Cli"
PUBLISH = {"topic": "a/b", "publishMessage": {"jsonMessage": {"message": 1}}}


def policy(service: str, operations: list[str], resources: list[str]) -> dict[str, Any]:
    return {"accessControl": {service: {"one": {"operations": operations, "resources": resources}}}}


def test_denied_by_default(connect: sdk.Connect) -> None:
    """Without a policy nothing is published or subscribed, and the error says what is missing."""
    client = connect(DENIED)
    with pytest.raises(model.UnauthorizedError) as refused:
        client.call("publish_to_topic", topic="a/b", publish_message=sdk.json_message({}))
    assert refused.value.message == (
        "Principal com.example.Denied is not authorized to perform "
        "aws.greengrass.ipc.pubsub:aws.greengrass#PublishToTopic on resource a/b"
    )
    with pytest.raises(model.UnauthorizedError):
        client.subscribe("subscribe_to_topic", topic="a/b")


@pytest.mark.parametrize(
    ("operation", "fields"),
    [
        ("PublishToTopic", PUBLISH),
        ("PublishToTopic", {}),
        ("SubscribeToTopic", {"topic": "a"}),
        ("SubscribeToTopic", {}),
        ("GetComponentDetails", {"componentName": DENIED}),
        ("GetComponentDetails", {}),
        ("ListComponents", {}),
        ("RestartComponent", {"componentName": DENIED}),
        ("StopComponent", {"componentName": DENIED}),
        ("PauseComponent", {"componentName": DENIED}),
        ("ResumeComponent", {"componentName": DENIED}),
        ("CreateLocalDeployment", {}),
        ("GetLocalDeploymentStatus", {"deploymentId": "x"}),
        ("ListLocalDeployments", {}),
        ("CancelLocalDeployment", {"deploymentId": "x"}),
        ("verge.nucleus#PlanLocalDeployment", {}),
    ],
)
def test_every_guarded_operation_is_denied(
    running: ipc_host.RunningServer, operation: str, fields: dict[str, Any]
) -> None:
    """Every operation that needs a policy is refused without one, before its arguments matter."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{DENIED}")
        assert client.call(1, operation, fields)[0] == "UnauthorizedError"


@pytest.mark.parametrize(
    ("operations", "resources", "topic", "allowed"),
    [
        pytest.param(["aws.greengrass#PublishToTopic"], ["a/b"], "a/b", True, id="exact"),
        pytest.param(["aws.greengrass#PublishToTopic"], ["a/b"], "a/c", False, id="other topic"),
        pytest.param(["aws.greengrass#SubscribeToTopic"], ["a/b"], "a/b", False, id="other op"),
        pytest.param(["*"], ["a/*"], "a/b/c", True, id="star"),
        pytest.param(["*"], ["a/#"], "a/b", False, id="hash is plain"),
        pytest.param(["PublishToTopic"], ["*"], "a/b", False, id="short name"),
        pytest.param([], ["*"], "a/b", False, id="no operations"),
        pytest.param(["*"], [], "a/b", False, id="no resources"),
        pytest.param(["*"], ["a?b", "a/b"], "a/b", True, id="one resource is invalid"),
    ],
)
def test_policy(
    nucleus: ipc_host.MemoryHost,
    connect: sdk.Connect,
    operations: list[str],
    resources: list[str],
    topic: str,
    allowed: bool,
) -> None:
    """A policy allows its operations on its resources and nothing else."""
    nucleus.install(DENIED, policy(PUBSUB, operations, resources))
    client = connect(DENIED)
    fields = {"topic": topic, "publish_message": sdk.json_message({})}
    if allowed:
        client.call("publish_to_topic", **fields)
    else:
        with pytest.raises(model.UnauthorizedError):
            client.call("publish_to_topic", **fields)


def test_missing_resource_needs_any_policy(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer
) -> None:
    """Whoever holds a policy for the operation learns that its argument is missing."""
    nucleus.install(DENIED, policy(PUBSUB, ["aws.greengrass#PublishToTopic"], ["z"]))
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{DENIED}")
        assert client.call(1, "PublishToTopic", {})[0] == "InvalidArgumentsError"
        assert client.call(2, "SubscribeToTopic", {})[0] == "UnauthorizedError"


def test_policies_follow_the_configuration(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer, connect: sdk.Connect
) -> None:
    """A policy that comes or goes counts from the next request on, without a restart."""
    client = connect(DENIED)
    fields = {"topic": "a/b", "publish_message": sdk.json_message({})}
    with pytest.raises(model.UnauthorizedError):
        client.call("publish_to_topic", **fields)
    change = nucleus.configuration
    running.do(change.merge, DENIED, [], policy(PUBSUB, ["*"], ["a/*"]), time.time())
    client.call("publish_to_topic", **fields)
    running.do(change.merge, DENIED, [], policy(PUBSUB, ["*"], ["b/*"]), time.time())
    with pytest.raises(model.UnauthorizedError):
        client.call("publish_to_topic", **fields)
    running.do(change.merge, DENIED, [], policy(PUBSUB, ["*"], ["*"]), time.time())
    client.call("publish_to_topic", **fields)
    running.do(change.remove, DENIED, ["accessControl"])
    with pytest.raises(model.UnauthorizedError):
        client.call("publish_to_topic", **fields)


def test_configuration_is_watched_only_while_connected(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer
) -> None:
    """A component that has gone leaves no subscription behind."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{conftest.COMPONENT}")
        client.call(1, "PublishToTopic", PUBLISH)
        client.call(2, "SubscribeToConfigurationUpdate", {})
        assert running.do(lambda: nucleus.configuration.watches) == 2
    deadline = time.monotonic() + 10
    while running.do(lambda: nucleus.configuration.watches):
        assert time.monotonic() < deadline


def test_command_line_is_not_asked(connect: sdk.Connect) -> None:
    """A client of the command line needs no policy."""
    client = connect(conftest.CLI)
    client.call("publish_to_topic", topic="a/b", publish_message=sdk.json_message({}))
    assert len(client.call("list_components").components) == 3


def test_component_with_a_policy_for_the_command_line(
    nucleus: ipc_host.MemoryHost, connect: sdk.Connect
) -> None:
    """A component may be allowed what the command line does, by component name."""
    nucleus.install(DENIED, policy(CLI, ["*"], ["com.example.Cam*"]))
    client = connect(DENIED)
    details = client.call("get_component_details", component_name=conftest.OTHER)
    assert details.component_details.version == "2.1.0"
    with pytest.raises(model.UnauthorizedError):
        client.call("get_component_details", component_name=conftest.COMPONENT)
    with pytest.raises(model.UnauthorizedError):
        client.call("list_components")
