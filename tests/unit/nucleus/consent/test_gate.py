"""What components have a say in before a deployment is activated."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from verge.nucleus.consent import gate, updates
from verge.nucleus.deployment import failures
from verge.nucleus.ipc import host
from verge.nucleus.store import state, tree

NAME = "com.example.Press"
DEPLOYMENT = "d"

Told = list[host.PreUpdate | host.PostUpdate]


def device(version: str = "1.0.0", **configuration: Any) -> state.DeviceState:
    installed = state.Installed(name=NAME, version=version, recipe_text="")
    return state.DeviceState(
        components={NAME: installed}, configuration={NAME: tree.build(configuration, 1.0)}
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param(device(rate=5), device(rate=6), {NAME: {"rate": 6}}, id="changed"),
        pytest.param(device(rate=5), device(rate=5), {}, id="same"),
        pytest.param(device(rate=5), device("1.1.0", rate=6), {}, id="other version"),
        pytest.param(state.DeviceState(), device(rate=6), {}, id="new component"),
        pytest.param(device(rate=5), state.DeviceState(), {}, id="removed component"),
        pytest.param(device(a=1), device(a=1, b=2), {NAME: {"a": 1, "b": 2}}, id="whole"),
    ],
)
def test_proposals(
    before: state.DeviceState, after: state.DeviceState, expected: Mapping[str, Any]
) -> None:
    """Only components that keep their version and get another configuration are asked."""
    assert gate.proposals(before, after) == expected


async def test_rejection_is_a_reason_for_failure() -> None:
    """A rejection has the code that Greengrass reports."""
    one = gate.Gate()
    one.validation.subscribe(
        NAME, lambda d, _: one.validation.report(NAME, d, accepted=False, message="no")
    )
    with pytest.raises(failures.DeploymentError, match="rejects it: no") as refused:
        await one.open(DEPLOYMENT, device(rate=5), device(rate=6))
    assert refused.value.code == "COMPONENT_CONFIGURATION_NOT_VALID"


async def test_local_deployments_notify_nobody() -> None:
    """Without a limit for updates, subscribers hear of neither begin nor end (contract 3.7)."""
    one = gate.Gate()
    told: Told = []
    one.updates.subscribe(NAME, told.append)
    await one.open(DEPLOYMENT, device(rate=5), device(rate=6))
    one.close(DEPLOYMENT)
    assert told == []


async def test_subscribers_are_told_of_begin_and_end() -> None:
    """With a limit, all are asked before and told after; silence is consent."""
    one = gate.Gate()
    told: Told = []
    one.updates.subscribe(NAME, told.append)
    policy = gate.Policy(update_limit=0.01)
    await one.open(DEPLOYMENT, device(), device(), policy, restarting=True)
    one.close("another")
    one.close(DEPLOYMENT)
    one.close(DEPLOYMENT)
    assert told == [host.PreUpdate(DEPLOYMENT, restarting=True), host.PostUpdate(DEPLOYMENT)]


async def test_withdrawn_deployment_waits_for_no_validation() -> None:
    """A deployment that is cancelled while components validate notifies nobody after that."""
    one = gate.Gate()
    told: Told = []
    asked = asyncio.Event()
    one.validation.subscribe(NAME, lambda _deployment, _configuration: asked.set())
    one.updates.subscribe(NAME, told.append)
    opening = asyncio.ensure_future(
        one.open(DEPLOYMENT, device(rate=5), device(rate=6), gate.Policy(60, update_limit=60))
    )
    await asked.wait()
    one.withdraw("another")
    one.withdraw(DEPLOYMENT)
    async with asyncio.timeout(5):
        await opening
    with pytest.raises(host.UnknownRequestError):
        one.validation.report(NAME, DEPLOYMENT, accepted=True, message="")
    one.close(DEPLOYMENT)
    assert told == []


async def test_withdrawn_deployment_ends_its_wait() -> None:
    """A cancelled deployment waits for nobody, and who was asked learns of the end."""
    one = gate.Gate()
    told: Told = []
    asked = asyncio.Event()

    def tell(event: host.PreUpdate | host.PostUpdate) -> None:
        told.append(event)
        asked.set()

    one.updates.subscribe(NAME, tell)
    opening = asyncio.ensure_future(
        one.open(DEPLOYMENT, device(), device(), gate.Policy(update_limit=60))
    )
    await asked.wait()
    one.withdraw("another")
    one.withdraw(DEPLOYMENT)
    async with asyncio.timeout(5):
        await opening
    one.close(DEPLOYMENT)
    assert told[-1] == host.PostUpdate(DEPLOYMENT)


class Subscriber:
    """A component that answers every question by the next of its times in milliseconds."""

    def __init__(self, asks: updates.Updates, name: str, *answers: int) -> None:
        self._asks = asks
        self._name = name
        self._answers = list(answers)
        self.asked = 0
        self.leave = asks.subscribe(name, self._tell)

    def _tell(self, event: host.PreUpdate | host.PostUpdate) -> None:
        self.asked += 1
        if self._answers:
            self._asks.defer(self._name, event.deployment_id, self._answers.pop(0))


async def settle() -> None:
    """Let everything happen that waits for no time."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_silence_of_one_does_not_outvote_another() -> None:
    """Who puts the update off is asked again, though somebody else does not answer."""
    asks = updates.Updates()
    busy, silent = Subscriber(asks, NAME, 1, 0), Subscriber(asks, "com.example.Silent")
    assert await asks.ask(DEPLOYMENT, 0.01) is True
    assert (busy.asked, silent.asked) == (2, 2)


async def test_who_goes_does_not_shorten_the_time_of_others() -> None:
    """The update stays put off while another component goes, and until its own has gone."""
    asks = updates.Updates()
    busy, other = Subscriber(asks, NAME, 60_000), Subscriber(asks, "com.example.Other", 0)
    Subscriber(asks, "com.example.Third", 0, 0)
    asking = asyncio.ensure_future(asks.ask(DEPLOYMENT, 60))
    await settle()
    other.leave()
    await settle()
    assert busy.asked == 1
    busy.leave()
    async with asyncio.timeout(5):
        assert await asking is True


async def test_answer_after_the_limit_is_too_late() -> None:
    """While the update is put off, nobody else's answer is waited for."""
    asks = updates.Updates()
    busy, silent = Subscriber(asks, NAME, 60_000), Subscriber(asks, "com.example.Silent")
    asking = asyncio.ensure_future(asks.ask(DEPLOYMENT, 0))
    await settle()
    with pytest.raises(host.UnknownRequestError):
        asks.defer("com.example.Silent", DEPLOYMENT, 0)
    assert (busy.asked, silent.asked) == (1, 1)
    asks.withdraw(DEPLOYMENT)
    assert await asking is False
