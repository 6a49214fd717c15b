"""Lists of keys: by prefix, in pages, with what a delimiter cuts off rolled up."""

from __future__ import annotations

from typing import NamedTuple

from verge.cloud import database
from verge.cloud.objects import store

_BATCH = 1000
_LAST = "\U0010ffff"  # sorts after any character of a key


class Page(NamedTuple):
    """Objects and common prefixes of one page, each in order; `last` is where to go on after."""

    objects: tuple[store.Object, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: str


def page(
    rows: database.Database,
    bucket: str,
    *,
    prefix: str = "",
    delimiter: str = "",
    after: str = "",
    limit: int = 1000,
) -> Page:
    """Return the keys after `after`, in the order of their UTF-8 bytes."""
    objects: list[store.Object] = []
    prefixes: list[str] = []
    position, last = after, after
    if after.startswith(prefix) and _common(after, prefix, delimiter) == after:
        position = after + _LAST  # the page before ended with this common prefix
    while True:
        found = rows.all(
            "SELECT * FROM objects_object WHERE bucket = ? AND key > ? AND key >= ? AND key <= ? "
            "ORDER BY key LIMIT ?",
            (bucket, position, prefix, prefix + _LAST, _BATCH),
        )
        for row in found:
            common = _common(row["key"], prefix, delimiter)
            if common is not None and prefixes and prefixes[-1] == common:
                continue
            if len(objects) + len(prefixes) == limit:
                return Page(tuple(objects), tuple(prefixes), truncated=limit > 0, last=last)
            if common is None:
                objects.append(store.as_object(row))
                position = last = row["key"]
            else:
                prefixes.append(common)
                position, last = common + _LAST, common
                break
        else:
            if len(found) < _BATCH:
                return Page(tuple(objects), tuple(prefixes), truncated=False, last=last)


def _common(key: str, prefix: str, delimiter: str) -> str | None:
    if not delimiter:
        return None
    end = key.find(delimiter, len(prefix))
    return None if end < 0 else key[: end + len(delimiter)]
