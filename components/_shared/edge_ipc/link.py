"""The nucleus as a service sees it, so that a service can be tested without one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_ipc import documents


class Link(Protocol):
    """A connection; `edge_ipc.nucleus.Nucleus` is one."""

    def read_configuration(self) -> dict[str, Any]:
        """Return the component's configuration."""

    def watch_configuration(self, changed: Callable[[], None]) -> Any:
        """Call back when the configuration changed."""

    @property
    def message_limit(self) -> int | None:
        """The bytes that a document may have as text; None where there is no limit to speak of."""

    def publish(self, topic: str, document: documents.Document) -> None:
        """Publish on a local topic."""

    def subscribe(self, topic: str, received: Callable[[Any], None]) -> Any:
        """Call back with the documents of a local topic; the answer has `close()`."""

    def report_running(self) -> None:
        """Report the state RUNNING."""
