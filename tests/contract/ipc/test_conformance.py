"""Every operation of contract 4.8 on a real nucleus, in raw frames and through both SDK clients."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from awsiot.greengrasscoreipc import client as v1
from awsiot.greengrasscoreipc import model

from tests.contract.ipc import operations, raw, sdk
from tests.contract.ipc.operations import CLI, DENIED, EXAMPLES, FULL, OPERATIONS, Example
from tests.support import nucleus as nuclei
from tests.support import recipes
from verge.nucleus.store import secret_files

POLICY = {"one": {"operations": ["*"], "resources": ["*"]}}
SERVICES = (
    "aws.greengrass.ipc.pubsub",
    "aws.greengrass.ipc.mqttproxy",
    "aws.greengrass.ipc.lifecycle",
    "aws.greengrass.ipc.componentmetric",
    "aws.greengrass.ShadowManager",
    "aws.greengrass.SecretManager",
    "aws.greengrass.Cli",
)
ACCESS = {"accessControl": dict.fromkeys(SERVICES, POLICY)}
CONFIGURATIONS: Mapping[str, Mapping[str, Any]] = {
    FULL: {**ACCESS, "rate": 5},
    DENIED: {},
    operations.TARGET: {},
    operations.STREAM_MANAGER: {},
    operations.METRICS: ACCESS,
}
TELL_TOKEN = "echo $SVCUID > token.new; mv token.new token; exec sleep 1000"

Tokens = Mapping[str, str]
Served = tuple[Path, Tokens]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A nucleus process with components that tell their tokens; its socket and those."""
    loop = asyncio.new_event_loop()
    components = [
        recipes.Component(name, run=TELL_TOKEN, configuration=configuration)
        for name, configuration in CONFIGURATIONS.items()
    ]
    running = nuclei.running_nucleus(*components)
    nucleus = loop.run_until_complete(running.__aenter__())
    try:
        loop.run_until_complete(prepare(nucleus))
        yield nucleus.paths.socket, tokens_of(nucleus)
    finally:
        loop.run_until_complete(running.__aexit__(None, None, None))
        loop.close()


async def prepare(nucleus: nuclei.NucleusProcess) -> None:
    kept = secret_files.SecretFiles(nucleus.paths.secrets)
    for value in ("first", "second"):
        kept.put("press/password", value)
    kept.put("press/key", b"\xff\x00")
    merges = [argument for name in CONFIGURATIONS for argument in ("--merge", name)]
    await nucleus.deploy(*merges)
    for name in CONFIGURATIONS:
        await nucleus.until(nucleus.work(name, "token").is_file, f"{name} tells its token")


def tokens_of(nucleus: nuclei.NucleusProcess) -> Tokens:
    info = next(iter(nucleus.paths.cli_info.iterdir()))
    tokens = {name: nucleus.work(name, "token").read_text().strip() for name in CONFIGURATIONS}
    return {**tokens, CLI: json.loads(info.read_text())["cli_auth_token"]}


@pytest.fixture(scope="module", params=[sdk.V1, sdk.V2], ids=["V1", "V2"])
def clients(request: pytest.FixtureRequest, served: Served) -> Iterator[Mapping[str, sdk.Sdk]]:
    """One connected client for every principal."""
    path, tokens = served
    opened = {name: request.param(path, token) for name, token in tokens.items()}
    yield opened
    for client in opened.values():
        client.close()


def ask(served: Served, who: str, operation: str, request: Any) -> tuple[str, Any]:
    path, tokens = served
    with raw.RawClient(path) as client:
        return client.shake_hands(tokens[who]).call(1, operation, request)


def python_name(operation: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", operation.replace("IoTCore", "IotCore")).lower()


def python_fields(operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the SDK's own request holds, by its Python names."""
    shape = getattr(model, f"{operation}Request")._from_payload(request)
    return {name: value for name, value in vars(shape).items() if value is not None}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_raw(served: Served, example: Example) -> None:
    """Every answer has the shape and the fields of contract 4.8."""
    shape, content = ask(served, example.who, example.operation, example.request)
    assert shape == (example.answer or f"{example.operation}Response"), content
    assert {key: content.get(key) for key in example.fields} == example.fields
    if example.answer:
        assert content["message"] == content["_message"]
        assert content["_errorCode"] == example.answer


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.id)
def test_sdk(clients: Mapping[str, sdk.Sdk], example: Example) -> None:
    """Both clients understand every answer (contract 7, trap 12)."""
    client = clients[example.who]
    name = python_name(example.operation)
    fields = python_fields(example.operation, example.request)
    act = client.subscribe if OPERATIONS[example.operation].event else client.call
    if not example.answer:
        assert act(name, **fields) is not None
        return
    with pytest.raises(getattr(model, example.answer)) as refused:
        act(name, **fields)
    assert refused.value.message  # trap 15: the text is in `message`


@pytest.mark.parametrize("name", [n for n, o in OPERATIONS.items() if o.denied is not None])
def test_denied(served: Served, name: str) -> None:
    """Every operation that needs a policy is refused without one (contract 4.9)."""
    shape, content = ask(served, DENIED, name, OPERATIONS[name].denied)
    assert shape == "UnauthorizedError"
    assert content["message"]


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - operations.CLIENT_DEVICES))
@pytest.mark.parametrize(
    ("payload", "error"),
    [
        pytest.param(b"{", "ServiceError", id="cut off"),
        pytest.param(b"\xff", "ServiceError", id="no text"),
        pytest.param(b"[]", "InvalidArgumentsError", id="no object"),
    ],
)
def test_garbage(served: Served, name: str, payload: bytes, error: str) -> None:
    """A request that cannot be read is a modelled error, and the connection goes on."""
    path, tokens = served
    with raw.RawClient(path) as client:
        client.shake_hands(tokens[CLI])
        assert client.call(1, name, payload)[0] == error
        assert client.call(2, "ListComponents")[0] == "ListComponentsResponse"


def test_token_of_a_component(clients: Mapping[str, sdk.Sdk], served: Served) -> None:
    """The stream manager learns that a component's token is valid."""
    answer = clients[operations.STREAM_MANAGER].call(
        "validate_authorization_token", token=served[1][DENIED]
    )
    assert answer.is_valid is True


def test_every_operation_is_in_the_table() -> None:
    """The table has the operations of the SDK, 35 in number, and of no other origin."""
    new = [name.removeprefix("new_") for name in vars(v1.GreengrassCoreIPCClient)]
    known = {name for name in new if hasattr(v1.GreengrassCoreIPCClient, f"new_{name}")}
    assert {python_name(name) for name in OPERATIONS} == known
    assert len(OPERATIONS) == 35


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_has_an_example(name: str) -> None:
    """Every operation has its good answer and each modelled error, or a reason why not."""
    shown = {example.answer for example in EXAMPLES if example.operation == name}
    for answer in {"", *OPERATIONS[name].errors} - shown - {operations.UNAUTHORIZED}:
        key = (name, answer)
        if key in operations.ELSEWHERE:
            module, _, test = operations.ELSEWHERE[key].partition(".")
            assert hasattr(importlib.import_module(f"tests.contract.ipc.{module}"), test)
        else:
            assert key in operations.NEVER or name in operations.CLIENT_DEVICES, key


@pytest.mark.parametrize(
    "name", [n for n, o in OPERATIONS.items() if operations.UNAUTHORIZED in o.errors]
)
def test_every_refusal_has_an_example(name: str) -> None:
    """Every operation that models UnauthorizedError is tried without a policy, or says why not."""
    key = (name, operations.UNAUTHORIZED)
    assert OPERATIONS[name].denied is not None or key in operations.NEVER
