"""What a request is about: its service and region, and whether it changes anything."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from werkzeug.wrappers import Request, Response

from verge.cloud.http import answers, routing

_SCOPE = re.compile(r"Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
_FORM = "application/x-www-form-urlencoded"
_READS = re.compile(
    r"(BatchGet|Check|Decode|Describe|Download|Estimate|Filter|Get|Head|List|Lookup|Preview|"
    r"Query|Scan|Search|Select|Simulate|Test|Validate)(?![a-z])"
)


class Scope(NamedTuple):
    """Whom and what a signature names."""

    access_key_id: str
    region: str
    service: str


def scope(request: Request) -> Scope | None:
    """Return what the signature of a request names, in its header or its query."""
    match = _SCOPE.search(request.headers.get("Authorization", ""))
    if match is None and "X-Amz-Credential" in request.args:
        match = _SCOPE.search(f"Credential={request.args['X-Amz-Credential']}")
    return None if match is None else Scope(match[1], match[2], match[3])


def action(request: Request, body: bytes) -> str | None:
    """Return the operation where the protocol names it; REST protocols do not."""
    target = request.headers.get("X-Amz-Target")
    if target:
        return target.rpartition(".")[2]
    if "Action" in request.args:
        return request.args["Action"]
    if request.headers.get("Content-Type", "").startswith(_FORM):
        return parse_qs(body.decode("latin-1")).get("Action", [None])[0]
    return None


def changes(request: Request, body: bytes) -> bool:
    """Whether moto may be another after this request."""
    name = action(request, body)
    if name is not None:
        return _READS.match(name) is None
    return request.method not in {"GET", "HEAD", "OPTIONS"}


def not_implemented(request: Request) -> Response:
    """Say that there is no such operation here, in the protocol of the request."""
    name = action(request, request.get_data())
    name = name or f"{request.method} {routing.raw_path(request)}"
    message = f"cannot handle {name}: not implemented in the local cloud"
    if not request.headers.get("Content-Type", "").startswith(_FORM):
        return answers.error(501, "NotImplementedException", message)
    error = f"<Error><Code>NotImplemented</Code><Message>{escape(message)}</Message></Error>"
    named = scope(request)
    if named is not None and named.service == "ec2":
        content = f"<Response><Errors>{error}</Errors></Response>"
    else:
        content = f"<ErrorResponse>{error}</ErrorResponse>"
    return Response(content, 501, content_type="text/xml")
