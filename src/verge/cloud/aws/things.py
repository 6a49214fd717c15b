"""Things, groups, certificates, policies and role aliases, read from moto's registry."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from verge.cloud import ports
from verge.cloud.aws import backend, principals


class Things:
    """Implements `ports.Things`."""

    def __init__(self, *, backend: backend.Backend) -> None:
        self._backend = backend
        self._principals = principals.Index(lambda: backend.version)

    def exists(self, thing: str) -> bool:
        """Whether the thing exists."""
        with self._backend.service("iot") as iot:
            return _arn(iot, thing) in iot.things

    def group_exists(self, group: str) -> bool:
        """Whether the thing group exists."""
        with self._backend.service("iot") as iot:
            return _group(iot, group) is not None

    def groups_of(self, thing: str) -> tuple[ports.Group, ...]:
        """The groups a thing is a direct member of, by name."""
        with self._backend.service("iot") as iot:
            return tuple(_as_group(group) for group in _direct_groups(iot, thing))

    def things_in(self, group: str) -> tuple[str, ...]:
        """The members of a group and of the groups below it, each once, sorted."""
        with self._backend.service("iot") as iot:
            members = {
                thing.thing_name
                for each in iot.thing_groups.values()
                if each.thing_group_name == group or group in _parents(each)
                for thing in each.things.values()
            }
        return tuple(sorted(members))

    def authenticate(self, certificate: bytes) -> ports.Device | None:
        """Return whom an ACTIVE certificate (DER) of this cloud stands for; None for any other."""
        certificate_id = hashlib.sha256(certificate).hexdigest()
        with self._backend.service("iot") as iot:
            known = iot.certificates.get(certificate_id)
            if known is None or known.status != "ACTIVE":
                return None
            thing = self._principals.thing_of(iot, known.arn)
        return None if thing is None else ports.Device(thing, certificate_id)

    def policies_of(self, device: ports.Device) -> tuple[ports.Document, ...]:
        """The IoT policy documents attached to a certificate or to its thing's groups."""
        with self._backend.service("iot") as iot:
            targets = {
                known.arn
                for known in [iot.certificates.get(device.certificate_id)]
                if known is not None
            }
            for group in _direct_groups(iot, device.thing):
                named = {group.thing_group_name, *_parents(group)}
                targets |= {
                    each.arn for each in iot.thing_groups.values() if each.thing_group_name in named
                }
            policies = {
                name: iot.principal_policies[target, name][1]
                for target in targets
                for name in self._principals.policies_of(iot, target)
            }
            return tuple(json.loads(_document(policies[name])) for name in sorted(policies))

    def role_alias(self, alias: str) -> ports.RoleAlias | None:
        """The role behind a role alias, and for how long."""
        with self._backend.service("iot") as iot:
            known = iot.role_aliases.get(alias)
            if known is None:
                return None
            return ports.RoleAlias(str(known.role_arn), int(known.credential_duration_seconds))

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call back after every change of things, groups, certificates, policies or aliases."""
        self._backend.on_change("iot", changed)


def _direct_groups(iot: Any, thing: str) -> list[Any]:
    found = [group for group in iot.thing_groups.values() if _arn(iot, thing) in group.things]
    return sorted(found, key=lambda group: str(group.thing_group_name))


def _arn(iot: Any, thing: str) -> str:
    return f"arn:aws:iot:{iot.region_name}:{iot.account_id}:thing/{thing}"


def _document(policy: Any) -> str:
    return str(next(version.document for version in policy.versions if version.is_default))


def _group(iot: Any, name: str) -> Any:
    return next(
        (group for group in iot.thing_groups.values() if group.thing_group_name == name), None
    )


def _parents(group: Any) -> Iterable[str]:
    return [each["groupName"] for each in group.metadata.get("rootToParentThingGroups", ())]


def _as_group(group: Any) -> ports.Group:
    return ports.Group(group.thing_group_name, group.arn, tuple(_parents(group)))
