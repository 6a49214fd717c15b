"""The topics on which devices speak of their shadows (contract 5.8).

Below `$aws/things/<thing>/shadow/` and `…/shadow/name/<name>/`: `get`, `update` and `delete`, each
answered on `…/accepted` or `…/rejected`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from verge.cloud import ports, strict_json
from verge.cloud.shadows import documents, errors, service

FILTERS = tuple(
    f"$aws/things/+/shadow/{name}{verb}"
    for name in ("", "name/+/")
    for verb in ("get", "update", "delete")
)

_log = logging.getLogger(__name__)


class Topics:
    """Answers devices."""

    def __init__(
        self, *, service: service.Service, bus: ports.Bus, clock: Callable[[], float]
    ) -> None:
        self._service = service
        self._bus = bus
        self._clock = clock

    def subscribe(self) -> None:
        """Take requests from now on."""
        for each in FILTERS:
            self._bus.subscribe(each, self.handle)

    def handle(self, topic: str, payload: bytes) -> None:
        """Answer one request."""
        _aws, _things, thing, _shadow, *named, verb = topic.split("/")
        name = named[1] if named else None
        token = _token(payload)
        try:
            match verb:
                case "get":
                    found = self._service.get(thing, name)
                    answer = found if token is None else {**found, "clientToken": token}
                    self._bus.publish(f"{topic}/accepted", answer)
                case "update":
                    self._service.update(thing, name, documents.parse(payload))
                case _:
                    self._service.delete(thing, name, token)
        except errors.ShadowError as error:
            _log.info("Request rejected topic=%s reason=%s", topic, error)
            rejected = {
                "code": error.code,
                "message": str(error),
                "timestamp": int(self._clock()),
            }
            common = {} if token is None else {"clientToken": token}
            self._bus.publish(f"{topic}/rejected", {**rejected, **common})


def _token(payload: bytes) -> str | None:
    try:
        token = strict_json.parse(payload)["clientToken"]
    except (ValueError, TypeError, KeyError):
        return None
    return token if isinstance(token, str) else None
