"""Readiness for systemd: `Type=notify` without a library."""

from __future__ import annotations

import os
import socket


def send(state: str) -> None:
    """Tell the service manager a state such as `READY=1`; without one, do nothing."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
        try:
            connection.connect(address)
            connection.sendall(state.encode())
        except OSError:
            # A service manager that went away is no reason to stop serving.
            return
