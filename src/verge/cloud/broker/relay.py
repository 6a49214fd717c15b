"""One admitted connection: its packets go through the filter, both ways, until either side ends."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable

from verge.cloud import precedence
from verge.cloud.broker import filters, mosquitto, packets, saver

MAX_PACKET = mosquitto.MAX_PAYLOAD + 128 * 1024
"""Bytes of a packet: the largest message, its topic and properties."""
STALLED = 60.0  # a device that takes nothing for so long is as good as gone
CHUNK = 64 * 1024
LOOK_AGAIN = 0.02

_log = logging.getLogger(__name__)

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Relay:
    """Carries packets. Each direction waits for its receiver, so neither side can flood us."""

    def __init__(
        self,
        *,
        device: Stream,
        broker: Stream,
        rules: filters.Filter,
        acknowledgements: saver.Saver,
        generation: int,
        full: Callable[[], bool],
    ) -> None:
        """While the cloud's backlog is `full`, whoever sends to the cloud is not read."""
        self._device = device
        self._broker = broker
        self._rules = rules
        self._saver = acknowledgements
        self._generation = generation
        self._full = full

    async def run(self, from_device: packets.Splitter, connect: bytes) -> None:
        """Send the CONNECT on, then carry packets; `from_device` may hold what came after it."""
        self._broker[1].write(connect)
        directions = {
            asyncio.create_task(self._carry_up(from_device)),
            asyncio.create_task(self._carry_down()),
        }
        try:
            done, _ = await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in directions:
                task.cancel()
            await asyncio.gather(*directions, return_exceptions=True)

    async def _carry_up(self, splitter: packets.Splitter) -> None:
        data = b""
        while True:
            counted = False
            precedence.ANSWERS.give_way()
            for packet in splitter.feed(data):
                verdict = self._rules.from_device(packet)
                self._broker[1].write(verdict.onward)
                self._device[1].write(verdict.back)
                counted |= verdict.counted
                if verdict.ends:
                    return
            await _drain(self._broker[1])
            await _drain(self._device[1])
            while counted and self._full():  # noqa: ASYNC110  # other threads make room
                await asyncio.sleep(LOOK_AGAIN)
            if not (data := await self._device[0].read(CHUNK)):
                return

    async def _carry_down(self) -> None:
        splitter = packets.Splitter(MAX_PACKET)
        while data := await self._broker[0].read(CHUNK):
            precedence.ANSWERS.give_way()
            for packet in splitter.feed(data):
                verdict = self._rules.from_broker(packet)
                self._device[1].write(verdict.onward)
                self._broker[1].write(verdict.back)
                if verdict.held:
                    self._saver.hold(
                        self._generation, functools.partial(_release, self._device[1], verdict.held)
                    )
            await _drain(self._device[1])


def _release(writer: asyncio.StreamWriter, held: bytes) -> None:
    if not writer.is_closing():
        writer.write(held)


async def _drain(writer: asyncio.StreamWriter) -> None:
    """Wait for a receiver that is behind; the others, nearly all, cost no timer."""
    if not writer.transport.get_write_buffer_size():
        return
    async with asyncio.timeout(STALLED):
        await writer.drain()
