"""The Greengrass data plane: what core devices ask for themselves (contract 5.7)."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from werkzeug.wrappers import Request, Response

from verge.cloud import ports
from verge.cloud.edge import guard, links
from verge.cloud.http import answers, routing

LINK_SECONDS = 3600
"""How long the document of a large deployment can be fetched by its URL."""

_BASE = "/greengrass/v2"
_CONFIGURATION = "/coreDevices/{thing}/deployments/{deployment}/configuration"
"""Of GetDeploymentConfiguration AWS publishes the members (in the sources of its nucleus) and the
IAM action, but not the path: its SDK for the data plane is not public. This one is ours, after the
pattern of the other operations; `verge.nucleus.cloud.data_plane` asks for the same."""
_COMPONENT = re.compile(r"arn:[^:]*:greengrass:[^:]*:[^:]*:components:([^:]+)(?::versions:[^:]+)?")


class Greengrass(Protocol):
    """What is asked of the Greengrass service."""

    def handler(self, operation: str) -> routing.Handler:
        """Return what answers requests for one operation."""

    def may_resolve(self, thing: str, component: str) -> bool:
        """Whether a deployment that targets the thing, or a dependency of one, names it."""

    def configuration_document(self, thing: str, deployment_id: str) -> bytes | None:
        """Return the whole document of a deployment that targets the thing."""


class DataPlane:
    """Answers devices about themselves and about components that are deployed to them."""

    def __init__(
        self,
        *,
        guard: guard.Guard,
        things: ports.Things,
        greengrass: Greengrass,
        links: links.Links,
    ) -> None:
        self._guard = guard
        self._things = things
        self._greengrass = greengrass
        self._links = links

    def routes(self) -> Sequence[routing.Route]:
        """Return the operations, and the documents that they refer to."""
        of = routing.Route.of
        document = "/coreDevices/{thing}/deployments/{deployment}"
        return (
            of("GET", f"{_BASE}/coreDevices/{{thing}}/thingGroups", self._thing_groups),
            of("POST", f"{_BASE}/resolveComponentCandidates", self._resolve),
            of("GET", f"{_BASE}/components/{{arn}}/artifacts/{{artifactName+}}", self._artifact),
            of("GET", f"{_BASE}{_CONFIGURATION}", self._configuration),
            of("GET", f"{_BASE}{document}/document", self._document),
        )

    def _thing_groups(self, request: Request, values: Mapping[str, str]) -> Response:
        device = self._myself(request, "ListThingGroupsForCoreDevice", values["thing"])
        groups = [
            {
                "thingGroupName": group.name,
                "thingGroupArn": group.arn,
                "rootToParentThingGroups": [
                    {
                        "thingGroupName": name,
                        "thingGroupArn": self._guard.arn("iot", f"thinggroup/{name}"),
                    }
                    for name in group.parents
                ],
            }
            for group in self._things.groups_of(device.thing)
        ]
        return answers.document({"thingGroups": groups})

    def _resolve(self, request: Request, values: Mapping[str, str]) -> Response:
        device = self._guard.device(request)
        body = request.get_json(force=True, silent=True)
        candidates = body.get("componentCandidates") if isinstance(body, dict) else None
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                name = str(candidate.get("componentName"))
                version = self._guard.arn("greengrass", f"components:{name}:versions:*")
                self._guard.require(device, "greengrass:ResolveComponentCandidates", version)
                self._require_deployed(device, name)
        return self._greengrass.handler("ResolveComponentCandidates")(request, values)

    def _artifact(self, request: Request, values: Mapping[str, str]) -> Response:
        device = self._guard.device(request)
        self._guard.require(device, "greengrass:GetComponentVersionArtifact", values["arn"])
        named = _COMPONENT.fullmatch(values["arn"])
        if named is not None:
            self._require_deployed(device, named[1])
        return self._greengrass.handler("GetComponentVersionArtifact")(request, values)

    def _configuration(self, request: Request, values: Mapping[str, str]) -> Response:
        thing, deployment = values["thing"], values["deployment"]
        self._myself(request, "GetDeploymentConfiguration", thing)
        content = self._content(thing, deployment)
        path = f"{_BASE}/coreDevices/{thing}/deployments/{deployment}/document"
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        return answers.document(
            {
                "preSignedUrl": self._links.sign(request.host_url.rstrip("/"), path, LINK_SECONDS),
                "integrityCheck": {"algorithm": "SHA-256", "digest": digest},
            }
        )

    def _document(self, request: Request, values: Mapping[str, str]) -> Response:
        # Whoever has the URL may read it until it ends, as with S3.
        if not self._links.valid(request):
            raise guard.denied("cannot use this URL: it has ended or was changed; ask for another")
        content = self._content(values["thing"], values["deployment"])
        return Response(content, content_type="application/json")

    def _content(self, thing: str, deployment: str) -> bytes:
        content = self._greengrass.configuration_document(thing, deployment)
        if content is None:
            raise guard.RefusalError(
                404,
                "ResourceNotFoundException",
                f"cannot find a deployment {deployment} that targets {thing}",
            )
        return content

    def _myself(self, request: Request, action: str, thing: str) -> ports.Device:
        device = self._guard.device(request)
        self._guard.require_self(device, thing)
        resource = self._guard.arn("greengrass", f"coreDevices:{thing}")
        self._guard.require(device, f"greengrass:{action}", resource)
        return device

    def _require_deployed(self, device: ports.Device, component: str) -> None:
        if not self._greengrass.may_resolve(device.thing, component):
            raise guard.denied(
                f"cannot serve {device.thing} the component {component}: no deployment brings it "
                "there"
            )


def refusing(handler: routing.Handler) -> Callable[[Request, Mapping[str, str]], Response]:
    """Turn what a handler refuses into its answer."""

    def answer(request: Request, values: Mapping[str, str]) -> Response:
        try:
            return handler(request, values)
        except guard.RefusalError as refusal:
            return refusal.response()

    return answer
