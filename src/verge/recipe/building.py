"""YAML events to plain values, within bounds and without recursion."""

from __future__ import annotations

import copy
from typing import Any, NoReturn

import msgspec
import yaml

from verge.recipe import errors, scalars

MAX_VALUES = 100_000  # values in a document, repeated ones counted each time
MAX_DEPTH = 100
TOO_MANY = f"cannot read more than {MAX_VALUES} values"
TOO_DEEP = f"cannot read more than {MAX_DEPTH} levels of nesting"

_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_COLLECTION_TAGS = {
    yaml.MappingStartEvent: frozenset({None, "!", "tag:yaml.org,2002:map"}),
    yaml.SequenceStartEvent: frozenset({None, "!", "tag:yaml.org,2002:seq"}),
}


class _Anchor(msgspec.Struct):
    """A finished value that aliases may repeat: how many values and levels it has."""

    value: Any
    size: int
    height: int


class _Open(msgspec.Struct):
    """A collection whose end has not come, and the key that waits for its value."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    before: int
    height: int = 1
    key: str | None = None


class Builder:
    """Puts a document together; `document` holds it once all events were taken."""

    def __init__(self, source: str) -> None:
        self.document: Any = None
        self._source = source
        self._documents = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchor] = {}
        self._count = 0

    def take(self, event: Any) -> None:
        """Add what one event brings; a RecipeError says where the text goes wrong."""
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent:
            self._open({}, event)
        elif kind is yaml.SequenceStartEvent:
            self._open([], event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._close()
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self.fail("cannot read more than one YAML document", event.start_mark)

    def fail(self, reason: str, mark: Any = None) -> NoReturn:
        """Raise a RecipeError with line and column of the mark."""
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise errors.RecipeError(reason, path=place, source=self._source) from None

    def _scalar(self, event: Any) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame and frame.key is None and isinstance(frame.value, dict):
            self._key(frame, event)
            return
        value = self._value_of(event)
        self._add(value, event, size=1)
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(value, 1, 0)

    def _value_of(self, event: Any) -> Any:
        if event.tag is not None:
            if event.tag in _TEXT_TAGS:
                return event.value
            self.fail(f"cannot read the YAML tag {event.tag}", event.start_mark)
        if not event.implicit[0]:
            return event.value
        try:
            return scalars.plain(event.value)
        except errors.RecipeError as error:
            self.fail(error.reason, event.start_mark)

    def _key(self, frame: _Open, event: Any) -> None:
        if event.value == "<<" and event.implicit[0]:
            self.fail("cannot use a YAML merge key: devices do not know it", event.start_mark)
        if event.value in frame.value:
            self.fail(f"cannot read YAML: the key {event.value!r} is there twice", event.start_mark)
        frame.key = event.value

    def _open(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if event.tag not in _COLLECTION_TAGS[type(event)]:
            self.fail(f"cannot read the YAML tag {event.tag}", event.start_mark)
        before = self._count
        self._add(value, event, size=1, height=1)
        self._stack.append(_Open(value, event.anchor, before))

    def _close(self) -> None:
        frame = self._stack.pop()
        if self._stack:
            self._stack[-1].height = max(self._stack[-1].height, frame.height + 1)
        if frame.anchor:
            size = self._count - frame.before
            self._anchors[frame.anchor] = _Anchor(frame.value, size, frame.height)

    def _alias(self, event: Any) -> None:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            self.fail(f"cannot find the YAML anchor &{event.anchor} before here", event.start_mark)
        self._check(event, anchor.size, anchor.height)
        self._add(copy.deepcopy(anchor.value), event, size=anchor.size, height=anchor.height)

    def _check(self, event: Any, size: int, height: int) -> None:
        if self._count + size > MAX_VALUES:
            self.fail(TOO_MANY, event.start_mark)
        if len(self._stack) + height > MAX_DEPTH:
            self.fail(TOO_DEEP, event.start_mark)

    def _add(self, value: Any, event: Any, *, size: int, height: int = 0) -> None:
        self._check(event, size, height)
        self._count += size
        if not self._stack:
            self.document = value
            return
        frame = self._stack[-1]
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is None:
            self.fail("cannot read YAML: a key must be text", event.start_mark)
        else:
            frame.value[frame.key] = value
            frame.key = None
