"""Messages that AWS IoT Core takes.

A broker that is sent anything else ends the connection, and with it that of all components; a
message that waits in the spool would end every further one, too.
"""

from __future__ import annotations

from collections.abc import Iterator

from verge.nucleus.iot_core import spool, topics

MAX_PAYLOAD_BYTES = 128 * 1024
"""The longest payload."""

MAX_PROPERTY_BYTES = 8 * 1024
"""All properties of a message together, as AWS limits those of the user."""


class MessageError(ValueError):
    """A message that cannot be sent."""


def check(message: spool.Message) -> None:
    """Raise MessageError unless a broker takes the message."""
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        raise MessageError(f"payload has more than {MAX_PAYLOAD_BYTES} bytes")
    if message.property_bytes > MAX_PROPERTY_BYTES:
        raise MessageError(f"the properties have more than {MAX_PROPERTY_BYTES} bytes together")
    expiry = message.message_expiry_interval_seconds
    if expiry is not None and not 0 <= expiry < 2**32:
        raise MessageError("messageExpiryIntervalSeconds must fit 32 bits")
    try:
        topics.check_topic(message.topic_name)
        for name, text in _texts(message):
            topics.check_text(name, text)
    except topics.TopicError as error:
        raise MessageError(str(error)) from error


def _texts(message: spool.Message) -> Iterator[tuple[str, str]]:
    yield "responseTopic", message.response_topic or ""
    yield "contentType", message.content_type or ""
    for each in message.user_properties:
        yield "userProperties", each.key
        yield "userProperties", each.value
