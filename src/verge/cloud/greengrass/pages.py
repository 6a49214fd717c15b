"""Pages of a list and the opaque tokens that lead from one to the next."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from verge.cloud.greengrass import faults

DEFAULT = 50
"""Entries of a page where the request does not say."""

Params = Mapping[str, Any]
Key = str | int
_Item = TypeVar("_Item")


class Page(msgspec.Struct, frozen=True):
    """What one request asks for: entries after a key, at most `size` of them."""

    after: Key | None
    size: int
    scope: str

    @classmethod
    def of(cls, operation: str, params: Params) -> Page:
        """Return the page that a request asks for.

        A token is valid only for the operation and the filters that it was made for; any other
        raises ValidationFault.
        """
        scope = _scope(operation, params)
        size = params.get("maxResults", DEFAULT)
        token = params.get("nextToken")
        return cls(None if not token else _read(token, scope), size, scope)

    def cut(
        self, rows: Sequence[_Item], key: Callable[[_Item], Key]
    ) -> tuple[Sequence[_Item], str | None]:
        """Return the entries of the page and the token of the next.

        `rows` are those after the key, in order, at least one more than fit if there are more.
        """
        if len(rows) <= self.size:
            return rows, None
        shown = rows[: self.size]
        return shown, _write(key(shown[-1]), self.scope)

    @property
    def fetch(self) -> int:
        """How many rows to read: one more than the page has, to see whether there are more."""
        return self.size + 1


def _scope(operation: str, params: Params) -> str:
    filters = {k: v for k, v in params.items() if k not in {"nextToken", "maxResults"}}
    text = json.dumps([operation, filters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(key: Key, scope: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([scope, key]).encode()).decode()


def _read(token: str, scope: str) -> Key:
    try:
        made_for, key = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError, RecursionError):
        made_for, key = None, None
    if made_for != scope or isinstance(key, bool) or not isinstance(key, str | int):
        raise faults.invalid(
            "nextToken", "the nextToken is not one that this list gave; begin again without it"
        )
    return key
