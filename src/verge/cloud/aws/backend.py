"""moto behind a journal: what it acknowledged is there again after a restart."""

from __future__ import annotations

import io
import logging
import random
import secrets
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from moto import backends
from moto.core import config
from moto.moto_api import _internal
from moto.moto_server import werkzeug_app
from werkzeug.wrappers import Request, Response

from verge.cloud import database, settings
from verge.cloud.aws import clock, journal, memberships, operations, snapshot

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_log = logging.getLogger(__name__)

MOTO_ACCOUNT = "123456789012"  # the account that moto takes for its own unless told in a header
SNAPSHOT_EVERY = 1000  # entries: a second of replaying
_MOTO_API = "/moto-api/"  # changes moto's own settings, which no snapshot has
_HOP_BY_HOP = frozenset({"connection", "content-length", "expect", "transfer-encoding"})

Headers = Iterable[tuple[str, str]]


class Backend:
    """Everything that moto knows; requests come one after the other.

    A request that changes something is in the journal before its answer is out, with the seed of
    its random numbers and its time. `replay` runs the journal again, which makes the same ids and
    dates.
    """

    def __init__(
        self,
        *,
        database: database.Database,
        settings: settings.Settings,
        snapshot_every: int = SNAPSHOT_EVERY,
    ) -> None:
        self._database = database
        self._journal = journal.Journal(database)
        self._snapshots = snapshot.Snapshots(database)
        self._every = snapshot_every
        self._since_snapshot = 0
        self._settings = settings
        self._lock = threading.RLock()
        self.version = 0
        """Counts what may have changed moto; it changes only under the lock of `service`."""
        self._changed: dict[str, list[Callable[[], None]]] = {}
        self._dispatcher = _Dispatcher(werkzeug_app.create_backend_app)
        _forget_everything()
        # Pages from elsewhere, open in a browser on this machine, are not to read the answers.
        vars(werkzeug_app)["DISABLE_GLOBAL_CORS"] = True
        # A certificate's id is the SHA-256 of its DER form, as it is in AWS.
        config.default_user_config["iot"] = {"use_valid_cert": True}

    def replay(self) -> int:
        """Make moto what it was; return how many requests that took."""
        with self._lock:
            begin = 0 if self._journal.has(_MOTO_API) else self._snapshots.restore()
            number = begin
            for number, entry in self._journal.entries(begin):  # used below
                self._since_snapshot += 1
                self._repeat(number, entry)
            replayed = self._since_snapshot
            self.version += 1
            self._take_snapshot(number)
            return replayed

    def _repeat(self, number: int, entry: journal.Entry) -> None:
        try:
            status = self._perform(entry).status_code
        except Exception:  # noqa: BLE001  # what moto no longer takes must not cost the rest
            _log.exception("Journal entry skipped number=%d", number)
            return
        if status >= 400:
            _log.warning(
                "Journal entry refused number=%d request=%s %s status=%d",
                number,
                entry.method,
                entry.target,
                status,
            )

    def _take_snapshot(self, number: int) -> None:
        if self._since_snapshot >= self._every:
            self._snapshots.take(number)
            self._since_snapshot = 0

    def handle(self, request: Request) -> Response:
        """Answer a request from outside."""
        body = request.get_data(cache=False)
        target = request.environ.get("RAW_URI") or request.full_path.removesuffix("?")
        return self._answer(request.method, str(target), request.headers.items(), body)

    def call(
        self,
        method: str,
        path: str,
        headers: Headers = (),
        body: bytes = b"",
        *,
        service: str = "iot",
    ) -> Response:
        """Make a request of our own; `path` is raw and may have a query.

        It is journaled as any other. Without an Authorization header it names `service`.
        """
        given = list(headers)
        if not any(name.lower() == "authorization" for name, _ in given):
            given.append(("Authorization", _authorization(self._settings.region, service)))
        return self._answer(method, path, given, body)

    def on_change(self, service: str, changed: Callable[[], None]) -> None:
        """Call back after every change in a service, such as "iot", before its answer is out."""
        self._changed.setdefault(service, []).append(changed)

    @contextmanager
    def service(self, name: str, region: str | None = None) -> Iterator[Any]:
        """Lend moto's own model of a service in this account, while nothing changes it.

        Services without regions, such as "s3" and "iam", are in the region "aws".
        """
        with self._lock:
            found: Any = backends.get_backend(name)  # type: ignore[call-overload]
            yield found[self._settings.account][region or self._settings.region]

    def _answer(self, method: str, target: str, headers: Headers, body: bytes) -> Response:
        kept = tuple((name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP)
        request = Request(_environment(method, target, kept, body))
        if not operations.changes(request, body):
            with self._lock:
                return self._run(request)
        entry = journal.Entry(
            at=0.0,
            seed=secrets.randbits(62),
            method=method,
            target=target,
            headers=kept,
            body=body,
        )
        try:
            response = self._record(entry)
        except sqlite3.Error:
            self._go_back()
            raise
        if response.status_code < 400:
            self._tell(request)
        return response

    def _record(self, entry: journal.Entry) -> Response:
        # In this order: who holds the database may ask for things, which takes the other lock.
        with self._database.transaction(), self._lock:
            entry = journal.Entry(
                at=time.time(),
                seed=entry.seed,
                method=entry.method,
                target=entry.target,
                headers=entry.headers,
                body=entry.body,
            )
            response = self._perform(entry)
            if response.status_code < 400:
                number = self._journal.append(entry)
                self._since_snapshot += 1
                self._take_snapshot(number)
            return response

    def _go_back(self) -> None:
        """Make moto what the journal says again: it knows of a change that could not be kept."""
        with self._database.transaction(), self._lock:
            _forget_everything()
            self._since_snapshot = 0
            self.replay()

    def _perform(self, entry: journal.Entry) -> Response:
        with self._lock, clock.standing_at(entry.at):
            environ = _environment(entry.method, entry.target, entry.headers, entry.body)
            _internal.mock_random.seed(entry.seed)
            random.seed(entry.seed)  # some services of moto use the standard library's
            try:
                response = self._run(Request(environ))
                if entry.method == "DELETE" and entry.target.startswith(memberships.DELETIONS):
                    with self.service("iot") as iot:
                        memberships.forget_deleted(iot)
                return response
            finally:
                self.version += 1

    def _run(self, request: Request) -> Response:
        environ = request.environ
        if self._settings.account != MOTO_ACCOUNT:
            environ.setdefault("HTTP_X_MOTO_ACCOUNT_ID", self._settings.account)
        try:
            service = self._dispatcher.get_application(environ)  # loads it
            clock.take_over()
            return Response.from_app(service, environ, buffered=True)
        except NotImplementedError:
            environ["wsgi.input"].seek(0)
            return operations.not_implemented(Request(environ))

    def _tell(self, request: Request) -> None:
        named = operations.scope(request)
        for changed in self._changed.get(named.service if named else "", ()):
            changed()


def _forget_everything() -> None:
    """Empty moto, which keeps its state for the whole process."""
    _internal.moto_api_backends["global"].reset()


class _Dispatcher(werkzeug_app.DomainDispatcherApplication):
    """moto's own, which reads its directory of services several times for each request."""

    def __init__(self, make: Callable[..., Any]) -> None:
        super().__init__(make)
        self._by_host: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        if host not in self._by_host:
            self._by_host[host] = super().get_backend_for_host(host)
        return self._by_host[host]


def _authorization(region: str, service: str) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential=AKIAVERGELOCALCLOUD0/20200101/{region}/{service}"
        "/aws4_request, SignedHeaders=host, Signature=0"
    )


def _environment(method: str, target: str, headers: Headers, body: bytes) -> WSGIEnvironment:
    path, _, query = target.partition("?")
    environ: WSGIEnvironment = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)),
    }
    for name, value in headers:
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    return environ
