"""Policies as IoT Core takes them; moto keeps any text, and no connection could be judged by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from werkzeug.wrappers import Request, Response

from verge.cloud import strict_json
from verge.cloud.http import answers, routing
from verge.cloud.identity import registry

_EFFECTS = ("Allow", "Deny")


class PolicyDocuments:
    """CreatePolicy and CreatePolicyVersion."""

    def __init__(self, known: registry.Registry) -> None:
        self._registry = known

    def routes(self) -> Sequence[routing.Route]:
        """Return what is checked here."""
        return tuple(
            routing.Route.of("POST", path, self._check)
            for path in ("/policies/{policy}", "/policies/{policy}/version")
        )

    def _check(self, request: Request, _: Mapping[str, str]) -> Response:
        body = request.get_json(force=True, silent=True)
        text = body.get("policyDocument") if isinstance(body, dict) else None
        if isinstance(text, str) and (reason := _fault(text)) is not None:
            return answers.error(
                400, "MalformedPolicyException", f"cannot use the policy document: {reason}"
            )
        return self._registry.handle(request)


def _fault(text: str) -> str | None:
    """Return what is wrong with a policy document; None for one that can be judged by."""
    try:
        document = strict_json.parse(text)
    except ValueError as error:
        return f"it is no JSON ({error})"
    given = document.get("Statement") if isinstance(document, dict) else None
    statements = [given] if isinstance(given, dict) else given
    if not isinstance(statements, list) or not statements:
        return "it is no object with a Statement"
    return next((fault for each in statements if (fault := _fault_of(each)) is not None), None)


def _fault_of(statement: object) -> str | None:
    if not isinstance(statement, dict):
        return "a Statement is no object"
    if statement.get("Effect") not in _EFFECTS:
        return "the Effect of a Statement is neither Allow nor Deny"
    for member in ("Action", "Resource"):
        if not _are_texts(statement.get(member, statement.get(f"Not{member}"))):
            return f"a Statement names no {member}"
    condition = statement.get("Condition", {})
    if not isinstance(condition, dict) or not all(isinstance(c, dict) for c in condition.values()):
        return "the Condition of a Statement is no object of objects"
    return None


def _are_texts(value: object) -> bool:
    texts = value if isinstance(value, list) else [value]
    return bool(texts) and all(isinstance(text, str) for text in texts)
