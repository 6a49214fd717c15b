"""Shadows: every change is decided, kept and announced here."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import Any

from verge.cloud import ports
from verge.cloud.shadows import documents, errors, store

_NAME = re.compile(r"[$a-zA-Z0-9:_-]{1,64}")

Listener = Callable[[str, str | None, ports.Document], None]


def prefix(thing: str, name: str | None) -> str:
    """Return the topic below which a shadow is spoken of."""
    return f"$aws/things/{thing}/shadow" + (f"/name/{name}" if name else "")


class Service:
    """Keeps shadows and tells devices of them. All methods raise ShadowError."""

    def __init__(
        self,
        *,
        kept: store.Store,
        things: ports.Things,
        bus: ports.Bus,
        clock: Callable[[], float],
    ) -> None:
        self._store = kept
        self._things = things
        self._bus = bus
        self._clock = clock
        self._lock = threading.Lock()  # versions are announced in the order they were kept
        self.listeners: list[Listener] = []

    def change(self, thing: str, name: str | None, state: documents.Tree) -> None:
        """Change a shadow for the cloud itself."""
        documents.check(state)
        self.update(thing, name, documents.Update(state=state))

    def find(self, thing: str, name: str | None) -> ports.Document | None:
        """Return the whole document or None."""
        shadow = self._store.find(thing, name or "")
        return None if shadow is None else {**shadow.whole(), "timestamp": int(self._clock())}

    def get(self, thing: str, name: str | None) -> ports.Document:
        """Return the whole document."""
        self._check_thing(thing, name)
        found = self.find(thing, name)
        if found is None:
            raise errors.missing(thing, name)
        return found

    def update(self, thing: str, name: str | None, update: documents.Update) -> ports.Document:
        """Merge a change, announce it and return what `update/accepted` says."""
        self._check_thing(thing, name)
        now = int(self._clock())
        with self._lock:
            former = self._store.find(thing, name or "")
            version = self._store.version(thing, name or "")
            if update.version is not None and update.version != (version if former else 0):
                raise errors.ShadowError(errors.CONFLICT, "Version conflict")
            current = _changed(former, update, version + 1, now)
            if documents.size(current.state) > documents.LIMIT:
                raise errors.ShadowError(
                    errors.TOO_LARGE, "The payload exceeds the maximum size allowed"
                )
            self._store.save(thing, name or "", current)
            accepted = self._announce(thing, name, former, current, update)
        whole = {**current.whole(), "timestamp": now}
        for listener in self.listeners:
            listener(thing, name, whole)
        return accepted

    def delete(self, thing: str, name: str | None, token: str | None = None) -> ports.Document:
        """Delete a shadow, announce it and return what `delete/accepted` says."""
        self._check_thing(thing, name)
        now = int(self._clock())
        with self._lock:
            former = self._store.find(thing, name or "")
            if former is None:
                raise errors.missing(thing, name)
            self._store.delete(thing, name or "", former.version, now)
            accepted = _with_token({"version": former.version, "timestamp": now}, token)
            self._bus.publish(f"{prefix(thing, name)}/delete/accepted", accepted)
        return accepted

    def names(self, thing: str) -> list[str]:
        """Return the names of a thing's named shadows, sorted."""
        self._check_thing(thing, None)
        return self._store.names(thing)

    def _announce(
        self,
        thing: str,
        name: str | None,
        former: store.Shadow | None,
        current: store.Shadow,
        update: documents.Update,
    ) -> ports.Document:
        topic = f"{prefix(thing, name)}/update"
        common = {"version": current.version, "timestamp": current.time}
        accepted = _with_token(
            {"state": update.state, "metadata": _set_now(update.state, current), **common},
            update.token,
        )
        self._bus.publish(f"{topic}/accepted", accepted)
        if current.delta:
            metadata = documents.select(current.metadata.get("desired", {}), current.delta)
            delta = {"state": current.delta, "metadata": metadata, **common}
            self._bus.publish(f"{topic}/delta", _with_token(delta, update.token))
        both = {"previous": former, "current": current}
        shown: dict[str, Any] = {
            which: {"state": each.state, "metadata": each.metadata, "version": each.version}
            if each
            else {"state": {}, "metadata": {}}
            for which, each in both.items()
        }
        shown["timestamp"] = current.time
        self._bus.publish(f"{topic}/documents", _with_token(shown, update.token))
        return accepted

    def _check_thing(self, thing: str, name: str | None) -> None:
        if name is not None and not _NAME.fullmatch(name):
            raise errors.ShadowError(errors.INVALID, f"Invalid shadow name: '{name[:80]}'")
        if not self._things.exists(thing):
            raise errors.MissingError(f"cannot find thing {thing}")


def _changed(
    former: store.Shadow | None, update: documents.Update, version: int, now: int
) -> store.Shadow:
    state = dict(former.state) if former else {}
    metadata = dict(former.metadata) if former else {}
    for section, tree in update.state.items():
        merged = {} if tree is None else documents.merge(state.get(section, {}), tree)
        if tree is None or not merged:
            state.pop(section, None)
            metadata.pop(section, None)
        else:
            state[section] = merged
            metadata[section] = documents.merge_metadata(metadata.get(section, {}), tree, now)
    return store.Shadow(state=state, metadata=metadata, version=version, time=now)


def _set_now(state: documents.Tree, current: store.Shadow) -> documents.Tree:
    return {
        section: documents.select(current.metadata.get(section, {}), tree)
        for section, tree in state.items()
        if tree is not None
    }


def _with_token(document: ports.Document, token: str | None) -> ports.Document:
    return document if token is None else {**document, "clientToken": token}
