"""IoT policies: whether the documents attached to a certificate allow what a device asks for.

Pure. The language is IAM's with the actions, resources and variables of IoT Core. In resources `*`
stands for any characters (also slashes) and `?` for one; MQTT's `+` and `#` are only themselves, so
that a policy which allows `topicfilter/a/+` allows that subscription and no other.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from verge.cloud import ports

THING_NAME = "iot:Connection.Thing.ThingName"
IS_ATTACHED = "iot:Connection.Thing.IsAttached"
CLIENT_ID = "iot:ClientId"

MAX_REMEMBERED = 512  # answers per device; topics are the device's choice

_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SPECIAL = {"*": "*", "?": "?", "$": "$"}  # ${*} stands for the character itself


def variables(device: ports.Device, client_id: str | None = None) -> dict[str, str]:
    """Return what policies can refer to for a device and, over MQTT, its client id."""
    known = {THING_NAME: device.thing, IS_ATTACHED: "true"}
    return known if client_id is None else {**known, CLIENT_ID: client_id}


class Rules:
    """What a set of policies allows one device. Denied unless allowed; a Deny always wins."""

    def __init__(self, documents: Iterable[ports.Document], known: Mapping[str, str]) -> None:
        statements = [
            statement for document in documents for statement in _list(document.get("Statement"))
        ]
        self._deny = [s for s in statements if s.get("Effect") == "Deny"]
        self._allow = [s for s in statements if s.get("Effect") == "Allow"]
        self._known = known
        self._remembered: dict[tuple[str, str], bool] = {}

    def allow(self, action: str, resource: str) -> bool:
        """Whether the action on the resource (ARN) is allowed."""
        question = (action, resource)
        answer = self._remembered.get(question)
        if answer is None:
            answer = self._decide(action, resource)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[question] = answer
        return answer

    def _decide(self, action: str, resource: str) -> bool:
        if any(self._applies(s, action, resource, unknown=True) for s in self._deny):
            return False
        return any(self._applies(s, action, resource, unknown=False) for s in self._allow)

    def _applies(
        self, statement: ports.Document, action: str, resource: str, *, unknown: bool
    ) -> bool:
        return (
            self._names(statement, "Action", action, fold=True)
            and self._names(statement, "Resource", resource, fold=False)
            and self._holds(statement.get("Condition") or {}, unknown=unknown)
        )

    def _names(self, statement: ports.Document, member: str, value: str, *, fold: bool) -> bool:
        if f"Not{member}" in statement:
            return not self._any(statement[f"Not{member}"], value, fold=fold)
        return self._any(statement.get(member), value, fold=fold)

    def _any(self, patterns: object, value: str, *, fold: bool) -> bool:
        return any(self._matches(str(pattern), value, fold=fold) for pattern in _list(patterns))

    def _matches(self, pattern: str, value: str, *, fold: bool) -> bool:
        expression = _compile(pattern, tuple(self._known.items()), fold)
        return expression is not None and expression.fullmatch(value) is not None

    def _holds(self, condition: Mapping[str, Mapping[str, Any]], *, unknown: bool) -> bool:
        """Whether all conditions hold; `unknown` is the answer to one that is not understood.

        What is not understood must neither allow anything nor lift a prohibition.
        """
        for operator, tests in condition.items():
            for key, wanted in tests.items():
                if self._known.get(key) is None or operator not in _OPERATORS:
                    if not unknown:
                        return False
                elif not self._test(operator, self._known[key], _list(wanted)):
                    return False
        return True

    def _test(self, operator: str, value: str, wanted: list[Any]) -> bool:
        negative, like, fold = _OPERATORS[operator]
        texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in wanted]
        if like:
            found = any(self._matches(text, value, fold=fold) for text in texts)
        else:
            found = value in texts or (fold and value.lower() in {t.lower() for t in texts})
        return found is not negative


_OPERATORS = {  # whether it is negated, knows wildcards, ignores case
    "Bool": (False, False, True),
    "StringEquals": (False, False, False),
    "StringNotEquals": (True, False, False),
    "StringEqualsIgnoreCase": (False, False, True),
    "StringNotEqualsIgnoreCase": (True, False, True),
    "StringLike": (False, True, False),
    "StringNotLike": (True, True, False),
}


@functools.lru_cache(maxsize=16384)
def _compile(
    pattern: str, known: tuple[tuple[str, str], ...], fold: bool
) -> re.Pattern[str] | None:
    """Return the pattern as an expression; None if it refers to what this device has not."""
    values = dict(known)
    expression, end = "", 0
    for match in _VARIABLE.finditer(pattern):
        name = match[1].strip()
        value = _SPECIAL.get(name, values.get(name))
        if value is None:
            return None
        expression += _wild(pattern[end : match.start()]) + re.escape(value)
        end = match.end()
    flags = re.DOTALL | (re.IGNORECASE if fold else 0)
    return re.compile(expression + _wild(pattern[end:]), flags)


def _wild(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]
