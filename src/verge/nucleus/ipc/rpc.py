"""What the headers of a message mean: kinds, flags, streams and operations (contract 4.3)."""

from __future__ import annotations

import enum

MESSAGE_TYPE = ":message-type"
MESSAGE_FLAGS = ":message-flags"
STREAM_ID = ":stream-id"
VERSION = ":version"
CONTENT_TYPE = ":content-type"
OPERATION = "operation"
MODEL = "service-model-type"

PROTOCOL_VERSION = "0.1.0"
JSON = "application/json"
NAMESPACE = "aws.greengrass#"


class MessageType(enum.IntEnum):
    """Values of `:message-type`."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


class Flag(enum.IntFlag):
    """Bits of `:message-flags`; unknown bits are ignored."""

    CONNECTION_ACCEPTED = 1
    TERMINATE_STREAM = 2
