"""Log lines about misbehaviour, few however much there is of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import logging

INTERVAL = 5.0  # s between two lines about the same; a flood brings thousands a second
_MOST_KINDS = 1000


class Notes:
    """The first of a kind is logged at once, further ones by their number, later."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: dict[tuple[str, str], int] = {}
        self._timers: dict[tuple[str, str], asyncio.TimerHandle] = {}

    def note(self, logger: logging.Logger, event: str, who: str, reason: str = "") -> None:
        """Log an event of a principal, or count it if there was such an event just now."""
        key = (event, who)
        if key in self._counts:
            self._counts[key] += 1
        elif len(self._counts) < _MOST_KINDS:
            because = f" reason={reason}" if reason else ""
            logger.warning("%s component=%s%s", event, who, because)
            self._watch(logger, key)

    def close(self) -> None:
        """Stop counting."""
        for timer in self._timers.values():
            timer.cancel()

    def _watch(self, logger: logging.Logger, key: tuple[str, str]) -> None:
        self._counts[key] = 0
        self._timers[key] = self._loop.call_later(INTERVAL, self._sum_up, logger, key)

    def _sum_up(self, logger: logging.Logger, key: tuple[str, str]) -> None:
        count = self._counts.pop(key)
        del self._timers[key]
        if count:
            logger.warning("%s component=%s more=%d", *key, count)
            self._watch(logger, key)
