"""Whether the policies of a role allow an action.

moto's own evaluator takes a condition that does not hold for a denial and a dot in a pattern for
any character; both would make a role that works on AWS fail here, or the other way round.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from moto.iam import exceptions

from verge.cloud.aws import backend

Context = Mapping[str, str]
"""Condition keys and their values, such as `s3:prefix`."""


class Permissions:
    """Evaluates identity policies: an explicit Deny wins, then an Allow, else no."""

    def __init__(self, *, backend: backend.Backend) -> None:
        self._backend = backend

    def allow(self, role: str, action: str, resource: str, context: Context | None = None) -> bool:
        """Whether a role (ARN) may do an action, such as `s3:GetObject`, on a resource (ARN)."""
        allowed = False
        for document in self.documents(role.rpartition("/")[2]):
            for statement in _as_list(document.get("Statement", [])):
                if not _applies(statement, action, resource, context or {}):
                    continue
                if statement.get("Effect") != "Allow":
                    return False
                allowed = True
        return allowed

    def documents(self, role: str) -> list[dict[str, Any]]:
        """Return the inline and the attached policies of a role by its name; none if unknown."""
        with self._backend.service("iam", "aws") as iam:
            try:
                inline = [
                    iam.get_role_policy(role, name)[1] for name in iam.list_role_policies(role)
                ]
                attached = [
                    policy.default_version.document
                    for policy in iam.get_role(role).managed_policies.values()
                ]
            except exceptions.NotFoundException:
                return []
        return [json.loads(text) for text in [*inline, *attached]]


def _applies(statement: Any, action: str, resource: str, context: Context) -> bool:
    return (
        _named(statement, "Action", action.lower(), context, lower=True)
        and _named(statement, "Resource", resource, context, lower=False)
        and _conditions_hold(statement, context)
    )


def _named(statement: Any, element: str, value: str, context: Context, *, lower: bool) -> bool:
    negated = f"Not{element}" in statement
    patterns = _as_list(statement.get(f"Not{element}" if negated else element, []))
    if lower:
        patterns = [pattern.lower() for pattern in patterns]
    return negated != any(_matches(pattern, value, context) for pattern in patterns)


def _matches(pattern: str, value: str, context: Context) -> bool:
    """Compare with a pattern in which `${key}` stands for a value; an unknown one matches nothing.

    What a variable stands for is taken literally, so no name of a device is a wildcard.
    """
    texts, variables = _VARIABLE.split(pattern)[::2], _VARIABLE.findall(pattern)
    values = [name if name in _LITERALS else context.get(name) for name in variables]
    known = [re.escape(each) for each in values if each is not None]
    if len(known) < len(values):
        return False
    parts = itertools.chain.from_iterable(
        itertools.zip_longest(map(_escape, texts), known, fillvalue="")
    )
    return _pattern("".join(parts)).fullmatch(value) is not None


def _conditions_hold(statement: Any, context: Context) -> bool:
    # What cannot be evaluated here neither allows nor spares from a Deny.
    unknown = statement.get("Effect") != "Allow"
    return all(
        _condition_holds(operator, [str(each) for each in _as_list(values)], context.get(key))
        if operator in _OPERATORS and key in context
        else unknown
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


def _condition_holds(operator: str, values: Iterable[str], actual: str | None) -> bool:
    found = actual is not None and any(
        _pattern(_escape(value)).fullmatch(actual) if "Like" in operator else value == actual
        for value in values
    )
    return found != ("Not" in operator)


_OPERATORS = frozenset({"StringEquals", "StringNotEquals", "StringLike", "StringNotLike"})


_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_LITERALS = frozenset("*?$")
"""`${*}` and the like stand for themselves."""


def _escape(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


@functools.lru_cache(maxsize=1024)
def _pattern(expression: str) -> re.Pattern[str]:
    return re.compile(expression, re.DOTALL)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
