"""Requests and answers of REST-JSON, by the service model: HTTP outside, plain values inside."""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from botocore import model as boto
from werkzeug.wrappers import Request, Response

from verge.cloud import strict_json
from verge.cloud.greengrass import faults

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request: a configuration of 10 MiB, escaped once, and what goes with it."""

_NUMBERS = {"integer": int, "long": int, "double": float, "float": float}
_BOOLEANS = {"true": True, "false": False}


def read(
    operation: boto.OperationModel, request: Request, in_path: Mapping[str, str]
) -> dict[str, Any]:
    """Return the members of a request by their names in the model; unknown ones are left out.

    Raises ValidationFault for a body that is no JSON object. Values of the wrong type stay as
    they came, for `validation` to name them.
    """
    shape = operation.input_shape
    if shape is None:
        return {}
    body = _body(request)
    found: dict[str, Any] = {}
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        match member.serialization.get("location"):
            case "uri":
                value: Any = in_path.get(key)
            case "querystring" if isinstance(member, boto.ListShape):
                value = request.args.getlist(key) or None
            case "querystring":
                value = _from_text(member, request.args.get(key))
            case "header":
                value = _from_text(member, request.headers.get(key))
            case _:
                value = _from_json(member, body.get(key))
        if value is not None:
            found[name] = value
    return found


def answer(operation: boto.OperationModel, result: Mapping[str, Any]) -> Response:
    """Return the answer to a request that was carried out."""
    shape = operation.output_shape
    status = operation.http.get("responseCode", 200)
    if shape is None:
        return Response(status=status)
    return _json(_to_json(shape, result), status)


def refusal(fault: faults.Fault, request_id: str) -> Response:
    """Return the answer to a request that was refused, in the one envelope of contract 5.1."""
    present = {key: value for key, value in fault.fields.items() if value}
    response = _json({"message": fault.message, **present}, fault.status)
    response.headers["x-amzn-errortype"] = fault.code
    response.headers["x-amzn-requestid"] = request_id
    return response


def _body(request: Request) -> Mapping[str, Any]:
    if (request.content_length or 0) > MAX_BODY:
        raise faults.ValidationFault(
            f"cannot read a request of more than {MAX_BODY} bytes", reason="CANNOT_PARSE"
        )
    content = request.get_data(cache=False)
    try:
        document = strict_json.parse(content) if content.strip() else {}
    except ValueError as error:
        raise faults.ValidationFault(
            f"cannot read the request as JSON: {error}", reason="CANNOT_PARSE"
        ) from None
    if not isinstance(document, dict):
        raise faults.ValidationFault(
            "cannot read the request: it must be a JSON object", reason="CANNOT_PARSE"
        )
    return document


def _from_text(shape: boto.Shape, text: str | None) -> Any:
    """Return the value that text in a query or a header stands for; what cannot be stays text."""
    if text is None:
        return None
    if shape.type_name == "boolean":
        return _BOOLEANS.get(text, text)
    if shape.type_name not in _NUMBERS:
        return text
    try:
        return _NUMBERS[shape.type_name](text)
    except ValueError:
        return text


def _from_json(shape: boto.Shape, value: Any) -> Any:
    """Return a value of a JSON body under the names of the model."""
    if isinstance(shape, boto.StructureShape) and isinstance(value, dict):
        named = (
            (name, _from_json(member, value.get(member.serialization.get("name", name))))
            for name, member in shape.members.items()
        )
        return {name: item for name, item in named if item is not None}
    if isinstance(shape, boto.ListShape) and isinstance(value, list):
        return [_from_json(shape.member, item) for item in value]
    if isinstance(shape, boto.MapShape) and isinstance(value, dict):
        return {key: _from_json(shape.value, item) for key, item in value.items()}
    if shape.type_name == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return value
    return value


def _to_json(shape: boto.Shape, value: Any) -> Any:
    encode = _encoder(shape)
    return value if encode is None else encode(value)


_Encode = Callable[[Any], Any]


@functools.cache
def _encoder(shape: boto.Shape) -> _Encode | None:
    """Return what makes JSON of values of a shape; None where they go out as they are.

    Made once for each shape: a page has hundreds of values of one kind.
    """
    if isinstance(shape, boto.StructureShape):
        return _Structure(shape).encode
    if isinstance(shape, boto.ListShape):
        return functools.partial(_list_to_json, shape.member)
    if isinstance(shape, boto.MapShape):
        return functools.partial(_map_to_json, shape.value)
    return _SCALARS.get(shape.type_name)


class _Structure:
    """Makes JSON of a structure's members, by their names there."""

    def __init__(self, shape: boto.StructureShape) -> None:
        self._shape = shape

    @functools.cached_property
    def _members(self) -> list[tuple[str, str, _Encode | None]]:
        """Names in the model and in JSON; looked up late, because structures may hold their own."""
        return [
            (name, member.serialization.get("name", name), _encoder(member))
            for name, member in self._shape.members.items()
        ]

    def encode(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members that there are."""
        return {
            key: item if encode is None else encode(item)
            for name, key, encode in self._members
            if (item := value.get(name)) is not None
        }


def _list_to_json(member: boto.Shape, value: Iterable[Any]) -> list[Any]:
    encode = _encoder(member)
    return list(value) if encode is None else [encode(item) for item in value]


def _map_to_json(member: boto.Shape, value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _to_json(member, item) for key, item in value.items()}


def _time_to_json(value: datetime | float) -> float:
    return round(value.timestamp() if isinstance(value, datetime) else value, 3)


def _blob_to_json(value: bytes) -> str:
    return base64.b64encode(value).decode()


_SCALARS: dict[str, _Encode] = {"timestamp": _time_to_json, "blob": _blob_to_json}


def _json(document: Any, status: int) -> Response:
    return Response(msgspec.json.encode(document), status=status, mimetype="application/json")
