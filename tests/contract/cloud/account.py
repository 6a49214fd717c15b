"""What the suite runs against: the local cloud, or a real account with VERGE_TEST_AWS=1.

All that it makes has the prefix of its run and the tag TAG, and is removed in the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import exceptions
from botocore import model as boto
from botocore.config import Config

from tests.contract.cloud import coverage
from tests.support import running_cloud
from verge.cloud.greengrass import validation

ON_AWS = os.environ.get("VERGE_TEST_AWS") == "1"
TAG = "verge-test"
PATIENCE = 120.0 if ON_AWS else 20.0
LOOK = 2.0 if ON_AWS else 0.01


def local_only(reason: str) -> pytest.MarkDecorator:
    """Mark what only the local cloud can answer."""
    return pytest.mark.skipif(ON_AWS, reason=f"only on the local cloud: {reason}")


class Account:
    """Clients of one account, names for this run and what has to be removed after it."""

    def __init__(self, local: running_cloud.RunningCloud | None) -> None:
        self.local = local
        self.run = uuid.uuid4().hex[:8]
        self.tags = {TAG: self.run}
        self.exercised: set[tuple[str, str, str]] = set()
        """Operation, side and path of every member in a call that succeeded."""
        self._made = contextlib.ExitStack()
        self._clients: dict[tuple[str, bool], Any] = {}
        self.region = str(self.client("sts").meta.region_name)
        self.id = str(self.client("sts").get_caller_identity()["Account"])

    @property
    def greengrass(self) -> Any:
        """The client of the API under test."""
        return self.client("greengrassv2")

    @property
    def unchecked(self) -> Any:
        """The same without botocore's own checks, for requests that are wrong."""
        return self.client("greengrassv2", checked=False)

    def client(self, service: str, *, checked: bool = True) -> Any:
        """Return an unmodified boto3 client. Answers of Greengrass are held to their model."""
        if (service, checked) not in self._clients:
            self._clients[service, checked] = self._make(service, checked=checked)
        return self._clients[service, checked]

    def _make(self, service: str, *, checked: bool) -> Any:
        config = Config(
            parameter_validation=checked, retries={"mode": "standard", "max_attempts": 3}
        )
        made: Any = (
            boto3.client(service, config=config)
            if self.local is None
            else self.local.client(service, config=config)
        )
        if service == "greengrassv2":
            made.meta.events.register("provide-client-params.greengrassv2", _remember)
            made.meta.events.register("after-call.greengrassv2", self._check)
        return made

    def name(self, kind: str) -> str:
        """Return a name that nothing else has."""
        return f"{TAG}-{self.run}-{kind}-{uuid.uuid4().hex[:6]}"

    def arn(self, service: str, rest: str) -> str:
        """Return an ARN of this account."""
        return f"arn:aws:{service}:{self.region}:{self.id}:{rest}"

    def bucket(self) -> str:
        """Make a bucket."""
        name, s3 = self.name("bucket"), self.client("s3")
        place = {"LocationConstraint": self.region}
        # The oldest region must not be named.
        given = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": place}
        s3.create_bucket(Bucket=name, **given)
        self._made.callback(self._remove_bucket, name)
        s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": TAG, "Value": self.run}]})
        return name

    def thing(self) -> tuple[str, str]:
        """Make a thing; return its name and ARN."""
        name, iot = self.name("thing"), self.client("iot")
        arn = iot.create_thing(thingName=name)["thingArn"]
        self._made.callback(self._quietly, iot.delete_thing, thingName=name)
        return name, str(arn)

    def group(self, *things: str) -> tuple[str, str]:
        """Make a thing group of these things; return its name and ARN."""
        name, iot = self.name("group"), self.client("iot")
        tags = [{"Key": TAG, "Value": self.run}]
        arn = iot.create_thing_group(thingGroupName=name, tags=tags)["thingGroupArn"]
        self._made.callback(self._quietly, iot.delete_thing_group, thingGroupName=name)
        for thing in things:
            iot.add_thing_to_thing_group(thingGroupName=name, thingName=thing)
        return name, str(arn)

    def register(self, recipe: bytes, **members: Any) -> Mapping[str, Any]:
        """Register a component version; the answer."""
        answer: Mapping[str, Any] = self.greengrass.create_component_version(
            inlineRecipe=recipe, **{"tags": self.tags, **members}
        )
        self._made.callback(self._quietly, self.greengrass.delete_component, arn=answer["arn"])
        return answer

    def publish(self, name: str | None = None, version: str = "1.0.0", **members: Any) -> str:
        """Register a version of a component and wait until it is DEPLOYABLE; return its ARN."""
        arn = str(self.register(recipe(name or self.name("c"), version, **members))["arn"])
        assert self.settled(arn)["componentState"] == "DEPLOYABLE"
        return arn

    def settled(self, arn: str) -> Mapping[str, Any]:
        """Wait until a version's registration has ended; its status."""

        def ended() -> Mapping[str, Any] | None:
            status: Mapping[str, Any] = self.greengrass.describe_component(arn=arn)["status"]
            return None if status["componentState"] in {"REQUESTED", "INITIATED"} else status

        return dict(wait_for(ended, f"{arn} is registered"))

    def deploy(self, target: str, components: Mapping[str, Any], **members: Any) -> Any:
        """Create a deployment; the answer."""
        answer = self.greengrass.create_deployment(
            targetArn=target, components=components, **{"tags": self.tags, **members}
        )
        self._made.callback(self._remove_deployment, answer["deploymentId"])
        return answer

    def _check(
        self, http_response: Any, parsed: Any, model: Any, context: dict[str, Any], **_: Any
    ) -> None:
        """Hold an answer to its model and note which members the call had."""
        if http_response.status_code >= 300:
            return
        answer = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
        for side, shape, value in (
            ("request", model.input_shape, context.get("given", {})),
            ("response", model.output_shape, answer),
        ):
            if shape is not None:
                found = coverage.present(shape, value)
                self.exercised.update((model.name, side, path) for path in found)
        if model.output_shape is not None:
            _hold_to_model(model, answer, http_response.content)

    def close(self) -> None:
        """Remove everything."""
        self._made.close()
        for client in self._clients.values():
            client.close()

    def _remove_deployment(self, deployment_id: str) -> None:
        self._quietly(self.greengrass.cancel_deployment, deploymentId=deployment_id)
        self._quietly(self.greengrass.delete_deployment, deploymentId=deployment_id)

    def _remove_bucket(self, name: str) -> None:
        s3 = self.client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
            for found in page.get("Contents", []):
                s3.delete_object(Bucket=name, Key=found["Key"])
        s3.delete_bucket(Bucket=name)

    def _quietly(self, call: Callable[..., Any], **members: Any) -> None:
        with contextlib.suppress(exceptions.ClientError):
            call(**members)


def recipe(
    name: str,
    version: str = "1.0.0",
    *,
    artifacts: Mapping[str, str] | None = None,
    dependencies: Mapping[str, str] | None = None,
    platform: Mapping[str, str] | None = None,
) -> bytes:
    """Return a recipe as JSON; `artifacts` maps URIs to what is done with them."""
    manifest: dict[str, Any] = {
        "Platform": dict(platform or {"os": "linux", "runtime": "*"}),
        "Lifecycle": {"run": "sleep 1000"},
    }
    if artifacts:
        manifest["Artifacts"] = [{"Uri": u, "Unarchive": w} for u, w in artifacts.items()]
    document: dict[str, Any] = {
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentDescription": "Made by a test of Verge",
        "ComponentPublisher": "Verge",
        "ComponentConfiguration": {"DefaultConfiguration": {"rate": "1"}},
        "Manifests": [manifest],
    }
    if dependencies:
        document["ComponentDependencies"] = {
            needed: {"VersionRequirement": wanted} for needed, wanted in dependencies.items()
        }
    return json.dumps(document).encode()


def refused(
    code: str,
) -> contextlib.AbstractContextManager[pytest.ExceptionInfo[exceptions.ClientError]]:
    """Expect a refusal with this code."""
    return pytest.raises(exceptions.ClientError, match=rf"\({code}\)")


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Return the first value of a condition that is not empty."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"still not: {what}"
        time.sleep(LOOK)
    return found


@contextlib.contextmanager
def running() -> Iterator[Account]:
    """Run the suite's account, and the local cloud unless it is one of AWS."""
    with contextlib.ExitStack() as stack:
        local = None
        if not ON_AWS:
            state = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "cloud"
            local = stack.enter_context(running_cloud.running(state))
        account = Account(local)
        stack.callback(account.close)
        yield account


def _remember(params: Any, context: dict[str, Any], **_: Any) -> None:
    """Keep what a call was given until its answer comes."""
    context["given"] = params


def _hold_to_model(operation: boto.OperationModel, answer: Any, content: bytes) -> None:
    """Fail where an answer is not what the service model says."""
    shape = operation.output_shape
    assert shape is not None
    # The least length of a list or a map binds requests; in an answer "none" is an empty one.
    wrong = [each for each in validation.violations(shape, answer) if each.value not in ([], {})]
    assert not wrong, f"{operation.name} answers {wrong}"
    known = {member.serialization.get("name", name) for name, member in shape.members.items()}
    unknown = set(json.loads(content or b"{}")) - known
    assert not unknown, f"{operation.name} answers unknown members {unknown}"
