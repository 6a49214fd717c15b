"""Components that talk through the nucleus with the AWS IoT device SDK, unmodified."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.support import nucleus as nuclei
from tests.support import recipes

SENDER = "com.example.Sender"
RECEIVER = "com.example.Receiver"

SEND = b"""
import json, time
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import JsonMessage, PublishMessage
client = GreengrassCoreIPCClientV2()
number = 0
while True:
    message = PublishMessage(json_message=JsonMessage(message={"number": number}))
    client.publish_to_topic(topic="press/cycles", publish_message=message)
    number += 1
    time.sleep(0.05)
"""

RECEIVE = b"""
import json, threading
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
client = GreengrassCoreIPCClientV2()
def received(event):
    with open("received", "a") as file:
        file.write(json.dumps(event.json_message.message) + "\\n")
def changed(event):
    value = client.get_configuration(key_path=["rate"]).value
    with open("rates", "a") as file:
        file.write(json.dumps(value) + "\\n")
client.subscribe_to_topic(topic="press/#", on_stream_event=received)
client.subscribe_to_configuration_update(key_path=["rate"], on_stream_event=changed)
client.update_state(state="RUNNING")
threading.Event().wait()
"""


def policy(name: str, operation: str) -> dict[str, Any]:
    return {
        "aws.greengrass.ipc.pubsub": {
            f"{name}:pubsub:1": {
                "operations": [f"aws.greengrass#{operation}"],
                "resources": ["press/cycles", "press/#"],
            }
        }
    }


def program(name: str, code: bytes, operation: str, **configuration: Any) -> recipes.Component:
    return recipes.Component(
        name,
        run=f"exec {sys.executable} {{artifacts:path}}/main.py",
        configuration={"accessControl": policy(name, operation)} | configuration,
        artifacts={"main.py": code},
    )


async def test_messages_reach_a_subscriber() -> None:
    """What one component publishes, another one receives, in order."""
    sender = program(SENDER, SEND, "PublishToTopic")
    receiver = program(RECEIVER, RECEIVE, "SubscribeToTopic", rate=1)
    async with nuclei.running_nucleus(receiver, sender) as nucleus:
        await nucleus.deploy("--merge", RECEIVER, "--merge", SENDER)
        file = nucleus.work(RECEIVER, "received")
        await nucleus.until(lambda: len(lines(file)) >= 5, "messages arrive")
        numbers = [json.loads(line)["number"] for line in lines(file)]
        assert sorted(numbers) == list(range(numbers[0], numbers[0] + len(numbers)))


OF_THIS_DEVICE = b"""
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2
from awsiot.greengrasscoreipc.model import JsonMessage, PublishMessage, UnauthorizedError
client = GreengrassCoreIPCClientV2()
message = PublishMessage(json_message=JsonMessage(message={}))
client.publish_to_topic(topic="press-01/cycles", publish_message=message)
try:
    client.publish_to_topic(topic="press-02/cycles", publish_message=message)
except UnauthorizedError:
    open("told", "w").close()
"""


async def test_policy_may_name_the_device() -> None:
    """`{iot:thingName}` in a policy is the device's where values are interpolated (4.9)."""
    access = policy(SENDER, "PublishToTopic")
    access["aws.greengrass.ipc.pubsub"][f"{SENDER}:pubsub:1"]["resources"] = ["{iot:thingName}/*"]
    sender = program(SENDER, OF_THIS_DEVICE, "PublishToTopic", accessControl=access)
    configuration = {"interpolateComponentConfiguration": True}
    async with nuclei.running_nucleus(sender, configuration=configuration) as nucleus:
        await nucleus.deploy("--merge", SENDER)
        await nucleus.in_state(SENDER, "FINISHED")
        assert nucleus.work(SENDER, "told").exists()


async def test_deployed_value_reaches_its_subscriber() -> None:
    """A merged value is told to the component at once, which is not restarted."""
    receiver = program(RECEIVER, RECEIVE, "SubscribeToTopic", rate=1)
    async with nuclei.running_nucleus(receiver) as nucleus:
        await nucleus.deploy("--merge", RECEIVER)
        report = await nucleus.deploy(
            "--update-config", json.dumps({RECEIVER: {"MERGE": {"rate": 5}}})
        )
        assert report["status"] == "SUCCEEDED"
        file = nucleus.work(RECEIVER, "rates")
        await nucleus.until(lambda: lines(file) == ['{"rate": 5}'], "the new rate is read")


async def test_reported_state_ends_the_wait_for_health() -> None:
    """A component that reports RUNNING needs no settle time."""
    receiver = program(RECEIVER, RECEIVE, "SubscribeToTopic", rate=1)
    patient = {"verge": {"settleSeconds": 1000}}
    async with nuclei.running_nucleus(receiver, configuration=patient) as nucleus:
        report = await nucleus.deploy("--merge", RECEIVER)
        assert report["status"] == "SUCCEEDED"


async def test_reported_error_is_an_error() -> None:
    """A component that reports ERRORED three times is BROKEN, and its deployment fails."""
    code = RECEIVE.replace(b'state="RUNNING"', b'state="ERRORED"')
    receiver = program(RECEIVER, code, "SubscribeToTopic", rate=1)
    patient = {"verge": {"settleSeconds": 1000}}
    async with nuclei.running_nucleus(receiver, configuration=patient) as nucleus:
        report = await nucleus.deploy("--merge", RECEIVER)
        assert "the component reported ERRORED (RUN_ERROR)" in report["failure_cause"]


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
