"""Who may do what: the `accessControl` of the components (Greengrass contract 4.9).

Everything is denied that no policy in the component's own configuration allows. Clients of the
command line are not asked.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from verge.nucleus.ipc import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from verge.nucleus.ipc import host

ACCESS_CONTROL = "accessControl"
CLI_PREFIX = "greengrass-cli#"
ANY = "*"

PUBSUB = "aws.greengrass.ipc.pubsub"
MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
LIFECYCLE = "aws.greengrass.ipc.lifecycle"
CLI = "aws.greengrass.Cli"
SHADOWS = "aws.greengrass.ShadowManager"
SECRETS = "aws.greengrass.SecretManager"
METRICS = "aws.greengrass.ipc.componentmetric"

_REMEMBERED_DECISIONS = 1024
_REMEMBERED_RESOURCE_LENGTH = 256

logger = logging.getLogger(__name__)


class Wildcard(enum.Enum):
    """A part of a resource pattern that is not literal: `*`, or of MQTT `+` and a last `#`."""

    STAR = "*"
    PLUS = "+"
    HASH = "#"


Pattern = tuple["str | Wildcard", ...]


class InvalidResourceError(ValueError):
    """A resource of a policy that allows nothing, because it is malformed."""


def parse_resource(text: str, *, mqtt: bool = False) -> Pattern:
    """Return the pattern of a policy resource. Raises InvalidResourceError.

    `*` is any run of characters; `${*}`, `${?}` and `${$}` are literal. With `mqtt`, a `+` that
    fills a level and a `#` that is the last level act as in MQTT.
    """
    if not text:
        raise InvalidResourceError("a resource must not be empty")
    parts: list[str | Wildcard] = []
    at = 0
    while at < len(text):
        part, at = _next_part(text, at, mqtt=mqtt)
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part is not Wildcard.STAR or not parts or parts[-1] is not Wildcard.STAR:
            parts.append(part)
    if parts[-1] is Wildcard.HASH and len(parts) > 1:
        parts[-2] = str(parts[-2]).removesuffix("/")  # `a/#` covers `a` too
    return tuple(parts)


def _next_part(text: str, at: int, *, mqtt: bool) -> tuple[str | Wildcard, int]:
    sign = text[at]
    if sign == "*":
        return Wildcard.STAR, at + 1
    if sign == "?":
        raise InvalidResourceError(f"resource {text!r}: `?` is no wildcard, write ${{?}}")
    if text.startswith("${", at) and "}" in text[at:]:
        end = text.index("}", at)
        if text[at + 2 : end] not in {"*", "?", "$"}:
            raise InvalidResourceError(f"resource {text!r}: unknown escape {text[at : end + 1]}")
        return text[at + 2 : end], end + 1
    if mqtt and sign in "+#" and (at == 0 or text[at - 1] == "/"):
        last = at + 1 == len(text)
        if sign == "#" and last:
            return Wildcard.HASH, at + 1
        if sign == "+" and (last or text[at + 1] == "/"):
            return Wildcard.PLUS, at + 1
    return sign, at + 1


def matches(pattern: Pattern, resource: str) -> bool:
    """Return whether the pattern covers the resource, in time linear in their product."""
    places = {0}  # where the rest of the resource may begin
    for part in pattern:
        if not places:
            return False
        if isinstance(part, str):
            places = {at + len(part) for at in places if resource.startswith(part, at)}
        elif part is Wildcard.STAR:
            places = set(range(min(places), len(resource) + 1))
        elif part is Wildcard.PLUS:
            places = {end for at in places if (end := _level_end(resource, at)) is not None}
        else:  # `#`: nothing more, or one level or more below
            start = 0 if len(pattern) == 1 else None
            return any(at in (len(resource), start) or resource[at] == "/" for at in places)
    return len(resource) in places


def _level_end(resource: str, at: int) -> int | None:
    end = resource.find("/", at)
    end = len(resource) if end < 0 else end
    # One level never covers a requested filter for all levels.
    return None if resource[at:end] == "#" else end


@dataclass(frozen=True)
class Policy:
    """One policy: full operation names (or `*`) on resources."""

    operations: frozenset[str]
    patterns: Sequence[Pattern]

    def names(self, operation: str) -> bool:
        """Return whether the policy speaks of the operation."""
        return operation in self.operations or ANY in self.operations


@dataclass
class Policies:
    """All policies of one component, by service."""

    services: Mapping[str, Sequence[Policy]] = field(default_factory=dict)
    _decisions: dict[tuple[str, str, str], bool] = field(default_factory=dict)

    def name(self, service: str, operation: str) -> bool:
        """Return whether any policy speaks of the operation, whatever the resource."""
        return any(policy.names(operation) for policy in self.services.get(service, ()))

    def allow(self, service: str, operation: str, resource: str) -> bool:
        """Return whether a policy allows the operation on the resource."""
        key = (service, operation, resource)
        decision = self._decisions.get(key)
        if decision is None:
            decision = any(
                matches(pattern, resource)
                for policy in self.services.get(service, ())
                if policy.names(operation)
                for pattern in policy.patterns
            )
            self._remember(key, decision)
        return decision

    def _remember(self, key: tuple[str, str, str], decision: bool) -> None:
        if len(key[2]) <= _REMEMBERED_RESOURCE_LENGTH:
            if len(self._decisions) >= _REMEMBERED_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = decision


class _WrittenPolicy(msgspec.Struct):
    """A policy as configured, its keys already in lower case."""

    operations: list[str] | None = None
    resources: list[str] | None = None


def parse_policies(component: str, value: Any) -> Policies:
    """Return the policies of an `accessControl` value, or none if it is malformed.

    A value that is a JSON string is parsed first. What is left out is logged.
    """
    try:
        if isinstance(value, str):
            value = msgspec.json.decode(value)
        written = msgspec.convert(value, dict[str, dict[str, dict[str, Any]]])
        services = {
            service: [
                policy
                for name, fields in policies.items()
                if (policy := _parse_policy(component, service, name, fields))
            ]
            for service, policies in written.items()
        }
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        logger.warning("Access control disabled component=%s reason=%s", component, error)
        return Policies()
    return Policies(services)


def _parse_policy(
    component: str, service: str, name: str, fields: Mapping[str, Any]
) -> Policy | None:
    lowered = {key.lower(): value for key, value in fields.items()}
    written = msgspec.convert(lowered, _WrittenPolicy, strict=False)
    if not written.operations:
        logger.warning("Policy without operations skipped component=%s policy=%s", component, name)
        return None
    patterns = []
    for resource in written.resources or ():
        try:
            patterns.append(parse_resource(resource, mqtt=service == MQTT_PROXY))
        except InvalidResourceError as error:
            logger.warning("Resource skipped component=%s policy=%s: %s", component, name, error)
    return Policy(frozenset(written.operations), patterns)


class Authorizer:
    """Answers for every principal, from the configuration as it is now.

    Policies are read when first asked for, kept, and read anew after a change of the component's
    `accessControl`.
    """

    def __init__(self, configuration: host.Configuration) -> None:
        self._configuration = configuration
        self._policies: dict[str, Policies] = {}
        self._watches: dict[str, Callable[[], None]] = {}

    def check(self, principal: str, service: str, operation: str, resource: str | None) -> None:
        """Raise UnauthorizedError unless the principal may do this.

        With no resource, any policy that speaks of the operation is enough: the request is
        refused for its missing argument then.
        """
        if principal.startswith(CLI_PREFIX):
            return
        policies = self._policies.get(principal) or self._load(principal)
        if resource is None:
            if policies.name(service, operation):
                return
        elif policies.allow(service, operation, resource):
            return
        raise errors.unauthorized(
            f"Principal {principal} is not authorized to perform {service}:{operation} "
            f"on resource {resource}"
        )

    def forget(self, principal: str) -> None:
        """Stop watching the configuration of a principal that has gone."""
        self._policies.pop(principal, None)
        unsubscribe = self._watches.pop(principal, None)
        if unsubscribe is not None:
            unsubscribe()

    def _load(self, principal: str) -> Policies:
        if principal not in self._watches and not self._watch(principal):
            return Policies()
        try:
            value = self._configuration.get(principal, [ACCESS_CONTROL])
        except KeyError:
            policies = Policies()
        else:
            policies = parse_policies(principal, value)
        self._policies[principal] = policies
        return policies

    def _watch(self, principal: str) -> bool:
        def changed(_component: str, path: Sequence[str]) -> None:
            if not path or path[0].lower() == ACCESS_CONTROL.lower():
                self._policies.pop(principal, None)

        try:
            self._watches[principal] = self._configuration.subscribe(principal, [], changed)
        except KeyError:  # not installed (any more), so it has no policies either
            return False
        return True
