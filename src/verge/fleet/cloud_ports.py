"""The ports of a checkout's local cloud: the usual ones, or others where those are taken."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

USUAL = {"port": 4566, "device-port": 8443, "mqtt-port": 8883}
"""Options of `verge-cloud serve`, and the ports that they usually are."""

LOOPBACK = "127.0.0.1"
_FREEBIND = 15
"""IP_FREEBIND of Linux, which Python does not name: bind an address that may come later."""


def choose_ports(addresses: Sequence[str], preferred: Mapping[str, int] = USUAL) -> dict[str, int]:
    """Return the preferred ports, or free ones where those are taken on one of the addresses."""
    taken: set[int] = set()
    chosen = {}
    for name, port in preferred.items():
        candidate = port
        while candidate in taken or not all(_is_free(item, candidate) for item in addresses):
            candidate = _free_port()
        taken.add(candidate)
        chosen[name] = candidate
    return chosen


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.IPPROTO_IP, _FREEBIND, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
