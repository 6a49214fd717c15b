"""The endpoint that components' AWS SDKs ask for credentials (Greengrass contract 2.9)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
from collections.abc import Callable, Mapping
from typing import Protocol

from verge.nucleus import errors, logs, settings, threads
from verge.nucleus.cloud import sigv4
from verge.nucleus.store import state

COMPONENT = "aws.greengrass.TokenExchangeService"
PATH = "/2016-11-01/credentialprovider/"

LONGEST_REQUEST = 16 * 1024
READ_LIMIT = 5.0
"""Seconds that a client may take to ask."""

ANSWER_LIMIT = 1.8
"""Seconds after which a client is told to ask again; botocore gives up after two."""

MOST_CLIENTS = 64

_NOBODYS = f"belongs to no component that depends on {COMPONENT}"

log = logs.Logger("tokens")


class Credentials(Protocol):
    """Where the keys come from."""

    def present(self) -> sigv4.Keys | None:
        """Return the keys at hand if they are valid; never blocks."""

    def keys(self) -> sigv4.Keys:
        """Return keys, which may block. Raises NucleusError, perhaps with a `status`."""


class Exchange:
    """A loopback HTTP server that knows components by their tokens."""

    def __init__(
        self,
        configured: settings.Settings,
        credentials: Credentials,
        may_ask: Callable[[str], bool],
        port: int = 0,
    ) -> None:
        self._settings = configured
        self._credentials = credentials
        self._may_ask = may_ask
        self._port = port
        self._server: asyncio.Server | None = None
        self._clients = 0
        self._fetching: asyncio.Task[sigv4.Keys] | None = None

    async def start(self) -> None:
        """Listen. Raises OSError."""
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, limit=LONGEST_REQUEST
        )
        self._port = self._server.sockets[0].getsockname()[1]
        log.info("Token exchange serves", port=self._port)

    async def stop(self) -> None:
        """Serve no longer."""
        if self._fetching:
            self._fetching.cancel()
        if self._server:
            self._server.close()
            await self._server.wait_closed()

    def environment(self, installed: state.Installed) -> Mapping[str, str]:
        """Return what a component needs to ask; nothing unless it depends on the service."""
        if COMPONENT not in installed.dependencies:
            return {}
        found = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://localhost:{self._port}{PATH}"}
        if os.environ.get("AWS_ENDPOINT_URL_S3") and self._settings.root_ca_path:
            # What stands in for S3 has a certificate of the authority that this device trusts.
            found["AWS_CA_BUNDLE"] = os.environ.get("AWS_CA_BUNDLE") or self._settings.root_ca_path
        return found

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            if self._clients <= MOST_CLIENTS:
                async with asyncio.timeout(READ_LIMIT):
                    head = await reader.readuntil(b"\r\n\r\n")
                status, document = await self._answer(head)
                writer.write(_response(status, document))
                async with asyncio.timeout(READ_LIMIT):
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # a client that does not ask gets no answer
        finally:
            self._clients -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, head: bytes) -> tuple[int, Mapping[str, str]]:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        headers = {
            name.strip().lower(): text.strip()
            for name, _, text in (line.partition(":") for line in lines)
        }
        if method != "GET":
            return 405, {"message": f"cannot {method}: use GET"}
        if rest.split(" ")[0].rstrip("/") != PATH.rstrip("/"):
            return 400, {"message": f"cannot find this path: use {PATH}"}
        if not self._may_ask(headers.get("authorization", "")):
            return 403, {"message": f"cannot give credentials: this token {_NOBODYS}"}
        return await self._give()

    async def _give(self) -> tuple[int, Mapping[str, str]]:
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(
                threads.run(self._credentials.keys, name="credentials")
            )
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                return 200, _document(await asyncio.shield(self._fetching))
        except TimeoutError:
            if keys := self._credentials.present():
                return 200, _document(keys)
            return 504, {"message": "cannot get credentials yet: the cloud does not answer"}
        except errors.NucleusError as error:
            log.warning("No credentials", reason=error)
            status = getattr(error, "status", 500)
            return status if 400 <= status < 600 else 500, {"message": str(error)}


def _document(keys: sigv4.Keys) -> dict[str, str]:
    ends = dt.datetime.fromtimestamp(keys.expires, dt.UTC)
    return {
        "AccessKeyId": keys.access_key,
        "SecretAccessKey": keys.secret_key,
        "Token": keys.token,
        "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _response(status: int, document: Mapping[str, str]) -> bytes:
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Refused'}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
