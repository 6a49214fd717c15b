"""Shadows through both SDK clients (contract 4.8, 4.9)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import conftest, sdk

if TYPE_CHECKING:
    from tests.support import ipc_host

THING = "press-01"
TOPIC = f"$aws/things/{THING}/shadow"
PUBSUB = {"aws.greengrass.ipc.pubsub": {"1": {"operations": ["*"], "resources": ["$aws/*"]}}}


def policy(*resources: str) -> dict[str, Any]:
    one = {"operations": ["*"], "resources": list(resources)}
    return {"accessControl": {"aws.greengrass.ShadowManager": {"2": one}, **PUBSUB}}


@pytest.fixture
def client(nucleus: ipc_host.MemoryHost, connect: sdk.Connect) -> sdk.Sdk:
    nucleus.install(conftest.OTHER, policy("*"))
    return connect(conftest.OTHER)


def update(client: sdk.Sdk, state: Any, name: str | None = None) -> dict[str, Any]:
    payload = json.dumps({"state": state}).encode()
    answer = client.call("update_thing_shadow", thing_name=THING, shadow_name=name, payload=payload)
    return dict(json.loads(answer.payload))


def test_life_of_a_shadow(client: sdk.Sdk) -> None:
    """What was updated is got, listed if it has a name, and gone once it is deleted."""
    assert update(client, {"desired": {"rate": 5}}, "line")["version"] == 1
    assert update(client, {"reported": {"rate": 4}}, "line")["version"] == 2
    got = client.call("get_thing_shadow", thing_name=THING, shadow_name="line")
    document = json.loads(got.payload)
    assert document["state"] == {
        "desired": {"rate": 5},
        "reported": {"rate": 4},
        "delta": {"rate": 5},
    }
    assert client.call("list_named_shadows_for_thing", thing_name=THING).results == ["line"]
    gone = client.call("delete_thing_shadow", thing_name=THING, shadow_name="line")
    assert json.loads(gone.payload)["version"] == 2
    with pytest.raises(model.ResourceNotFoundError) as missing:
        client.call("get_thing_shadow", thing_name=THING, shadow_name="line")
    assert (missing.value.resource_type, missing.value.resource_name) == ("Shadow", "line")


def test_empty_name_is_the_classic_shadow(client: sdk.Sdk) -> None:
    """No name and an empty name are the same shadow."""
    update(client, {"desired": {"rate": 5}}, "")
    assert json.loads(client.call("get_thing_shadow", thing_name=THING).payload)["version"] == 1


def test_local_topics(client: sdk.Sdk) -> None:
    """Subscribers of the local topics get binary messages with what happened."""
    topics = ["update/accepted", "update/delta", "update/documents", "get/rejected"]
    streams = [client.subscribe("subscribe_to_topic", topic=f"{TOPIC}/{each}") for each in topics]
    update(client, {"desired": {"rate": 5}})
    with pytest.raises(model.ResourceNotFoundError):
        client.call("get_thing_shadow", thing_name=THING, shadow_name="none")
    with pytest.raises(model.ResourceNotFoundError):
        client.call("delete_thing_shadow", thing_name="other")
    client.call("delete_thing_shadow", thing_name=THING)
    with pytest.raises(model.ResourceNotFoundError):
        client.call("get_thing_shadow", thing_name=THING)
    events = [stream.next().binary_message for stream in streams]
    assert [event.context.topic for event in events] == [f"{TOPIC}/{each}" for each in topics]
    accepted, delta, documents, rejected = (json.loads(event.message) for event in events)
    assert accepted["state"] == {"desired": {"rate": 5}}
    assert delta["state"] == {"rate": 5}
    assert documents["current"]["version"] == 1
    assert rejected["code"] == 404
    assert streams[3].events.empty()  # the shadow of another name has topics of its own


def test_pages(client: sdk.Sdk) -> None:
    """A long list comes in pages, each with the way to the next."""
    names = [f"n{number:02}" for number in range(30)]
    for name in names:
        update(client, {"desired": {"rate": 5}}, name)
    found: list[str] = []
    token = None
    for size in (None, 3, 100):
        page = client.call(
            "list_named_shadows_for_thing", thing_name=THING, page_size=size, next_token=token
        )
        found += page.results
        token = page.next_token
    assert found == names
    assert token is None


@pytest.mark.parametrize(
    ("resource", "thing", "name", "allowed"),
    [
        pytest.param(TOPIC, THING, None, True, id="classic"),
        pytest.param(TOPIC, THING, "line", False, id="classic is not named"),
        pytest.param(f"{TOPIC}/name/line", THING, "line", True, id="named"),
        pytest.param(f"{TOPIC}/name/line", THING, "other", False, id="other name"),
        pytest.param(f"{TOPIC}*", THING, "line", True, id="all of a thing"),
        pytest.param(TOPIC, "press-02", None, False, id="other thing"),
        pytest.param(THING, THING, None, False, id="bare thing"),
    ],
)
def test_policies_name_topics(
    nucleus: ipc_host.MemoryHost,
    connect: sdk.Connect,
    resource: str,
    thing: str,
    name: str | None,
    allowed: bool,
) -> None:
    """A policy names the shadow's topic prefix."""
    nucleus.install(conftest.OTHER, policy(resource))
    client = connect(conftest.OTHER)
    expected = model.ResourceNotFoundError if allowed else model.UnauthorizedError
    with pytest.raises(expected):
        client.call("get_thing_shadow", thing_name=thing, shadow_name=name)


@pytest.mark.parametrize(("resource", "allowed"), [(THING, True), (TOPIC, False)])
def test_policy_of_a_list_names_the_thing(
    nucleus: ipc_host.MemoryHost, connect: sdk.Connect, resource: str, allowed: bool
) -> None:
    """Listing is allowed by the name of the thing."""
    nucleus.install(conftest.OTHER, policy(resource))
    client = connect(conftest.OTHER)
    if allowed:
        assert client.call("list_named_shadows_for_thing", thing_name=THING).results == []
    else:
        with pytest.raises(model.UnauthorizedError):
            client.call("list_named_shadows_for_thing", thing_name=THING)
