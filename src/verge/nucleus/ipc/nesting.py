"""How deeply JSON is nested.

What passes unread through the nucleus must be readable for its receivers, whose parsers give up at
some depth, as ours does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from verge.nucleus.ipc import framing

_DEEP = 200  # a document with fewer brackets cannot be nested too deeply
_SHORT = 64 * 1024  # counting passes over the whole document, searching stops early
_PROBE = 700  # leaves about 250 levels of the recursion limit of all JSON parsers
_OPEN, _CLOSE = b"[" * _PROBE, b"]" * _PROBE


def is_deep(document: framing.Payload) -> bool:
    """Return whether a JSON document is nested too deeply."""
    if len(document) < _DEEP or not _has_many_brackets(document):
        return False
    try:
        msgspec.json.decode(b"".join((_OPEN, document, _CLOSE)), type=msgspec.Raw)
    except RecursionError:
        return True
    return False


def _has_many_brackets(document: framing.Payload) -> bool:
    if len(document) < _SHORT:
        return document.count(b"[") + document.count(b"{") >= _DEEP
    found = 0
    for bracket in (b"[", b"{"):
        at = document.find(bracket)
        while at >= 0:
            found += 1
            if found >= _DEEP:
                return True
            at = document.find(bracket, at + 1)
    return False
