"""A stretch of network between a device and its cloud that can be cut, held up and mended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Stretch:
    """Passes connections from a port of its own on to another port of this machine."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.passed = 0
        """Bytes that came back from the target."""
        self.connections = 0
        """Connections that were taken."""
        self.break_after: int | None = None
        """Bytes from the target after which a connection breaks."""
        self._whole = True
        self._moving = asyncio.Event()
        self._moving.set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Break all connections and let none through."""
        self._whole = False
        for pump in self._pumps:
            pump.cancel()

    def hold(self) -> None:
        """Keep connections, but let nothing pass."""
        self._moving.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self._whole = True
        self.break_after = None
        self._moving.set()

    async def stop(self) -> None:
        """Listen no longer."""
        assert self._server
        self._server.close()
        self.cut()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pump = asyncio.current_task()
        assert pump
        self._pumps.add(pump)
        self.connections += 1
        try:
            if self._whole:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            return
        finally:
            writer.transport.abort()
            self._pumps.discard(pump)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            ways = [
                asyncio.ensure_future(self._pump(reader, far_writer, None)),
                asyncio.ensure_future(self._pump(far_reader, writer, self.break_after)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            far_writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
    ) -> None:
        passed = 0
        while data := await reader.read(65536):
            await self._moving.wait()
            writer.write(data)
            await writer.drain()
            passed += len(data)
            if writer.get_extra_info("sockname")[1] == self.port:
                self.passed += len(data)
            if limit is not None and passed > limit:
                return


@contextlib.asynccontextmanager
async def stretch(target: int) -> AsyncIterator[Stretch]:
    """Yield a stretch to a port."""
    one = Stretch(target)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
