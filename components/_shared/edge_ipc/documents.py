"""A JSON document as it travels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any] | bytes
"""A JSON object, or the text that `encode` made of one, for whoever needs it more than once."""


def encode(document: Document) -> bytes:
    """Return a document as compact JSON text, which is what counts for a limit of bytes."""
    if isinstance(document, bytes):
        return document
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
