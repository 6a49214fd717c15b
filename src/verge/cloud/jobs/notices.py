"""What a thing is told of its own accord: `notify` and `notify-next` (contract 5.8)."""

from __future__ import annotations

import json
from collections.abc import Callable

from verge.cloud import ports
from verge.cloud.jobs import documents, store


class Notices:
    """Publishes what is pending for a thing, as it is at that moment."""

    def __init__(self, *, kept: store.Store, bus: ports.Bus, clock: Callable[[], float]) -> None:
        self._store = kept
        self._bus = bus
        self._clock = clock

    def tell(self, thing: str, namespace: str, *, listed: bool = True, head: bool = True) -> None:
        """Say what is pending (`listed`) and which of it is next (`head`)."""
        suffix = f"-namespace-{namespace}" if namespace else ""
        prefix = f"$aws/things/{thing}/jobs"
        now = self._clock()
        # Read and handed over under one lock: whatever is sent last is what holds.
        with self._store.transaction():
            pending = self._store.pending(thing, namespace)
            if listed:
                jobs = documents.by_status(pending)
                self._bus.publish(f"{prefix}/notify{suffix}", {"timestamp": int(now), "jobs": jobs})
            if head:
                following: ports.Document = {"timestamp": int(now)}
                if pending:
                    following["execution"] = {
                        **documents.whole(pending[0], now),
                        "jobDocument": json.loads(self._store.document(pending[0].job_id)),
                    }
                self._bus.publish(f"{prefix}/notify-next{suffix}", following)

    def repeat(self) -> None:
        """Tell every thing that has something to do: what was said before may be lost."""
        for thing, namespace in self._store.all_pending():
            self.tell(thing, namespace)
