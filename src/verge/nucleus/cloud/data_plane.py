"""The Greengrass data plane: who the device is grouped with and what it may get (contract 5.7).

Every call blocks and belongs in a thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from verge.nucleus import settings
from verge.nucleus.cloud import errors, http, tls

MAX_PAGES = 100

THING_GROUP = "thinggroup/"


@dataclass(frozen=True)
class Resolved:
    """A component version that the cloud offers; `recipe` is JSON text."""

    arn: str
    version: str
    recipe: str


class DataPlane:
    """Requests to `https://iotDataEndpoint:greengrassDataPlanePort/greengrass/v2/…`.

    All methods raise UnreachableError, RefusedError, or CloudError for an answer without sense.
    """

    def __init__(self, configured: settings.Settings) -> None:
        self._settings = configured

    def thing_groups(self) -> frozenset[str]:
        """Return the groups that the device is in, parents included, as `thinggroup/NAME`."""
        thing = _quote(self._settings.thing_name)
        path = f"coreDevices/{thing}/thingGroups"
        found: set[str] = set()
        token = ""
        for _ in range(MAX_PAGES):
            query = f"?nextToken={_quote(token)}" if token else ""
            answer = self._ask("find the thing groups of this device", "GET", path + query)
            listed = answer.get("thingGroups")
            if not isinstance(listed, list):
                raise errors.CloudError("cannot find the thing groups: the answer lists none")
            found.update(THING_GROUP + name for group in listed for name in _group_names(group))
            token = str(answer.get("nextToken") or "")
            if not token:
                break
        return frozenset(found)

    def resolve(
        self,
        component: str,
        requirements: Mapping[str, str],
        local: str | None,
        attributes: Mapping[str, str],
    ) -> Resolved:
        """Return the version that the cloud chooses for a component; `local` is our candidate."""
        candidate: dict[str, Any] = {
            "componentName": component,
            "versionRequirements": dict(requirements),
        }
        if local is not None:
            candidate["componentVersion"] = local
        body = {
            "platform": {"name": attributes.get("os", "linux"), "attributes": dict(attributes)},
            "componentCandidates": [candidate],
        }
        answer = self._ask(f"resolve {component}", "POST", "resolveComponentCandidates", body)
        try:
            (one,) = answer["resolvedComponentVersions"]
            recipe = base64.b64decode(one["recipe"], validate=True).decode()
            resolved = Resolved(str(one["arn"]), str(one["componentVersion"]), recipe)
            named = str(one["componentName"])
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise errors.CloudError(
                f"cannot resolve {component}: the answer is not one version with its recipe"
            ) from error
        if named != component:
            raise errors.CloudError(f"cannot resolve {component}: the answer is about {named}")
        return resolved

    def artifact_url(self, arn: str, artifact: str) -> str:
        """Return the address from which an artifact of AWS's own may be read for a while."""
        path = f"components/{_quote(arn)}/artifacts/{urllib.parse.quote(artifact)}"
        answer = self._ask(f"locate {artifact}", "GET", f"{path}?s3EndpointType=REGIONAL")
        return _url(answer, f"locate {artifact}")

    def configuration(self, deployment: str) -> dict[str, Any]:
        """Return the device document of a deployment that is too large to be sent."""
        what = f"download the document of deployment {deployment}"
        thing = _quote(self._settings.thing_name)
        # AWS publishes members and IAM action of GetDeploymentConfiguration, but not its path;
        # this follows the pattern of the others. Against an account it is not confirmed.
        path = f"coreDevices/{thing}/deployments/{_quote(deployment)}/configuration"
        answer = self._ask(what, "GET", f"{path}?s3EndpointType=REGIONAL")
        fetched = http.fetch(
            http.Request(_url(answer, what)), tls.public_context(self._settings), what=what
        )
        check = answer.get("integrityCheck") or {}
        algorithm = str(check.get("algorithm", "")).upper().replace("-", "")
        digest = base64.b64encode(hashlib.sha256(fetched.body).digest()).decode()
        if algorithm != "SHA256" or check.get("digest") != digest:
            raise errors.UnreachableError(f"cannot {what}: it is not what its digest says")
        document = fetched.json()
        if not isinstance(document, dict):
            raise errors.CloudError(f"cannot {what}: it is no JSON object")
        return document

    def _ask(
        self, what: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        cloud = self._settings.cloud
        request = http.Request(
            f"https://{cloud.data_endpoint}:{cloud.data_plane_port}/greengrass/v2/{path}",
            method,
            {"Content-Type": "application/json", "Accept": "application/json"},
            None if body is None else json.dumps(body).encode(),
        )
        answer = http.fetch(request, tls.device_context(self._settings), what=what).json()
        if not isinstance(answer, dict):
            raise errors.CloudError(f"cannot {what}: the answer is no JSON object")
        return answer


def _group_names(group: Any) -> Iterator[str]:
    """Yield the names of a group and of all above it."""
    if isinstance(group, str):
        yield group
        return
    if not isinstance(group, dict):
        return
    name = group.get("thingGroupName") or group.get("groupName")
    if name:
        yield str(name)
    for parent in group.get("rootToParentThingGroups") or ():
        yield from _group_names(parent)


def _url(answer: Mapping[str, Any], what: str) -> str:
    url = answer.get("preSignedUrl")
    if not isinstance(url, str) or not url.startswith("https://"):
        raise errors.CloudError(f"cannot {what}: the answer has no address")
    return url


def _quote(text: str) -> str:
    return urllib.parse.quote(text, safe="")
