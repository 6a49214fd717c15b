"""Who belongs to thing groups: only things that exist, which moto does not see to."""

from __future__ import annotations

from typing import Any

DELETIONS = "/things/"
"""What the path of a request that deletes a thing begins with."""


def forget_deleted(iot: Any) -> None:
    """Take deleted things out of their groups, or the next of that name would be born there."""
    for group in iot.thing_groups.values():
        for arn in [arn for arn in group.things if arn not in iot.things]:
            del group.things[arn]
