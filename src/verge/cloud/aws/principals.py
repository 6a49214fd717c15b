"""Which thing a certificate stands for and which policies it has, found without a search.

moto keeps both as pairs; each look-up of ours would go through all of them, for every connection
of every device.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class Index:
    """Derived from moto's model of IoT, anew after each change of the registry.

    Ask only while the registry cannot change.
    """

    def __init__(self, version: Callable[[], int]) -> None:
        """`version` tells which state of the registry there is."""
        self._version = version
        self._made_of: int | None = None
        self._things: Mapping[str, str] = {}
        self._policies: Mapping[str, Sequence[str]] = {}

    def thing_of(self, iot: Any, principal: str) -> str | None:
        """Return the thing that a principal (ARN) was attached to first."""
        self._follow(iot)
        return self._things.get(principal)

    def policies_of(self, iot: Any, target: str) -> Sequence[str]:
        """Return the names of the policies that are attached to a target (ARN)."""
        self._follow(iot)
        return self._policies.get(target, ())

    def _follow(self, iot: Any) -> None:
        version = self._version()
        if version == self._made_of:
            return
        things: dict[str, str] = {}
        for principal, thing in iot.principal_things:
            things.setdefault(principal, thing)
        policies: defaultdict[str, list[str]] = defaultdict(list)
        for target, name in iot.principal_policies:
            policies[target].append(name)
        self._things, self._policies, self._made_of = things, dict(policies), version
