"""Answers that botocore and other AWS clients understand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from werkzeug.wrappers import Response


def document(body: Mapping[str, Any], status: int = 200) -> Response:
    """Return a JSON object."""
    return Response(json.dumps(body), status, content_type="application/json")


def error(status: int, code: str, message: str, **members: Any) -> Response:
    """Return an error as services with JSON bodies do; `members` are further members of it.

    The code stands in a header as well as in the body: the two JSON protocols differ in where
    they look for it.
    """
    response = document({"__type": code, "message": message, **members}, status)
    response.headers["x-amzn-ErrorType"] = code
    return response
