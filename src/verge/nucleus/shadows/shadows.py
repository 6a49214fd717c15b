"""The shadows of this device, on disk before they are acknowledged.

Every request also tells the local topics what came of it, as AWS IoT does:
`$aws/things/<thing>/shadow[/name/<shadow>]/(get|update|delete)/(accepted|rejected|delta|documents)`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from verge.nucleus.shadows import documents
from verge.nucleus.shadows.documents import Document, RequestError, Update
from verge.nucleus.store import database

# Beside the tables of the database's own format: a nucleus that does not know them leaves them
# alone. A deleted shadow stays without a document, because its versions go on (AWS IoT does so).
_TABLE = """
CREATE TABLE IF NOT EXISTS shadows (
    thing TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, document BLOB,
    PRIMARY KEY (thing, name)
) WITHOUT ROWID
"""

TOTAL_BYTES = 16 * 1024 * 1024
"""All shadows of a device together, as AWS's own shadow manager allows by default."""

_THING = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_SHADOW = re.compile(r"[$a-zA-Z0-9:_-]{1,64}")

_ACCEPTED = "update/accepted"

Publish = Callable[[str, bytes], None]


@dataclass(frozen=True)
class Key:
    """Which shadow: of which thing, and of which name; the classic shadow has an empty name."""

    thing: str
    name: str = ""

    @property
    def prefix(self) -> str:
        """The topic that all topics of the shadow begin with; policies name it, too."""
        named = f"/name/{self.name}" if self.name else ""
        return f"$aws/things/{self.thing}/shadow{named}"

    def check(self) -> None:
        """Raise RequestError unless both names are possible."""
        if not _THING.fullmatch(self.thing):
            raise RequestError(400, f"{self.thing!r} is no name of a thing")
        if self.name and not _SHADOW.fullmatch(self.name):
            raise RequestError(400, f"{self.name!r} is no name of a shadow")


class Shadows:
    """Implements `host.Shadows`."""

    def __init__(self, db: database.Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock
        self.publish: Publish = lambda _topic, _payload: None
        """Where the local topics are told; the IPC server puts its own in place."""
        db.execute(_TABLE)

    def get(self, thing: str, name: str) -> bytes:
        """Return a shadow as JSON. Raises RequestError."""
        key = Key(thing, name)
        try:
            answer = self._get(key)
        except RequestError as error:
            self._reject(key, "get", error)
            raise
        self._tell(key, "get/accepted", answer)
        return answer

    async def update(self, thing: str, name: str, payload: bytes) -> bytes:
        """Merge an update in and return what was accepted, as JSON, once it is on disk.

        Raises RequestError.
        """
        key = Key(thing, name)
        token = None
        try:
            key.check()
            update = documents.read_update(payload)
            token = update.client_token
            news = await self._db.commits.write(lambda: self._update(key, update))
        except RequestError as error:
            self._reject(key, "update", error, token)
            raise
        for topic, message in news.items():
            self._tell(key, topic, message)
        return news[_ACCEPTED]

    async def delete(self, thing: str, name: str) -> bytes:
        """Remove a shadow and return its last version, as JSON, once it is gone for good.

        Raises RequestError.
        """
        key = Key(thing, name)
        try:
            answer = await self._db.commits.write(lambda: self._delete(key))
        except RequestError as error:
            self._reject(key, "delete", error)
            raise
        self._tell(key, "delete/accepted", answer)
        return answer

    def names(self, thing: str, after: str, most: int) -> Sequence[str]:
        """Return the named shadows of a thing in order, at most so many, behind a name.

        Raises RequestError if there can be no such thing.
        """
        Key(thing).check()
        rows = self._db.rows(
            "SELECT name FROM shadows WHERE thing = ? AND name > ? AND document IS NOT NULL "
            "ORDER BY name LIMIT ?",
            thing,
            after,
            most,
        )
        return [name for (name,) in rows]

    def _get(self, key: Key) -> bytes:
        present = self._find(key)
        state = dict(present.state)
        delta, _ = documents.difference(present)
        if delta:
            state["delta"] = delta
        return _json(
            {
                "state": state,
                "metadata": present.metadata,
                "version": present.version,
                "timestamp": self._now(),
            }
        )

    def _delete(self, key: Key) -> bytes:
        present = self._find(key)
        self._db.execute(
            "UPDATE shadows SET document = NULL WHERE thing = ? AND name = ?", key.thing, key.name
        )
        return _json({"version": present.version, "timestamp": self._now()})

    def _update(self, key: Key, update: Update) -> dict[str, bytes]:
        """Store an update and return what the local topics are to be told, in this order."""
        version, present = self._load(key)
        if update.version is not None and update.version not in (
            {version} if present else {version, 0}
        ):
            raise RequestError(
                409, f"version conflict: the shadow has version {version}, not {update.version}"
            )
        now = self._now()
        changed = documents.apply(present, update, now, version + 1)
        self._store(key, changed, is_new=present is None)
        return _news_of(update, present, changed, now)

    def _store(self, key: Key, document: Document, *, is_new: bool) -> None:
        text = msgspec.json.encode(document)
        if is_new:
            ((used,),) = self._db.rows("SELECT total(length(document)) FROM shadows")
            if used + len(text) > TOTAL_BYTES:
                raise RequestError(
                    413, f"no room for a further shadow: all have {TOTAL_BYTES} bytes; delete some"
                )
        self._db.execute(
            "INSERT OR REPLACE INTO shadows VALUES (?, ?, ?, ?)",
            key.thing,
            key.name,
            document.version,
            text,
        )

    def _find(self, key: Key) -> Document:
        key.check()
        _, present = self._load(key)
        if present is None:
            raise RequestError(
                404, f"no shadow exists with name: {f'{key.thing}~{key.name}'.rstrip('~')}"
            )
        return present

    def _load(self, key: Key) -> tuple[int, Document | None]:
        rows = self._db.rows(
            "SELECT version, document FROM shadows WHERE thing = ? AND name = ?",
            key.thing,
            key.name,
        )
        if not rows:
            return 0, None
        version, text = rows[0]
        return version, None if text is None else msgspec.json.decode(text, type=Document)

    def _reject(
        self, key: Key, request: str, error: RequestError, token: str | None = None
    ) -> None:
        # Impossible names make no topic, and whoever sent them learns it from the answer.
        if _THING.fullmatch(key.thing) and (not key.name or _SHADOW.fullmatch(key.name)):
            fields = {"code": error.code, "message": str(error), "timestamp": self._now()}
            self._tell(key, f"{request}/rejected", _json({**fields, **_token(token)}))

    def _tell(self, key: Key, topic: str, payload: bytes) -> None:
        self.publish(f"{key.prefix}/{topic}", payload)

    def _now(self) -> int:
        return int(self._clock())


def _news_of(
    update: Update, before: Document | None, after: Document, now: int
) -> dict[str, bytes]:
    common = _token(update.client_token)
    state, metadata = documents.echo(update, now)
    versioned = {"version": after.version, "timestamp": now, **common}
    news = {_ACCEPTED: _json({"state": state, "metadata": metadata, **versioned})}
    delta, times = documents.difference(after)
    if delta:
        news["update/delta"] = _json({"state": delta, "metadata": times, **versioned})
    both: dict[str, Any] = {"current": after, "timestamp": now, **common}
    if before is not None:
        both["previous"] = before
    news["update/documents"] = _json(both)
    return news


def _json(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(document)


def _token(token: str | None) -> dict[str, str]:
    return {} if token is None else {"clientToken": token}
