"""Local deployments through both SDK clients (contract 3.10)."""

from __future__ import annotations

import dataclasses
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, raw, sdk
from verge.nucleus.ipc import host

if TYPE_CHECKING:
    from tests.support import ipc_host

CLI = conftest.CLI
PLAN = "verge.nucleus#PlanLocalDeployment"


def test_create(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """A deployment is passed on with everything it names and answered with a UUID."""
    run_with = model.RunWithInfo(
        posix_user="jana:press",
        system_resource_limits=model.SystemResourceLimits(memory=65536, cpus=0.5),
    )
    response = connect(CLI).call(
        "create_local_deployment",
        group_name="line",
        recipe_directory_path="/recipes",
        artifacts_directory_path="/artifacts",
        root_component_versions_to_add={"com.example.A": "1.0.0"},
        root_components_to_remove=["com.example.B"],
        component_to_configuration={
            "com.example.A": {"MERGE": {"rate": 5, "deep": {"list": [1]}}, "RESET": ["/topic"]}
        },
        component_to_run_with_info={"com.example.A": run_with},
        failure_handling_policy="ROLLBACK",
    )
    assert str(uuid.UUID(response.deployment_id)) == response.deployment_id
    assert nucleus.deployments.submitted[response.deployment_id] == host.LocalDeployment(
        group_name="line",
        recipe_directory="/recipes",
        artifact_directory="/artifacts",
        roots_to_add={"com.example.A": "1.0.0"},
        roots_to_remove=["com.example.B"],
        configuration={
            "com.example.A": host.ConfigurationUpdate(
                {"rate": 5, "deep": {"list": [1]}}, ["/topic"]
            )
        },
        run_with={"com.example.A": host.RunWith("jana:press", 65536, 0.5)},
        failure_handling_policy="ROLLBACK",
    )


def test_create_with_nothing(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """All fields may be absent; the policy is DO_NOTHING then."""
    name = connect(CLI).call("create_local_deployment").deployment_id
    assert nucleus.deployments.submitted[name] == host.LocalDeployment()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param(
            {"recipeDirectoryPath": "/no/such"}, "InvalidRecipeDirectoryPathError", id="recipes"
        ),
        pytest.param(
            {"artifactsDirectoryPath": "/no/such"},
            "InvalidArtifactsDirectoryPathError",
            id="artifacts",
        ),
        pytest.param({"groupName": "a:b"}, "InvalidArgumentsError", id="group with colon"),
        pytest.param({"failureHandlingPolicy": "PRAY"}, "InvalidArgumentsError", id="policy"),
        pytest.param({"rootComponentsToRemove": [""]}, "InvalidArgumentsError", id="host refuses"),
        pytest.param(
            {"componentToConfiguration": {"a": {"MERGE": "{}"}}},
            "InvalidArgumentsError",
            id="merge is text",
        ),
        pytest.param(
            {"componentToConfiguration": {"a": {"RESET": [1]}}},
            "InvalidArgumentsError",
            id="reset of a number",
        ),
        pytest.param(
            {"componentToConfiguration": {"a": {"MERGED": {}}}},
            "InvalidArgumentsError",
            id="neither merge nor reset",
        ),
        pytest.param(
            {"rootComponentVersionsToAdd": {"a": 1}}, "InvalidArgumentsError", id="version"
        ),
    ],
)
def test_refused(running: ipc_host.RunningServer, fields: dict[str, Any], error: str) -> None:
    """What cannot be accepted has its own error, for a deployment and for its plan."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{CLI}")
        assert client.call(1, "CreateLocalDeployment", fields)[0] == error
        assert client.call(2, PLAN, fields)[0] == error


def test_lower_case_configuration_keys(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer
) -> None:
    """MERGE and RESET are known in lower case, too, and never silently dropped."""
    fields = {"componentToConfiguration": {"a": {"merge": {"x": 1}, "reset": ["/y"]}}}
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{CLI}")
        name = client.call(1, "CreateLocalDeployment", fields)[1]["deploymentId"]
    wanted = host.ConfigurationUpdate({"x": 1}, ["/y"])
    assert nucleus.deployments.submitted[name].configuration["a"] == wanted


def test_plan(nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer) -> None:
    """A plan tells the changes and deploys nothing."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{CLI}")
        shape, plan = client.call(1, PLAN, {"rootComponentVersionsToAdd": {"a": "1.0.0"}})
    assert shape == f"{PLAN}Response"
    assert plan == {
        "changes": [
            {"component": "a", "action": "install", "before": None, "after": "1.0.0", "path": ""}
        ]
    }
    assert not nucleus.deployments.submitted


def test_status(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """A failed deployment tells when it was created and all about its failure."""
    client = connect(CLI)
    name = client.call("create_local_deployment").deployment_id
    queued = client.call("get_local_deployment_status", deployment_id=name).deployment
    assert (queued.deployment_id, queued.status) == (name, "QUEUED")
    assert queued.deployment_status_details is None
    nucleus.deployments.statuses[name] = dataclasses.replace(
        nucleus.deployments.statuses[name],
        created=1_700_000_000.5,
        status="FAILED",
        detailed_status="FAILED_ROLLBACK_COMPLETE",
        error_stack=["DEPLOYMENT_FAILURE", "COMPONENT_BROKEN"],
        error_types=["COMPONENT_ERROR"],
        failure_cause="com.example.A is BROKEN",
    )
    failed = client.call("get_local_deployment_status", deployment_id=name.upper()).deployment
    assert failed.status == "FAILED"
    assert failed.created_on == "14-11-2023 22:13:20 UTC"
    details = failed.deployment_status_details
    assert details.detailed_deployment_status == "FAILED_ROLLBACK_COMPLETE"
    assert details.deployment_error_stack == ["DEPLOYMENT_FAILURE", "COMPONENT_BROKEN"]
    assert details.deployment_error_types == ["COMPONENT_ERROR"]
    assert details.deployment_failure_cause == "com.example.A is BROKEN"


def test_list(connect: sdk.Connect) -> None:
    """All deployments are listed, newest first."""
    client = connect(CLI)
    names = [client.call("create_local_deployment").deployment_id for _ in range(3)]
    listed = client.call("list_local_deployments").local_deployments
    assert [each.deployment_id for each in listed] == names[::-1]
    assert all(re.fullmatch(r"\d\d-\d\d-\d{4} .* UTC", each.created_on) for each in listed)


def test_cancel(connect: sdk.Connect) -> None:
    """A cancellation is answered with the host's message."""
    client = connect(CLI)
    name = client.call("create_local_deployment").deployment_id
    response = client.call("cancel_local_deployment", deployment_id=name)
    assert response.message == f"Cancel request submitted. Deployment ID: {name}"


@pytest.mark.parametrize("operation", ["get_local_deployment_status", "cancel_local_deployment"])
def test_no_such_deployment(connect: sdk.Connect, operation: str) -> None:
    """A name that is no UUID, and an unknown UUID, have different errors."""
    client = connect(CLI)
    for name in ("yesterday", None):
        with pytest.raises(model.InvalidArgumentsError):
            client.call(operation, deployment_id=name)
    unknown = str(uuid.uuid4())
    with pytest.raises(model.ResourceNotFoundError) as missing:
        client.call(operation, deployment_id=unknown)
    assert missing.value.resource_type == "LocalDeployment"
    assert missing.value.resource_name == unknown
