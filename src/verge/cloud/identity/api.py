"""The operations of the IoT API that the registry cannot do: real certificates, real endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence

from werkzeug.wrappers import Request, Response

from verge.cloud import settings as configuration
from verge.cloud.http import answers, routing
from verge.cloud.identity import (
    authority,
    certificates,
    policy_documents,
    registry,
    role_aliases,
)

DATA_ENDPOINTS = frozenset({"iot:Data", "iot:Data-ATS", "iot:Jobs"})
CREDENTIALS_ENDPOINT = "iot:CredentialProvider"
HTTPS_PORT = 443

_JSON = (("Content-Type", "application/json"),)


class Api:
    """Certificates, policies and role aliases as they are made, and DescribeEndpoint."""

    def __init__(
        self,
        *,
        settings: configuration.Settings,
        authority: authority.Authority,
        registry: registry.Registry,
        device_port: Callable[[], int] | None = None,
    ) -> None:
        """`device_port` says where devices are served if that is not known yet."""
        self._settings = settings
        self._authority = authority
        self._registry = registry
        self._policies = policy_documents.PolicyDocuments(registry)
        self._role_aliases = role_aliases.RoleAliases(registry)
        self._device_port = device_port or (lambda: settings.device_port)

    def routes(self) -> Sequence[routing.Route]:
        """Return what is answered here."""
        return (
            routing.Route.of("POST", "/keys-and-certificate", self._create_keys_and_certificate),
            routing.Route.of("POST", "/certificates", self._create_certificate_from_csr),
            routing.Route.of("GET", "/endpoint", self._describe_endpoint),
            *self._policies.routes(),
            *self._role_aliases.routes(),
        )

    def _create_keys_and_certificate(self, request: Request, _: Mapping[str, str]) -> Response:
        issued = self._authority.make_keys()
        pair = {"PublicKey": issued.public_key, "PrivateKey": issued.private_key}
        return self._register(request, issued, {"keyPair": pair})

    def _create_certificate_from_csr(self, request: Request, _: Mapping[str, str]) -> Response:
        body = request.get_json(force=True, silent=True)
        pem = body.get("certificateSigningRequest") if isinstance(body, dict) else None
        if not isinstance(pem, str) or not pem:
            return _invalid("cannot create a certificate: certificateSigningRequest is missing")
        try:
            issued = self._authority.sign_request(pem)
        except certificates.RequestError as error:
            return _invalid(str(error))
        return self._register(request, issued, {})

    def _register(
        self, request: Request, issued: authority.Issued, more: Mapping[str, object]
    ) -> Response:
        active = request.args.get("setAsActive", "false").lower() == "true"
        body = {
            "certificatePem": issued.certificate,
            "status": "ACTIVE" if active else "INACTIVE",
        }
        answer = self._registry.call(
            "POST", "/certificate/register-no-ca", _JSON, json.dumps(body).encode()
        )
        if answer.status_code != 200:
            return answer
        known = json.loads(answer.get_data())
        return answers.document(
            {
                "certificateArn": known["certificateArn"],
                "certificateId": known["certificateId"],
                "certificatePem": issued.certificate,
                **more,
            }
        )

    def _describe_endpoint(self, request: Request, _: Mapping[str, str]) -> Response:
        address = self._settings.device_addresses[0]
        kind = request.args.get("endpointType", "iot:Data")
        if kind in DATA_ENDPOINTS:
            return answers.document({"endpointAddress": address})
        if kind == CREDENTIALS_ENDPOINT:
            standard = self._settings.https_port == HTTPS_PORT
            port = "" if standard else f":{self._device_port()}"
            return answers.document({"endpointAddress": address + port})
        kinds = ", ".join(sorted({*DATA_ENDPOINTS, CREDENTIALS_ENDPOINT}))
        return _invalid(f"cannot describe the endpoint {kind!r}: there are {kinds}")


def _invalid(message: str) -> Response:
    return answers.error(400, "InvalidRequestException", message)
