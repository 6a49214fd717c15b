"""What one connection may do with topics: the IoT policies of its certificate."""

from __future__ import annotations

from verge.cloud import ports, settings
from verge.cloud.identity import policies


class Permissions:
    """IoT Core's rules for one client id of one device (actions of the IoT policy language)."""

    def __init__(
        self,
        *,
        settings: settings.Settings,
        device: ports.Device,
        client_id: str,
        documents: tuple[ports.Document, ...],
    ) -> None:
        self._prefix = f"arn:aws:iot:{settings.region}:{settings.account}:"
        self._client_id = client_id
        self._rules = policies.Rules(documents, policies.variables(device, client_id))

    def connect(self) -> bool:
        """Whether it may connect at all."""
        return self._allow("iot:Connect", f"client/{self._client_id}")

    def publish(self, topic: str, *, retain: bool) -> bool:
        """Whether it may publish to a topic, and leave the message there."""
        resource = f"topic/{topic}"
        return self._allow("iot:Publish", resource) and (
            not retain or self._allow("iot:RetainPublish", resource)
        )

    def subscribe(self, topic_filter: str) -> bool:
        """Whether it may subscribe with a filter; wildcards stand for themselves here."""
        return self._allow("iot:Subscribe", f"topicfilter/{topic_filter}")

    def receive(self, topic: str) -> bool:
        """Whether it may be handed a message of a topic, whatever it subscribed to."""
        return self._allow("iot:Receive", f"topic/{topic}")

    def _allow(self, action: str, resource: str) -> bool:
        return self._rules.allow(action, self._prefix + resource)


def owns(client_id: str, thing: str) -> bool:
    """Whether a client id belongs to a thing: its name, or `NAME#…` as nuclei number theirs.

    The names of things hold no `#`, so no two things share a client id.
    """
    return client_id == thing or client_id.startswith(f"{thing}#")
