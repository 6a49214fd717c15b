"""The operations over HTTP: routes from the service model, checks, idempotency, one envelope."""

from __future__ import annotations

import logging
import re
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore import model as boto
from werkzeug.wrappers import Request, Response

from verge.cloud import errors
from verge.cloud.greengrass import faults, idempotency, model, validation, wire
from verge.cloud.http import routing

Params = Mapping[str, Any]
Result = dict[str, Any]

ARTIFACT = "GetComponentVersionArtifact"

_METHODS = ("GET", "POST", "PUT", "DELETE")
_ANY_PATH = "/greengrass/v2/{rest+}"

_COLON = "(?::|%3[Aa])"
_TAGS = re.compile(
    rf"/tags/(?P<resourceArn>(?!arn{_COLON}[^/:%]*{_COLON}(?!greengrass{_COLON}))[^/]+)"
)
"""Other services have tags under this path too, for ARNs of theirs."""

_log = logging.getLogger(__name__)


class Api:
    """Answers requests by the operations: functions from members to members.

    `artifact_url` is the one operation that must know where the request came to.
    """

    def __init__(
        self,
        operations: Mapping[str, Callable[[Params], Result]],
        artifact_url: Callable[[Params, str], Result],
        tokens: idempotency.Tokens,
    ) -> None:
        self._operations = operations
        self._artifact_url = artifact_url
        self._tokens = tokens

    def routes(self) -> Sequence[routing.Route]:
        """Return a route for every operation of the service model, and for what is none."""
        known = [self._route(operation) for operation in model.operations()]
        return [*known, *(routing.Route.of(each, _ANY_PATH, _unknown) for each in _METHODS)]

    def handler(self, name: str) -> routing.Handler:
        """Return what answers requests for one operation."""
        operation = model.service().operation_model(name)

        def answer(request: Request, in_path: Mapping[str, str]) -> Response:
            return self._answer(operation, request, in_path)

        return answer

    def _route(self, operation: boto.OperationModel) -> routing.Route:
        method, path = operation.http["method"], operation.http["requestUri"]
        handler = self.handler(operation.name)
        if path.startswith("/tags/"):
            return routing.Route(method, _TAGS, handler)
        return routing.Route.of(method, path, handler)

    def _answer(
        self, operation: boto.OperationModel, request: Request, in_path: Mapping[str, str]
    ) -> Response:
        request_id = str(uuid.uuid4())
        try:
            params = wire.read(operation, request, in_path)
            if operation.input_shape is not None:
                validation.check(operation.input_shape, params)
            result = self._carry_out(operation.name, params, request)
        except faults.Fault as fault:
            return wire.refusal(fault, request_id)
        except (errors.CloudError, sqlite3.Error, OSError) as error:
            _log.exception("Failed operation=%s", operation.name)
            failure = faults.Fault(f"internal error: {operation.name}: {error}")
            return wire.refusal(failure, request_id)
        response = wire.answer(operation, result)
        response.headers["x-amzn-requestid"] = request_id
        return response

    def _carry_out(self, name: str, params: Params, request: Request) -> Result:
        token = params.get("clientToken")
        if token is None:
            return self._call(name, params, request)
        with self._tokens.claim(name, token) as earlier:
            return earlier if earlier is not None else self._call(name, params, request)

    def _call(self, name: str, params: Params, request: Request) -> Result:
        if name == ARTIFACT:
            return self._artifact_url(params, request.host_url.rstrip("/"))
        return self._operations[name](params)


def _unknown(request: Request, _: Mapping[str, str]) -> Response:
    """Refuse what is no operation by its name; what only devices may ask is none here."""
    fault = faults.ValidationFault(
        f"cannot handle {request.method} {routing.raw_path(request)}: no operation of "
        f"{model.SERVICE} has this path",
        reason="UNKNOWN_OPERATION",
    )
    return wire.refusal(fault, str(uuid.uuid4()))
