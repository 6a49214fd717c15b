"""Which things the targets of a job stand for."""

from __future__ import annotations

from collections.abc import Iterable

from verge.cloud import ports
from verge.cloud.jobs import errors

_THING = "thing/"
_GROUP = "thinggroup/"


def check(targets: Iterable[str], things: ports.Things) -> None:
    """Refuse targets that are no things or groups that exist. Raises JobError."""
    for target in targets:
        kind, name = _split(target)
        exists = things.exists(name) if kind == _THING else things.group_exists(name)
        if not exists:
            raise errors.MissingError(f"cannot find the target {target}")


def expand(targets: Iterable[str], things: ports.Things) -> tuple[str, ...]:
    """Return the things of all targets, each once; what was deleted stands for none."""
    found: dict[str, None] = {}
    for target in targets:
        kind, name = _split(target)
        if kind == _THING and things.exists(name):
            found[name] = None
        elif kind == _GROUP and things.group_exists(name):
            found.update(dict.fromkeys(things.things_in(name)))
    return tuple(found)


def _split(target: str) -> tuple[str, str]:
    parts = target.split(":", 5)
    resource = parts[5] if len(parts) == 6 and parts[0] == "arn" and parts[2] == "iot" else ""
    for kind in (_THING, _GROUP):
        if resource.startswith(kind) and len(resource) > len(kind):
            return kind, resource.removeprefix(kind)
    raise errors.refuse(
        f"cannot use the target {target}: give the ARN of a thing or of a thing group"
    )
