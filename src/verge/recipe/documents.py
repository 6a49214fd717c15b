"""YAML and JSON text to plain values and back, the way Greengrass devices read it.

YAML is read by the JSON schema of YAML 1.2: only `true`, `false`, `null` and decimal numbers are
not text. `2020-01-25`, `12:30`, `yes` and `0755` stay what was written. Keys are always text.
"""

from __future__ import annotations

import copy
import json
import math
import re
from typing import Any, NoReturn

import msgspec
import yaml

from verge.recipe import errors

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000  # values in a document, repeated ones counted each time
MAX_DEPTH = 100

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_CONSTANTS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER = re.compile(
    r"(?P<int>[-+]?(?:0|[1-9][0-9]*))|[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
)
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_COLLECTION_TAGS = frozenset({None, "!", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})


def load_yaml(text: str | bytes, *, source: str = "") -> Any:
    """Return the one YAML document in the text as dicts, lists, text, numbers and None.

    Refused with a RecipeError that says line and column: broken YAML, a key written twice, merge
    keys, tags, more than one document, more than MAX_DEPTH levels or, aliases counted each time,
    more than MAX_VALUES values.
    """
    content = decode(text, source)
    builder = _Builder(source)
    try:
        for event in yaml.parse(content, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "broken"
        builder.fail(f"cannot read YAML: {problem}", error.problem_mark or error.context_mark)
    except yaml.YAMLError as error:
        builder.fail(f"cannot read YAML: {_first_line(error)}")
    return _checked(builder.document, source)


def load_json(text: str | bytes, *, source: str = "") -> Any:
    """Return the JSON document in the text; refuses what load_yaml refuses."""
    content = decode(text, source)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        mapping = dict(pairs)
        if len(mapping) < len(pairs):
            twice = next(k for i, (k, _) in enumerate(pairs) if k in dict(pairs[:i]))
            raise errors.RecipeError(f"cannot read JSON: the key {twice!r} is there twice")
        return mapping

    try:
        document = json.loads(
            content,
            object_pairs_hook=unique,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_number,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise errors.RecipeError(
            f"cannot read JSON: {error.msg}", path=place, source=source
        ) from None
    except RecursionError:
        raise errors.RecipeError(_TOO_DEEP, source=source) from None
    except errors.RecipeError as error:
        raise error.located(source=source) from None
    return _checked(document, source)


def dump_yaml(document: Any) -> str:
    """Return the document as YAML that every reader takes for the same values.

    Keys keep their order, text of several lines becomes a block, and text that any YAML reader
    could take for something else is quoted.
    """
    text: str = yaml.dump(
        document,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=1_000_000,
    )
    return text


def decode(text: str | bytes, source: str = "") -> str:
    """Return the text of a file, without a byte order mark; refuses what is not UTF-8."""
    if len(text) > MAX_BYTES:
        reason = f"cannot read more than {MAX_BYTES} bytes"
        raise errors.RecipeError(reason, source=source)
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        decoded.encode()
    except UnicodeDecodeError as error:
        reason = f"cannot read byte {error.start}: not UTF-8 text"
        raise errors.RecipeError(reason, source=source) from None
    except UnicodeEncodeError as error:
        reason = f"cannot read character {error.start}: half of a surrogate pair"
        raise errors.RecipeError(reason, source=source) from None
    return decoded.removeprefix("\ufeff")


_TOO_DEEP = f"cannot read more than {MAX_DEPTH} levels of nesting"


class _Anchor(msgspec.Struct):
    value: Any
    size: int


class _Open(msgspec.Struct):
    """A collection whose end has not come: the value, what it is called and the key in waiting."""

    value: dict[str, Any] | list[Any]
    anchor: str | None
    before: int
    key: str | None = None


class _Builder:
    """Puts a document together from YAML events, without recursion."""

    def __init__(self, source: str) -> None:
        self.document: Any = None
        self._source = source
        self._documents = 0
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchor] = {}
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent:
            self._open({}, event)
        elif kind is yaml.SequenceStartEvent:
            self._open([], event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._close(event)
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                self.fail("cannot read more than one YAML document", event.start_mark)

    def fail(self, reason: str, mark: Any = None) -> NoReturn:
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise errors.RecipeError(reason, path=place, source=self._source) from None

    def _scalar(self, event: Any) -> None:
        frame = self._stack[-1] if self._stack else None
        if frame and type(frame.value) is dict and frame.key is None:
            self._key(frame, event)
            return
        value = event.value
        if event.tag in _TEXT_TAGS:
            pass
        elif event.tag is not None:
            self.fail(f"cannot read the YAML tag {event.tag}", event.start_mark)
        elif event.implicit[0]:
            try:
                value = _plain(value)
            except errors.RecipeError as error:
                self.fail(error.reason, event.start_mark)
        self._add(value, event, 1)
        if event.anchor:
            self._anchors[event.anchor] = _Anchor(value, 1)

    def _key(self, frame: _Open, event: Any) -> None:
        if event.value == "<<" and event.implicit[0]:
            self.fail("cannot use a YAML merge key: devices do not know it", event.start_mark)
        if event.value in frame.value:
            self.fail(f"cannot read YAML: the key {event.value!r} is there twice", event.start_mark)
        frame.key = event.value

    def _open(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if event.tag not in _COLLECTION_TAGS:
            self.fail(f"cannot read the YAML tag {event.tag}", event.start_mark)
        if len(self._stack) >= MAX_DEPTH:
            self.fail(_TOO_DEEP, event.start_mark)
        before = self._count
        self._add(value, event, 1)
        self._stack.append(_Open(value, event.anchor, before))

    def _close(self, event: Any) -> None:
        frame = self._stack.pop()
        if frame.anchor:
            self._anchors[frame.anchor] = _Anchor(frame.value, self._count - frame.before)

    def _alias(self, event: Any) -> None:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            self.fail(f"cannot find the YAML anchor &{event.anchor} before here", event.start_mark)
        self._add(anchor.value, event, anchor.size, shared=True)

    def _add(self, value: Any, event: Any, size: int, *, shared: bool = False) -> None:
        self._count += size
        if self._count > MAX_VALUES:
            self.fail(f"cannot read more than {MAX_VALUES} values", event.start_mark)
        value = copy.deepcopy(value) if shared else value
        if not self._stack:
            self.document = value
            return
        frame = self._stack[-1]
        if isinstance(frame.value, list):
            frame.value.append(value)
        elif frame.key is None:
            self.fail("cannot read YAML: a key must be text", event.start_mark)
        else:
            frame.value[frame.key] = value
            frame.key = None


def _plain(text: str) -> Any:
    """Return what an unquoted scalar stands for."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[:1] in "+-.0123456789" and _NUMBER.fullmatch(text):
        return _number(text)
    return text


def _number(text: str) -> int | float:
    match = _NUMBER.fullmatch(text)
    if match and match["int"]:
        if len(text) <= 20 and -(2**63) <= (number := int(text)) < 2**63:
            return number
    elif match and math.isfinite(real := float(text)):
        return real
    shown = text if len(text) <= 40 else f"{text[:40]}…"
    raise errors.RecipeError(f"cannot keep the number {shown}: out of range; quote it as text")


def _checked(document: Any, source: str) -> Any:
    """Refuse what JSON allows and nothing else can hold: deep nesting and half characters."""
    pending = [(document, 0)]
    for value, depth in pending:
        if isinstance(value, str):
            decode(value, source)
        elif isinstance(value, dict | list):
            if depth >= MAX_DEPTH:
                raise errors.RecipeError(_TOO_DEEP, source=source)
            if isinstance(value, dict):
                pending.extend((key, depth) for key in value)
            items = value.values() if isinstance(value, dict) else value
            pending.extend((item, depth + 1) for item in items)
            if len(pending) > 2 * MAX_VALUES:
                raise errors.RecipeError(
                    f"cannot read more than {MAX_VALUES} values", source=source
                )
    return document


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


class _Dumper(_DUMPER):  # type: ignore[misc]
    """Writes every value in full, and long text as a block."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
# YAML 1.1 takes 1e5 for text and other readers do not, so text of that look is quoted.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(f"(?:{_NUMBER.pattern})$"), list("+-.0123456789")
)
