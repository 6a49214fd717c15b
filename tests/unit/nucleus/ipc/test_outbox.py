"""What waits to be sent on one connection."""

from __future__ import annotations

import asyncio

from verge.nucleus.ipc import limits, outbox


class Transport(asyncio.Transport):
    """Takes so many pieces, then stalls the outbox until it is drained."""

    def __init__(self, owner: outbox.Outbox, room: int) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self._owner = owner
        self.room = room

    def get_write_buffer_size(self) -> int:
        return 7

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.pieces.append(bytes(data))
        if len(self.pieces) >= self.room:
            self._owner.stall()


def test_long_message_leaves_in_pieces() -> None:
    """A long message goes as far as the client reads, then goes on; all is counted."""
    box = outbox.Outbox(limits.Limits())
    transport = Transport(box, room=2)
    box.attach(transport)
    message = bytes(range(256)) * 4096
    box.put(b"first")
    box.put(message)
    box.put(b"last")
    box.flush()
    assert len(transport.pieces) == 2
    assert box.stalled
    assert box.bytes == len(message) + 4 - len(transport.pieces[1]) + 7
    transport.room = 100
    box.drain()
    box.flush()
    assert b"".join(transport.pieces) == b"first" + message + b"last"
    assert max(map(len, transport.pieces)) <= 256 * 1024
    assert (len(box), box.bytes) == (0, 0)


def test_short_messages_leave_together() -> None:
    """Short messages are one piece."""
    box = outbox.Outbox(limits.Limits())
    transport = Transport(box, room=100)
    box.attach(transport)
    for number in range(10):
        box.put(str(number).encode())
    box.flush()
    assert transport.pieces == [b"0123456789"]
