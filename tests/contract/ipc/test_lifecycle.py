"""States and components through both SDK clients (contract 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, raw, sdk
from tests.support import running_cloud

if TYPE_CHECKING:
    from tests.support import ipc_host

COMPONENT, CLI = conftest.COMPONENT, conftest.CLI
MISSING = "com.example.Missing"


@pytest.mark.parametrize("state", ["RUNNING", "ERRORED"])
def test_update_state(nucleus: ipc_host.MemoryHost, connect: sdk.Connect, state: str) -> None:
    """A component reports its own state without a policy."""
    nucleus.components.states["com.example.Denied"] = "STARTING"
    connect("com.example.Denied").call("update_state", state=state)
    assert nucleus.components.states["com.example.Denied"] == state


def test_update_state_of_nobody(connect: sdk.Connect) -> None:
    """A client of the command line has no state."""
    with pytest.raises(model.ResourceNotFoundError) as missing:
        connect(CLI).call("update_state", state="RUNNING")
    assert missing.value.resource_name == CLI


@pytest.mark.parametrize("state", [None, "FINISHED"])
def test_update_state_is_refused(connect: sdk.Connect, state: str | None) -> None:
    """Only RUNNING and ERRORED can be reported."""
    with pytest.raises(model.InvalidArgumentsError):
        connect().call("update_state", state=state)


def test_details(connect: sdk.Connect) -> None:
    """Details hold name, version, state and configuration."""
    response = connect(CLI).call("get_component_details", component_name=conftest.OTHER)
    details = response.component_details
    assert (details.component_name, details.version) == (conftest.OTHER, "2.1.0")
    assert details.state == "RUNNING"
    assert details.configuration["Exposure"] == "auto"


def test_list(connect: sdk.Connect) -> None:
    """All components are listed."""
    response = connect(CLI).call("list_components")
    names = [each.component_name for each in response.components]
    assert names == [conftest.OTHER, "com.example.Denied", COMPONENT]


def test_list_tells_our_command_line_more(running: ipc_host.RunningServer) -> None:
    """Two further fields are there for our command line."""
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{CLI}")
        listed = client.call(1, "ListComponents")[1]["components"]
    assert {each["isRoot"] for each in listed} == {False}
    assert {each["statusReason"] for each in listed} == {""}


def test_restart_and_stop(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """Both say SUCCEEDED once it is done."""
    client = connect(CLI)
    assert client.call("restart_component", component_name=COMPONENT).restart_status == "SUCCEEDED"
    assert nucleus.components.states[COMPONENT] == "STARTING"
    assert client.call("stop_component", component_name=COMPONENT).stop_status == "SUCCEEDED"
    assert nucleus.components.states[COMPONENT] == "FINISHED"


def test_restart_that_fails(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """A component that cannot be restarted gives FAILED and the reason."""
    nucleus.components.states[COMPONENT] = "BROKEN"
    response = connect(CLI).call("restart_component", component_name=COMPONENT)
    assert response.restart_status == "FAILED"
    assert response.message == f"cannot restart {COMPONENT} while BROKEN"


def test_slow_restart_does_not_hold_up_others(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer
) -> None:
    """While a restart takes its time, further requests of the same client are answered."""
    nucleus.install("stuck")
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{CLI}")
        client.send(raw.request_frame(1, "RestartComponent", {"componentName": "stuck"}))
        assert client.call(2, "ListComponents")[0] == "ListComponentsResponse"
        running.do(nucleus.components.stuck.set)
        answer = client.receive()
    assert answer.get(":stream-id") == 1
    assert raw.content(answer) == {"restartStatus": "SUCCEEDED"}


def test_too_many_slow_calls_wait(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer
) -> None:
    """Many calls that take time block only their own connection, and all end."""
    nucleus.install("stuck")
    numbers = list(range(1, 101))
    with raw.RawClient(running.path) as client, raw.RawClient(running.path) as other:
        client.shake_hands(f"token-of-{CLI}")
        other.shake_hands(f"token-of-{CLI}")
        fields = {"componentName": "stuck"}
        frames = [raw.request_frame(stream, "RestartComponent", fields) for stream in numbers]
        client.send(b"".join(frames))
        assert other.call(1, "ListComponents")[0] == "ListComponentsResponse"
        assert (
            running.do(lambda: len(running.server._running)) <= running.server.limits.running_calls
        )
        running.do(nucleus.components.stuck.set)
        assert [client.receive().get(":stream-id") for _ in numbers] == numbers


def test_answer_to_a_client_that_has_gone_takes_no_room(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer
) -> None:
    """An answer that nobody waits for any more does not count against the client's others."""
    nucleus.install("stuck")
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{CLI}")
        with raw.RawClient(running.path) as hasty:
            hasty.shake_hands(f"token-of-{CLI}")
            hasty.send(raw.request_frame(1, "RestartComponent", {"componentName": "stuck"}))
            assert hasty.call(2, "ListComponents")[0] == "ListComponentsResponse"
        principal = running.do(running.server.principal, CLI)
        running_cloud.wait_for(
            lambda: running.do(lambda: len(principal.connections)) == 1, "its end"
        )
        running.do(nucleus.components.stuck.set)
        running_cloud.wait_for(
            lambda: not running.do(lambda: running.server._running), "the answer"
        )
        assert running.do(lambda: principal.queued) == 0


def test_server_ends_while_a_call_runs(
    nucleus: ipc_host.MemoryHost, running: ipc_host.RunningServer
) -> None:
    """A call that never ends does not keep the server from ending."""
    nucleus.install("stuck")
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{CLI}")
        client.send(raw.request_frame(1, "RestartComponent", {"componentName": "stuck"}))
        assert client.call(2, "ListComponents")[0] == "ListComponentsResponse"


@pytest.mark.parametrize(
    "operation",
    [
        "get_component_details",
        "restart_component",
        "stop_component",
        "pause_component",
        "resume_component",
    ],
)
def test_unknown_component(connect: sdk.Connect, operation: str) -> None:
    """An unknown component is a ResourceNotFoundError, a missing name no argument."""
    client = connect(CLI)
    with pytest.raises(model.ResourceNotFoundError) as missing:
        client.call(operation, component_name=MISSING)
    assert (missing.value.resource_type, missing.value.resource_name) == ("Component", MISSING)
    with pytest.raises(model.InvalidArgumentsError):
        client.call(operation)


def test_pause_and_resume(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """A running component is paused once and resumed once."""
    client = connect(CLI)
    for operation, paused in (("pause_component", {COMPONENT}), ("resume_component", set())):
        client.call(operation, component_name=COMPONENT)
        assert nucleus.components.paused == paused
        with pytest.raises(model.InvalidArgumentsError):
            client.call(operation, component_name=COMPONENT)


def test_pause_of_what_does_not_run(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> None:
    """Only a running component can be paused."""
    nucleus.components.states[COMPONENT] = "FINISHED"
    with pytest.raises(model.InvalidArgumentsError) as refused:
        connect(CLI).call("pause_component", component_name=COMPONENT)
    assert refused.value.message == f"cannot pause {COMPONENT}: it is FINISHED"


def test_pause_where_the_host_does_not_allow_it(
    nucleus: ipc_host.MemoryHost, connect: sdk.Connect
) -> None:
    """Without control groups to freeze, the answer is a ServiceError that says so."""
    nucleus.components.freezes = False
    with pytest.raises(model.ServiceError) as refused:
        connect(CLI).call("pause_component", component_name=COMPONENT)
    assert refused.value.message == f"cannot pause {COMPONENT}: the host does not allow it"
