"""The real IPC server in a process of its own, in front of components in memory.

    PYTHONPATH=src:. python -m tests.support.ipc_process SOCKET COMPONENT...

Every component may publish and subscribe to everything; its token is `token-of-COMPONENT`. It says
"ready" once it listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support import ipc_host
from verge.nucleus.ipc import server

PATIENCE = 10.0


def started(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a module that says "ready", and return once it does."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if said != b"ready\n":
        process.kill()
        process.communicate()
        raise AssertionError(f"{module} does not start: {said!r}")
    return process


@contextlib.contextmanager
def running(module: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run such a module within the block; it may clean up at its end."""
    process = started(module, *arguments)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@contextlib.contextmanager
def serving(path: Path, *components: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server for these components within the block."""
    with running(__name__, str(path), *components) as process:
        yield process


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def serve(path: Path, components: Sequence[str]) -> None:
    """Serve until told to end."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    nucleus = ipc_host.MemoryHost()
    for name in components:
        nucleus.install(name, ipc_host.pubsub_policy("*"))
    async with server.serve(nucleus, path):
        print("ready", flush=True)
        await ended.wait()
    nucleus.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2:]))
