"""YAML and JSON text to plain values and back, the way Greengrass devices read it.

YAML is read by the JSON schema of YAML 1.2: only `true`, `false`, `null` and decimal numbers are
not text. `2020-01-25`, `12:30`, `yes` and `0755` stay what was written. Keys are always text.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import yaml

from verge.recipe import building, errors, scalars

MAX_BYTES = 1 << 20

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load_yaml(text: str | bytes, *, source: str = "") -> Any:
    """Return the one YAML document in the text as dicts, lists, text, numbers and None.

    Refused with a RecipeError that says line and column: broken YAML, a key written twice, merge
    keys, tags, more than one document, more than building.MAX_DEPTH levels or, aliases counted
    each time, more than building.MAX_VALUES values.
    """
    content = decode(text, source)
    builder = building.Builder(source)
    try:
        for event in yaml.parse(content, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        problem = error.problem or error.context or "broken"
        builder.fail(f"cannot read YAML: {problem}", error.problem_mark or error.context_mark)
    except yaml.YAMLError as error:
        builder.fail(f"cannot read YAML: {str(error).partition(chr(10))[0]}")
    return _checked(builder.document, source)


def load_json(text: str | bytes, *, source: str = "") -> Any:
    """Return the JSON document in the text; refuses what load_yaml refuses."""
    content = decode(text, source)
    try:
        document = json.loads(
            content,
            object_pairs_hook=_unique,
            parse_int=scalars.number,
            parse_float=scalars.number,
            parse_constant=scalars.number,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        reason = f"cannot read JSON: {error.msg}"
        raise errors.RecipeError(reason, path=place, source=source) from None
    except RecursionError:
        raise errors.RecipeError(building.TOO_DEEP, source=source) from None
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
        raise errors.RecipeError(f"cannot read more than {MAX_BYTES} bytes", source=source)
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


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise errors.RecipeError(f"cannot read JSON: the key {twice!r} is there twice")
    return mapping


def _checked(document: Any, source: str) -> Any:
    """Refuse what only JSON can carry: deep nesting, too many values, half characters."""
    pending = [(document, 0)]
    for value, depth in pending:
        if isinstance(value, str):
            decode(value, source)
        if not isinstance(value, dict | list):
            continue
        if depth >= building.MAX_DEPTH:
            raise errors.RecipeError(building.TOO_DEEP, source=source)
        if isinstance(value, dict):
            for key in value:
                decode(key, source)
        items = value.values() if isinstance(value, dict) else value
        pending.extend((item, depth + 1) for item in items)
        if len(pending) > building.MAX_VALUES:
            raise errors.RecipeError(building.TOO_MANY, source=source)
    return document


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
    "tag:yaml.org,2002:float",
    re.compile(f"(?:{scalars.NUMBER.pattern})$"),
    list(scalars.NUMBER_STARTS),
)
