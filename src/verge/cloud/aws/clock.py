"""moto's clock: it stands at the time of a journal entry while that entry is replayed."""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Iterator

from moto.core import utils

_replayed = threading.local()


def _utcnow() -> dt.datetime:
    at: float | None = getattr(_replayed, "at", None)
    now = dt.datetime.now(dt.UTC)
    if at is not None:
        now = dt.datetime.fromtimestamp(at, dt.UTC)
    return now.replace(tzinfo=None)  # moto counts in UTC without saying so


# The services take the function by name when they are first used, so it has to be replaced here,
# before that. Things keep the dates of their creation through a restart this way.
utils.utcnow = _utcnow


@contextlib.contextmanager
def standing_at(at: float) -> Iterator[None]:
    """Let moto, in this thread, take `at` (seconds since the epoch) for the present."""
    _replayed.at = at
    try:
        yield
    finally:
        _replayed.at = None
