"""A JSON document as it travels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def encode(document: Mapping[str, Any]) -> bytes:
    """Return a document as compact JSON text, which is what counts for a limit of bytes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
