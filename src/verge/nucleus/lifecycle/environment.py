"""The environment of a component's steps (Greengrass contract 1.7 and 2.9)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from verge.nucleus import settings
from verge.nucleus.lifecycle import users

_SYSTEM_PATH = ("/bin", "/usr/bin", "/sbin", "/usr/sbin")

_OWN = frozenset(
    {
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "LISTEN_PID",
        "LISTEN_FDNAMES",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "SYSTEMD_EXEC_PID",
    }
)
"""What the service manager told the nucleus and nobody else."""


def build(
    configured: settings.Settings,
    socket: Path,
    token: str,
    user: users.Identity,
    *setenvs: Mapping[str, str],
) -> dict[str, str]:
    """Return the environment of a step; later `setenvs` win over earlier ones and over all."""
    environment = {key: value for key, value in os.environ.items() if key not in _OWN}
    environment["PATH"] = _complete_path(environment.get("PATH", ""))
    if not user.is_current:
        environment |= {"HOME": user.home, "USER": user.name, "LOGNAME": user.name}
    environment |= {
        "SVCUID": token,
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH": str(socket),
        "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(socket),
        "AWS_IOT_THING_NAME": configured.thing_name,
        "AWS_REGION": configured.region,
        "AWS_DEFAULT_REGION": configured.region,
        "GGC_VERSION": settings.VERSION,
        "GG_ROOT_CA_PATH": configured.root_ca_path,
    }
    for setenv in setenvs:
        environment |= setenv
    return environment


def _complete_path(path: str) -> str:
    present = [part for part in path.split(":") if part]
    return ":".join(present + [part for part in _SYSTEM_PATH if part not in present])
