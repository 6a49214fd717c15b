"""S3 over HTTP: which operation answers, in whose name, and refusals in its words."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple

from werkzeug import exceptions
from werkzeug.wrappers import Request, Response

from verge.cloud.aws import backend
from verge.cloud.http import routing
from verge.cloud.objects import (
    access,
    call,
    content,
    documents,
    faults,
    multipart,
    reading,
    store,
    writing,
)

Operation = Callable[[call.Call], Response]


class _Choice(NamedTuple):
    """An operation, by method and by the members of the query that must be there."""

    method: str
    members: tuple[str, ...]
    operation: Operation


class Service:
    """Answers requests to S3: objects here, settings of buckets in moto."""

    def __init__(
        self,
        *,
        objects: store.Store,
        reading: reading.Reading,
        writing: writing.Writing,
        multipart: multipart.Multipart,
        access: access.Access,
        backend: backend.Backend,
        region: str,
    ) -> None:
        self._store = objects
        self._copy = writing.copy
        self._access = access
        self._backend = backend
        self._region = region
        self._on_object = (
            _Choice("GET", ("uploadId",), multipart.list_parts),
            _Choice("GET", ("tagging",), reading.tags),
            _Choice("GET", ("acl",), reading.acl),
            _Choice("GET", ("attributes",), reading.attributes),
            _Choice("GET", (), reading.get),
            _Choice("HEAD", (), reading.get),
            _Choice("PUT", ("partNumber", "uploadId"), multipart.upload_part),
            _Choice("PUT", ("tagging",), writing.tag),
            _Choice("PUT", ("acl",), writing.acl),
            _Choice("PUT", (), self._put),
            _Choice("POST", ("uploads",), multipart.create),
            _Choice("POST", ("uploadId",), multipart.complete),
            _Choice("DELETE", ("uploadId",), multipart.abort),
            _Choice("DELETE", ("tagging",), writing.untag),
            _Choice("DELETE", (), writing.delete),
        )
        self._put_object = writing.put
        self._on_bucket = (
            _Choice("GET", ("versions",), reading.list_versions),
            _Choice("GET", ("uploads",), multipart.list_uploads),
            _Choice("GET", ("list-type",), reading.list_objects),
            _Choice("POST", ("delete",), writing.delete_many),
        )
        self._list_objects = reading.list_objects

    def handle(self, request: Request) -> Response:
        """Answer a tool on loopback."""
        return self._answer(request, trusted=True)

    def handle_device(self, request: Request) -> Response:
        """Answer a device: only with credentials that were handed out here."""
        return self._answer(request, trusted=False)

    def _answer(self, request: Request, *, trusted: bool) -> Response:
        request_id = secrets.token_hex(8).upper()
        try:
            response = self._dispatch(request, trusted=trusted)
        except faults.FaultError as fault:
            response = documents.error(fault, routing.raw_path(request), request_id)
        except exceptions.ClientDisconnected:
            raise
        except exceptions.HTTPException as error:
            code = "EntityTooLarge" if error.code == 413 else "IncompleteBody"
            refused = faults.FaultError(code, error.description or error.name)
            response = documents.error(refused, routing.raw_path(request), request_id)
        response.headers["x-amz-request-id"] = request_id
        return response

    def _dispatch(self, request: Request, *, trusted: bool) -> Response:
        named = call.target(request, self._region)
        if request.method == "OPTIONS":
            raise faults.FaultError("AccessForbidden", "CORSResponse: CORS is not enabled.")
        caller = self._access.identify(request, trusted=trusted)
        made = call.Call(request, named, self._access, caller, trusted=trusted)
        if not named.key:
            return self._bucket(made, trusted=trusted)
        self._check_bucket(named.bucket)
        return _choose(self._on_object, made)(made)

    def _bucket(self, made: call.Call, *, trusted: bool) -> Response:
        for choice in self._on_bucket:
            if _fits(choice, made):
                self._check_bucket(made.bucket)
                return choice.operation(made)
        method, members = made.request.method, set(made.args)
        if method == "GET" and made.bucket and members <= _LISTING:
            self._check_bucket(made.bucket)
            return self._list_objects(made)
        if method == "HEAD" and made.bucket:
            made.require("s3:ListBucket", name="")
        elif not trusted:
            raise faults.FaultError("AccessDenied", "Access Denied")
        if method == "DELETE" and not members and not self._store.empty(made.bucket):
            raise faults.FaultError("BucketNotEmpty", "The bucket you tried to delete is not empty")
        return self._settings(made)

    def _settings(self, made: call.Call) -> Response:
        query = made.request.query_string.decode("latin-1")
        target = f"/{made.bucket}" + (f"?{query}" if query else "")
        headers = [(name, value) for name, value in made.request.headers.items() if name != "Host"]
        return self._backend.call(
            made.request.method, target, headers, content.document(made), service="s3"
        )

    def _put(self, made: call.Call) -> Response:
        if made.header("x-amz-copy-source") is not None:
            return self._copy(made)
        return self._put_object(made)

    def _check_bucket(self, bucket: str) -> None:
        with self._backend.service("s3", "aws") as s3:
            if bucket not in s3.buckets:
                raise faults.FaultError("NoSuchBucket", "The specified bucket does not exist")


_LISTING = frozenset(
    {"prefix", "delimiter", "marker", "max-keys", "encoding-type", "fetch-owner", "start-after"}
    | {"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Signature"}
    | {"X-Amz-SignedHeaders", "X-Amz-Security-Token", "AWSAccessKeyId", "Signature", "Expires"}
)
_KNOWN = frozenset(
    {"acl", "attributes", "legal-hold", "restore", "retention", "select", "tagging", "torrent"}
    | {"uploads", "uploadId"}
)


def _fits(choice: _Choice, made: call.Call) -> bool:
    return choice.method == made.request.method and all(
        member in made.args for member in choice.members
    )


def _choose(choices: tuple[_Choice, ...], made: call.Call) -> Operation:
    for choice in choices:
        if _fits(choice, made):
            if not choice.members and (other := _KNOWN & set(made.args)):
                break
            return choice.operation
    else:
        other = frozenset()
    raise faults.FaultError(
        "NotImplemented",
        f"cannot handle {made.request.method} {'?' + min(other) if other else ''}: not implemented "
        "in the local cloud",
    )
