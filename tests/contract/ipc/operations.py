"""The operations of contract 4.8 and what a nucleus answers, as tables.

An example is one request and its answer. `test_conformance.py` puts each to a real nucleus, in raw
frames and through both SDK clients, and holds the tables to one another: every operation has a
good answer, each of its modelled errors and its refusal.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FULL = "com.example.Full"
DENIED = "com.example.Denied"
TARGET = "com.example.Target"
STREAM_MANAGER = "aws.greengrass.StreamManager"
METRICS = "aws.example.Metrics"
CLI = "greengrass-cli"
THING = "press-01"
NOBODY = "com.example.Missing"
UNKNOWN = "0b4a4c9e-0000-4000-8000-000000000000"

INVALID = "InvalidArgumentsError"
NOT_FOUND = "ResourceNotFoundError"
UNAUTHORIZED = "UnauthorizedError"
SERVICE = "ServiceError"


@dataclass(frozen=True)
class Operation:
    """An operation: its modelled errors, beside ServiceError, and whether it has a stream."""

    errors: frozenset[str] = frozenset()
    event: str | None = None
    denied: Mapping[str, Any] | None = None
    """A good request, which must be denied without a policy; None: no policy is needed."""


def operation(*errors: str, event: str | None = None, denied: Any = None) -> Operation:
    return Operation(frozenset(errors), event, denied)


def blob(document: Any) -> str:
    """Return JSON as a blob."""
    return base64.b64encode(json.dumps(document).encode()).decode()


MESSAGE = {"jsonMessage": {"message": {"a": 1}}}
ONE = {"componentName": TARGET}
SHADOW = {"thingName": THING, "shadowName": "line"}
IOT = {"topicName": "a/b", "qos": "1", "payload": blob({})}
METRIC = {"name": "cycles", "unit": "COUNT", "value": 3}
UPDATE = {"payload": blob({"state": {"desired": {"rate": 5}}})}
DEPLOYMENT = {"deploymentId": UNKNOWN}

OPERATIONS: Mapping[str, Operation] = {
    "PublishToTopic": operation(UNAUTHORIZED, denied={"topic": "a/b", "publishMessage": MESSAGE}),
    "SubscribeToTopic": operation(
        INVALID, UNAUTHORIZED, event="SubscriptionResponseMessage", denied={"topic": "a/b"}
    ),
    "PublishToIoTCore": operation(UNAUTHORIZED, denied=IOT),
    "SubscribeToIoTCore": operation(
        UNAUTHORIZED, event="IoTCoreMessage", denied={"topicName": "a/b", "qos": "1"}
    ),
    "SubscribeToIoTCoreConnectionStatus": operation(event="IoTCoreConnectionStatusEvent"),
    "GetConfiguration": operation(NOT_FOUND),
    "UpdateConfiguration": operation(
        UNAUTHORIZED, "ConflictError", "FailedUpdateConditionCheckError", INVALID
    ),
    "SubscribeToConfigurationUpdate": operation(NOT_FOUND, event="ConfigurationUpdateEvents"),
    "SubscribeToValidateConfigurationUpdates": operation(event="ValidateConfigurationUpdateEvents"),
    "SendConfigurationValidityReport": operation(INVALID),
    "UpdateState": operation(NOT_FOUND),
    "SubscribeToComponentUpdates": operation(NOT_FOUND, event="ComponentUpdatePolicyEvents"),
    "DeferComponentUpdate": operation(NOT_FOUND, INVALID),
    "GetSecretValue": operation(UNAUTHORIZED, NOT_FOUND, denied={"secretId": "press/password"}),
    "GetThingShadow": operation(INVALID, NOT_FOUND, UNAUTHORIZED, denied=SHADOW),
    "UpdateThingShadow": operation(
        INVALID, "ConflictError", UNAUTHORIZED, denied={**SHADOW, **UPDATE}
    ),
    "DeleteThingShadow": operation(INVALID, NOT_FOUND, UNAUTHORIZED, denied=SHADOW),
    "ListNamedShadowsForThing": operation(
        INVALID, NOT_FOUND, UNAUTHORIZED, denied={"thingName": THING}
    ),
    "PauseComponent": operation(UNAUTHORIZED, NOT_FOUND, denied=ONE),
    "ResumeComponent": operation(UNAUTHORIZED, NOT_FOUND, denied=ONE),
    "GetComponentDetails": operation(NOT_FOUND, INVALID, denied=ONE),
    "ListComponents": operation(denied={}),
    "RestartComponent": operation("ComponentNotFoundError", INVALID, denied=ONE),
    "StopComponent": operation("ComponentNotFoundError", INVALID, denied=ONE),
    "CreateLocalDeployment": operation(
        "InvalidRecipeDirectoryPathError",
        "InvalidArtifactsDirectoryPathError",
        INVALID,
        denied={},
    ),
    "CancelLocalDeployment": operation(NOT_FOUND, INVALID, denied=DEPLOYMENT),
    "GetLocalDeploymentStatus": operation(NOT_FOUND, denied=DEPLOYMENT),
    "ListLocalDeployments": operation(denied={}),
    "CreateDebugPassword": operation(UNAUTHORIZED, denied={}),
    "ValidateAuthorizationToken": operation(
        "InvalidTokenError", UNAUTHORIZED, denied={"token": "A" * 16}
    ),
    "PutComponentMetric": operation(UNAUTHORIZED, INVALID, denied={"metrics": [METRIC]}),
    "SubscribeToCertificateUpdates": operation(event="CertificateUpdateEvent"),
    "VerifyClientDeviceIdentity": operation(),
    "GetClientDeviceAuthToken": operation(),
    "AuthorizeClientDeviceAction": operation(),
}

CLIENT_DEVICES = frozenset(
    {
        "SubscribeToCertificateUpdates",
        "VerifyClientDeviceIdentity",
        "GetClientDeviceAuthToken",
        "AuthorizeClientDeviceAction",
    }
)
"""Not served: each answers the ServiceError of a nucleus without client devices."""


@dataclass(frozen=True)
class Example:
    """A request and its answer: an error, or "" for the good one with these fields at least."""

    operation: str
    request: Mapping[str, Any]
    answer: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    who: str = FULL
    what: str = ""

    @property
    def id(self) -> str:
        return " ".join(filter(None, [self.operation, self.answer or "good", self.what]))


def good(
    operation: str, request: Any = None, who: str = FULL, what: str = "", **fields: Any
) -> Any:
    return Example(operation, request or {}, "", fields, who, what)


def bad(operation: str, error: str, request: Any = None, who: str = FULL, what: str = "") -> Any:
    return Example(operation, request or {}, error, {}, who, what)


EXAMPLES: list[Example] = [
    good("PublishToTopic", {"topic": "a/b", "publishMessage": MESSAGE}),
    bad("PublishToTopic", INVALID, {"topic": "a/+", "publishMessage": MESSAGE}, what="wildcard"),
    bad("PublishToTopic", INVALID, {"publishMessage": MESSAGE}, what="no topic"),
    bad("PublishToTopic", INVALID, {"topic": "a"}, what="no message"),
    good("SubscribeToTopic", {"topic": "a/b"}),
    bad("SubscribeToTopic", INVALID, {"topic": ""}, what="empty"),
    good("PublishToIoTCore", IOT),
    good("PublishToIoTCore", {**IOT, "qos": "0"}, what="QoS 0"),
    bad("PublishToIoTCore", INVALID, {**IOT, "qos": "2"}, what="QoS 2"),
    bad("PublishToIoTCore", INVALID, {k: IOT[k] for k in ("qos", "payload")}, what="no topic"),
    bad("PublishToIoTCore", INVALID, {k: IOT[k] for k in ("qos", "topicName")}, what="no payload"),
    bad("PublishToIoTCore", INVALID, {k: IOT[k] for k in ("payload", "topicName")}, what="no QoS"),
    bad("PublishToIoTCore", INVALID, {**IOT, "topicName": "a/#"}, what="wildcard"),
    bad("PublishToIoTCore", INVALID, {**IOT, "topicName": "/".join("a" * 9)}, what="8 slashes"),
    bad("PublishToIoTCore", INVALID, {**IOT, "topicName": "a" * 257}, what="257 bytes"),
    bad("PublishToIoTCore", INVALID, {**IOT, "payload": blob("x" * 131_072)}, what="too long"),
    good("SubscribeToIoTCore", {"topicName": "a/#", "qos": "1"}),
    bad("SubscribeToIoTCore", INVALID, {"topicName": "a/#/b", "qos": "1"}, what="misplaced #"),
    bad("SubscribeToIoTCore", INVALID, {"topicName": "a"}, what="no QoS"),
    good("SubscribeToIoTCoreConnectionStatus", who=DENIED),
    good("GetConfiguration", {"keyPath": ["rate"]}, value={"rate": 5}, componentName=FULL),
    good(
        "GetConfiguration",
        {"componentName": FULL, "keyPath": ["rate"]},
        DENIED,
        what="another's",
        value={"rate": 5},
    ),
    bad("GetConfiguration", NOT_FOUND, {"keyPath": ["nothing"]}),
    good("UpdateConfiguration", {"timestamp": 2e9, "valueToMerge": {"new": 1}}),
    bad("UpdateConfiguration", INVALID, {"valueToMerge": {"new": 1}}, what="no time"),
    bad("UpdateConfiguration", INVALID, {"timestamp": 2e9}, what="no value"),
    bad(
        "UpdateConfiguration",
        INVALID,
        {"timestamp": 2e9, "valueToMerge": {"accessControl": {}}},
        what="policies",
    ),
    bad(
        "UpdateConfiguration",
        "FailedUpdateConditionCheckError",
        {"timestamp": 0.5, "valueToMerge": {"rate": 6}},
    ),
    good("SubscribeToConfigurationUpdate", {"keyPath": ["rate"]}),
    bad("SubscribeToConfigurationUpdate", NOT_FOUND, {"keyPath": ["nothing"]}),
    good("SubscribeToValidateConfigurationUpdates", who=DENIED),
    bad(
        "SendConfigurationValidityReport",
        INVALID,
        {"configurationValidityReport": {"status": "ACCEPTED", "deploymentId": UNKNOWN}},
        what="not asked",
    ),
    bad("SendConfigurationValidityReport", INVALID, what="no report"),
    bad(
        "SendConfigurationValidityReport",
        INVALID,
        {"configurationValidityReport": {"status": "ACCEPTED"}},
        what="no deployment",
    ),
    good("UpdateState", {"state": "RUNNING"}, DENIED),
    bad("UpdateState", NOT_FOUND, {"state": "RUNNING"}, CLI),
    bad("UpdateState", INVALID, {"state": "FINISHED"}),
    good("SubscribeToComponentUpdates", who=DENIED),
    bad("SubscribeToComponentUpdates", NOT_FOUND, who=CLI),
    bad("DeferComponentUpdate", INVALID, {**DEPLOYMENT, "recheckAfterMs": 0}, TARGET, "stranger"),
    bad("DeferComponentUpdate", INVALID, {"recheckAfterMs": 0}, what="no deployment"),
    good(
        "GetSecretValue",
        {"secretId": "press/password"},
        versionStage=["AWSCURRENT"],
        secretValue={"secretString": "second"},
    ),
    good(
        "GetSecretValue",
        {"secretId": "press/password", "versionStage": "AWSPREVIOUS"},
        what="former",
        secretValue={"secretString": "first"},
    ),
    good(
        "GetSecretValue",
        {"secretId": "press/key"},
        what="binary",
        secretValue={"secretBinary": base64.b64encode(b"\xff\x00").decode()},
    ),
    bad("GetSecretValue", NOT_FOUND, {"secretId": "press/nothing"}),
    bad("GetSecretValue", NOT_FOUND, {"secretId": "press/key", "versionId": "x"}, what="version"),
    bad("GetSecretValue", INVALID, what="no id"),
    bad(
        "GetSecretValue",
        INVALID,
        {"secretId": "press/key", "versionId": "x", "versionStage": "y"},
        what="version and stage",
    ),
    good("UpdateThingShadow", {**SHADOW, **UPDATE}),
    good("UpdateThingShadow", {"thingName": THING, **UPDATE}, what="classic"),
    bad(
        "UpdateThingShadow",
        "ConflictError",
        {**SHADOW, "payload": blob({"state": {}, "version": 99_999})},
    ),
    bad("UpdateThingShadow", INVALID, {**SHADOW, "payload": blob([])}, what="no document"),
    bad("UpdateThingShadow", INVALID, SHADOW, what="no payload"),
    good("GetThingShadow", SHADOW),
    bad("GetThingShadow", NOT_FOUND, {"thingName": NOBODY.replace(".", "-")}),
    bad("GetThingShadow", INVALID, {"shadowName": "line"}, what="no thing"),
    bad("GetThingShadow", INVALID, {"thingName": "a/b"}, what="impossible thing"),
    good("ListNamedShadowsForThing", {"thingName": THING}, results=["line"]),
    good("ListNamedShadowsForThing", {"thingName": "other"}, what="none", results=[]),
    bad("ListNamedShadowsForThing", INVALID, {"thingName": THING, "pageSize": 101}, what="page"),
    bad("ListNamedShadowsForThing", INVALID, {"thingName": THING, "nextToken": "?"}, what="token"),
    good("DeleteThingShadow", {"thingName": THING}),
    bad("DeleteThingShadow", NOT_FOUND, {"thingName": "other"}),
    bad("DeleteThingShadow", INVALID, what="no thing"),
    bad("PauseComponent", NOT_FOUND, {"componentName": NOBODY}),
    bad("PauseComponent", INVALID, what="no name"),
    bad("ResumeComponent", NOT_FOUND, {"componentName": NOBODY}),
    bad("ResumeComponent", INVALID, ONE, what="not paused"),
    good("GetComponentDetails", ONE),
    bad("GetComponentDetails", NOT_FOUND, {"componentName": NOBODY}),
    bad("GetComponentDetails", INVALID, what="no name"),
    good("ListComponents"),
    good("RestartComponent", ONE, CLI, restartStatus="SUCCEEDED"),
    bad("RestartComponent", NOT_FOUND, {"componentName": NOBODY}, CLI),
    bad("RestartComponent", INVALID, who=CLI, what="no name"),
    good("StopComponent", ONE, CLI, stopStatus="SUCCEEDED"),
    bad("StopComponent", NOT_FOUND, {"componentName": NOBODY}, CLI),
    bad("StopComponent", INVALID, who=CLI, what="no name"),
    good("CreateLocalDeployment", {"rootComponentsToRemove": [NOBODY]}, CLI),
    bad(
        "CreateLocalDeployment",
        "InvalidRecipeDirectoryPathError",
        {"recipeDirectoryPath": "/no/such"},
    ),
    bad(
        "CreateLocalDeployment",
        "InvalidArtifactsDirectoryPathError",
        {"artifactsDirectoryPath": "/no/such"},
    ),
    bad("CreateLocalDeployment", INVALID, {"groupName": "a:b"}),
    bad("CancelLocalDeployment", NOT_FOUND, DEPLOYMENT, CLI),
    bad("CancelLocalDeployment", INVALID, {"deploymentId": "x"}, CLI),
    bad("GetLocalDeploymentStatus", NOT_FOUND, DEPLOYMENT),
    bad("GetLocalDeploymentStatus", INVALID, {"deploymentId": "x"}),
    good("ListLocalDeployments"),
    good("CreateDebugPassword", who=CLI, username="debug"),
    good("CreateDebugPassword", what="by policy", username="debug"),
    bad("ValidateAuthorizationToken", "InvalidTokenError", {"token": "x"}, STREAM_MANAGER),
    bad("ValidateAuthorizationToken", INVALID, who=STREAM_MANAGER),
    bad("ValidateAuthorizationToken", UNAUTHORIZED, {"token": "x"}, what="other component"),
    good("PutComponentMetric", {"metrics": [METRIC]}, METRICS),
    bad("PutComponentMetric", INVALID, {"metrics": []}, METRICS, "none"),
    bad(
        "PutComponentMetric", INVALID, {"metrics": [{**METRIC, "name": "x" * 33}]}, METRICS, "name"
    ),
    bad("PutComponentMetric", INVALID, {"metrics": [{**METRIC, "value": -1}]}, METRICS, "value"),
    bad("PutComponentMetric", INVALID, {"metrics": [{**METRIC, "unit": "KM"}]}, METRICS, "unit"),
    bad("PutComponentMetric", UNAUTHORIZED, {"metrics": [METRIC]}, what="not AWS's"),
    *(bad(name, SERVICE) for name in sorted(CLIENT_DEVICES)),
]

ELSEWHERE: Mapping[tuple[str, str], str] = {
    ("SendConfigurationValidityReport", ""): "test_consent.test_accepted_configuration",
    ("DeferComponentUpdate", ""): "test_consent.test_update_goes_ahead",
    ("GetLocalDeploymentStatus", ""): "test_deployments.test_status",
    ("CancelLocalDeployment", ""): "test_deployments.test_cancel",
    ("PauseComponent", ""): "test_lifecycle.test_pause_and_resume",
    ("ResumeComponent", ""): "test_lifecycle.test_pause_and_resume",
    ("ValidateAuthorizationToken", ""): "test_conformance.test_token_of_a_component",
}
"""Answers that need more than one request, by the tests that get them."""

NEVER: Mapping[tuple[str, str], str] = {
    ("UpdateConfiguration", UNAUTHORIZED): "a component updates nothing but its own",
    ("UpdateConfiguration", "ConflictError"): "a write and its check are one step here",
    (
        "DeferComponentUpdate",
        NOT_FOUND,
    ): "who is no component cannot subscribe, so is no subscriber",
    ("ListNamedShadowsForThing", NOT_FOUND): "a thing without named shadows has an empty list",
    ("RestartComponent", "ComponentNotFoundError"): "ResourceNotFoundError, as classic (4.8)",
    ("StopComponent", "ComponentNotFoundError"): "ResourceNotFoundError, as classic (4.8)",
}
"""Answers that this nucleus does not give, and why."""
