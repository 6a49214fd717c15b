"""XML documents of S3."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from werkzeug.wrappers import Response

from verge.cloud.objects import faults

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_MAX_DOCUMENT = 4 * 1024 * 1024  # 10,000 parts or 1,000 keys of 1,024 bytes fit

Value = str | int | Mapping[str, "Value"] | Iterable["Value"] | None
"""An element's content; a sequence repeats its element, None leaves it out."""


def response(name: str, content: Mapping[str, Value], status: int = 200) -> Response:
    """Return a document with its namespace."""
    root = ET.Element(name, xmlns=NAMESPACE)
    _fill(root, content)
    return Response(render(root), status, content_type="application/xml")


def error(fault: faults.FaultError, resource: str, request_id: str) -> Response:
    """Return a refusal."""
    root = ET.Element("Error")
    _fill(
        root,
        {
            "Code": fault.code,
            "Message": fault.message,
            "Resource": resource,
            "RequestId": request_id,
        },
    )
    return Response(render(root), fault.status, content_type="application/xml")


def render(root: ET.Element) -> bytes:
    """Return the bytes of a document."""
    return bytes(ET.tostring(root, encoding="UTF-8", xml_declaration=True))


def parse(body: bytes) -> ET.Element:
    """Read a document; names come without namespaces. Raises FaultError."""
    if len(body) > _MAX_DOCUMENT or b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise _malformed()
    try:
        root = ET.fromstring(body)  # noqa: S314  # documents with entities were refused above
    except (ET.ParseError, ValueError):
        raise _malformed() from None
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def tags(body: bytes) -> dict[str, str]:
    """Return the tags of a Tagging document. Raises FaultError."""
    found = {
        element.findtext("Key", ""): element.findtext("Value", "")
        for element in parse(body).iterfind("TagSet/Tag")
    }
    return checked_tags(found)


def checked_tags(found: dict[str, str]) -> dict[str, str]:
    """Return the tags if S3 takes them. Raises FaultError."""
    if len(found) > 10 or any(
        not 1 <= len(key) <= 128 or len(value) > 256 for key, value in found.items()
    ):
        raise faults.FaultError(
            "InvalidTag", "An object has at most 10 tags of 128 and 256 characters."
        )
    return found


def time(seconds: float) -> str:
    """Return a time as documents carry it."""
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _fill(parent: ET.Element, content: Mapping[str, Value]) -> None:
    for name, value in content.items():
        if value is None:
            continue
        many = isinstance(value, Iterable) and not isinstance(value, str | Mapping)
        for each in value if many else [value]:  # type: ignore[union-attr]
            child = ET.SubElement(parent, name)
            if isinstance(each, Mapping):
                _fill(child, each)
            else:
                child.text = str(each)


def _malformed() -> faults.FaultError:
    return faults.FaultError(
        "MalformedXML", "The XML you provided was not well-formed or did not validate."
    )
