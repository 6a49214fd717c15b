"""moto's clock: it stands at the time of a journal entry while that entry is replayed.

moto asks for the time in many ways. `take_over` exchanges, in its modules only, the standard
library's clocks for ones that can stand still, so that things keep the dates of their creation
through a restart.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import threading
import time
import types
from collections.abc import Iterator
from typing import Any

_stopped = threading.local()
_seen: set[str] = set()
_count = 0


@contextlib.contextmanager
def standing_at(at: float) -> Iterator[None]:
    """Let moto, in this thread, take `at` (seconds since the epoch) for the present."""
    _stopped.at = at
    try:
        yield
    finally:
        _stopped.at = None


def take_over() -> None:
    """Exchange the clocks of the modules of moto that have been loaded since the last call."""
    global _count  # a request that loads nothing new should cost nothing
    if len(sys.modules) == _count:
        return
    _count = len(sys.modules)
    for name in [name for name in sys.modules.keys() - _seen if name.startswith("moto.")]:
        _seen.add(name)
        members = vars(sys.modules[name])
        for member, clock in (("datetime", dt), ("datetime", dt.datetime), ("time", time)):
            if members.get(member) is clock:
                members[member] = _CLOCKS[clock]
        if members.get("time") is time.time:
            members["time"] = _now


def _now() -> float:
    at: float | None = getattr(_stopped, "at", None)
    return time.time() if at is None else at


class _AnyDatetime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, dt.datetime)


class _Datetime(dt.datetime, metaclass=_AnyDatetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
        return dt.datetime.fromtimestamp(_now(), tz)

    @classmethod
    def utcnow(cls) -> dt.datetime:  # type: ignore[override]
        return dt.datetime.fromtimestamp(_now(), dt.UTC).replace(tzinfo=None)


class _Module(types.ModuleType):
    """A module of the standard library with some members of its own."""

    def __init__(self, original: types.ModuleType, **members: Any) -> None:
        super().__init__(original.__name__, original.__doc__)
        vars(self).update({**vars(original), **members})


_CLOCKS: dict[object, object] = {
    dt: _Module(dt, datetime=_Datetime),
    dt.datetime: _Datetime,
    time: _Module(time, time=_now),
}
