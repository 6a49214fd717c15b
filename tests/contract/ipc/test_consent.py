"""What components say to deployments, through both SDK clients (contract 3.7, 4.8)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import queue
from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, raw, sdk
from verge.nucleus.consent import validation

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tests.support import ipc_host

COMPONENT, OTHER = conftest.COMPONENT, conftest.OTHER
DEPLOYMENT = "0b4a4c9e-0000-4000-8000-000000000000"
LONG = 30.0
PROPOSED: dict[str, dict[str, Any]] = {COMPONENT: {"rate": 6}, OTHER: {"Exposure": "manual"}}

Asking = concurrent.futures.Future[Any]


def start(running: ipc_host.RunningServer, work: Coroutine[Any, Any, Any]) -> Asking:
    """Run what a deployment does in the server's loop."""
    return asyncio.run_coroutine_threadsafe(work, running.loop)


def validity(status: str, deployment: str = DEPLOYMENT, message: str | None = None) -> Any:
    return model.ConfigurationValidityReport(
        status=status, deployment_id=deployment, message=message
    )


def test_accepted_configuration(running: ipc_host.RunningServer, connect: sdk.Connect) -> None:
    """Only who subscribed is asked and waited for, with the whole proposed configuration."""
    client = connect()
    stream = client.subscribe("subscribe_to_validate_configuration_updates")
    asking = start(running, running.nucleus.validation.ask(DEPLOYMENT, PROPOSED, LONG))
    event = stream.next().validate_configuration_update_event
    assert (event.configuration, event.deployment_id) == ({"rate": 6}, DEPLOYMENT)
    assert not asking.done()
    client.call(
        "send_configuration_validity_report", configuration_validity_report=validity("ACCEPTED")
    )
    asking.result(LONG)


def test_rejected_configuration(running: ipc_host.RunningServer, connect: sdk.Connect) -> None:
    """A rejection ends the deployment with the component's reason."""
    client = connect()
    stream = client.subscribe("subscribe_to_validate_configuration_updates")
    asking = start(running, running.nucleus.validation.ask(DEPLOYMENT, PROPOSED, LONG))
    stream.next()
    client.call(
        "send_configuration_validity_report",
        configuration_validity_report=validity("REJECTED", message="rate too high"),
    )
    with pytest.raises(validation.RejectedError, match=f"{COMPONENT}: it rejects it: rate too"):
        asking.result(LONG)


def test_validation_that_is_not_answered(
    running: ipc_host.RunningServer, connect: sdk.Connect
) -> None:
    """No answer in time fails the deployment, and a late one is refused (contract 7, trap 8)."""
    client = connect()
    client.subscribe("subscribe_to_validate_configuration_updates")
    asking = start(running, running.nucleus.validation.ask(DEPLOYMENT, PROPOSED, 0.05))
    with pytest.raises(validation.RejectedError, match=r"within 0\.05 s"):
        asking.result(LONG)
    with pytest.raises(model.InvalidArgumentsError):
        client.call(
            "send_configuration_validity_report", configuration_validity_report=validity("ACCEPTED")
        )


def test_validation_by_a_component_that_goes(
    running: ipc_host.RunningServer, connect: sdk.Connect
) -> None:
    """Who leaves without an answer is not waited for."""
    client = connect()
    stream = client.subscribe("subscribe_to_validate_configuration_updates")
    asking = start(running, running.nucleus.validation.ask(DEPLOYMENT, PROPOSED, LONG))
    stream.next()
    stream.end()
    with pytest.raises(validation.RejectedError, match="has gone"):
        asking.result(LONG)


def test_one_validation_stream_for_each_component(
    running: ipc_host.RunningServer, connect: sdk.Connect
) -> None:
    """A further subscription of the same component gets nothing."""
    first = connect().subscribe("subscribe_to_validate_configuration_updates")
    second = connect().subscribe("subscribe_to_validate_configuration_updates")
    start(running, running.nucleus.validation.ask(DEPLOYMENT, PROPOSED, 0.05)).exception(LONG)
    assert first.next().validate_configuration_update_event
    with pytest.raises(queue.Empty):
        second.events.get_nowait()


def test_update_goes_ahead(running: ipc_host.RunningServer, connect: sdk.Connect) -> None:
    """The update waits until every subscriber has answered 0, then all learn of its end."""
    clients = [connect(), connect(OTHER)]
    told = [client.subscribe("subscribe_to_component_updates") for client in clients]
    asking = start(running, running.nucleus.updates.ask(DEPLOYMENT, LONG, restarting=True))
    for client, stream in zip(clients, told, strict=True):
        assert not asking.done()
        event = stream.next().pre_update_event
        assert (event.deployment_id, event.is_ggc_restarting) == (DEPLOYMENT, True)
        client.call("defer_component_update", deployment_id=DEPLOYMENT, recheck_after_ms=0)
    assert asking.result(LONG) is True
    running.do(running.nucleus.updates.finish, DEPLOYMENT)
    assert [each.next().post_update_event.deployment_id for each in told] == [DEPLOYMENT] * 2


def test_update_that_is_put_off(running: ipc_host.RunningServer, connect: sdk.Connect) -> None:
    """After the time that was asked for, everybody is asked again."""
    client = connect()
    stream = client.subscribe("subscribe_to_component_updates")
    asking = start(running, running.nucleus.updates.ask(DEPLOYMENT, LONG))
    for delay in (20, 0):
        assert stream.next().pre_update_event.is_ggc_restarting is False
        client.call("defer_component_update", deployment_id=DEPLOYMENT, recheck_after_ms=delay)
    assert asking.result(LONG) is True


def test_answer_without_a_time(running: ipc_host.RunningServer, connect: sdk.Connect) -> None:
    """A missing recheckAfterMs is no answer: the update waits for its limit (7, trap 8)."""
    client = connect()
    stream = client.subscribe("subscribe_to_component_updates")
    asking = start(running, running.nucleus.updates.ask(DEPLOYMENT, 0.3))
    stream.next()
    client.call("defer_component_update", deployment_id=DEPLOYMENT)
    assert not asking.done()
    assert asking.result(LONG) is True


@pytest.mark.parametrize("delay", [60_000, None], ids=["put off", "not answered"])
def test_update_that_is_withdrawn(
    running: ipc_host.RunningServer, connect: sdk.Connect, delay: int | None
) -> None:
    """A cancelled deployment stops waiting at once."""
    client = connect()
    stream = client.subscribe("subscribe_to_component_updates")
    asking = start(running, running.nucleus.updates.ask(DEPLOYMENT, LONG))
    stream.next()
    if delay is not None:
        client.call("defer_component_update", deployment_id=DEPLOYMENT, recheck_after_ms=delay)
    running.do(running.nucleus.updates.withdraw, DEPLOYMENT)
    assert asking.result(LONG) is False


def test_subscriber_that_goes_is_not_waited_for(
    running: ipc_host.RunningServer, connect: sdk.Connect
) -> None:
    """The update does not wait for a component that has gone."""
    stream = connect().subscribe("subscribe_to_component_updates")
    asking = start(running, running.nucleus.updates.ask(DEPLOYMENT, LONG))
    stream.next()
    stream.end()
    assert asking.result(LONG) is True


def test_late_deferral(running: ipc_host.RunningServer, connect: sdk.Connect) -> None:
    """An answer that nobody waits for is a ServiceError."""
    client = connect()
    client.subscribe("subscribe_to_component_updates")
    with pytest.raises(model.ServiceError):
        client.call("defer_component_update", deployment_id=DEPLOYMENT, recheck_after_ms=0)


def test_negative_deferral(running: ipc_host.RunningServer) -> None:
    """A time in the past makes no sense."""
    fields = {"deploymentId": DEPLOYMENT, "recheckAfterMs": -1}
    with raw.RawClient(running.path) as client:
        client.shake_hands(f"token-of-{COMPONENT}")
        assert client.call(1, "DeferComponentUpdate", fields)[0] == "InvalidArgumentsError"
